"""What is seen in photos of each age, from photos of scattered ages."""

import torch
from torch import Tensor

from utils.ages import OLDEST

BANDWIDTH = 4.0  # years over which photos are averaged
LEAST = 20  # photos, near an age and in all
WIDENINGS = 6


def by_whole_year(ages: Tensor, seen: Tensor) -> Tensor:
    """Ages (C, N) that C judges see in photos of ages (N,), for each whole year: (C, 101), all in years.

    A local linear regression (Cleveland 1979) with Gaussian weights, wider where photos are rare; it never
    falls.
    """
    years = torch.arange(int(OLDEST) + 1, dtype=ages.dtype)
    offset = ages - years[:, None]  # (101, N)
    width = torch.full_like(years, BANDWIDTH)
    for _ in range(WIDENINGS):
        weights = torch.exp(-0.5 * (offset / width[:, None]).square())
        width = torch.where(weights.sum(1) < LEAST, width * 1.5, width)
    weights = torch.exp(-0.5 * (offset / width[:, None]).square())
    total, first, second = ((weights * offset**power).sum(1) for power in range(3))
    zeroth_moment = seen @ weights.T
    first_moment = seen @ (weights * offset).T
    spread = (total * second - first.square()).clamp(min=1e-9)
    line = (second * zeroth_moment - first * first_moment) / spread
    constant = zeroth_moment / total.clamp(min=1e-9)
    good = spread > 1e-3 * total.square()
    return torch.where(good, line, constant).clamp(0, OLDEST).cummax(dim=1).values
