"""What age classifiers see in photos of each age, which is not that age: the old look younger to them."""

from collections.abc import Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from datasets.faces import FaceFolder
from models.auxiliary import AgeClassifier
from utils.ages import OLDEST
from utils.distributed import rank
from utils.errors import InputError
from utils.pictures.tensors import resize
from utils.spacing import evenly

PHOTOS = 4096
BANDWIDTH = 4.0  # years over which photos are averaged
LEAST = 20  # photos with an age in their name


@torch.no_grad()
def seen_ages(
    classifiers: Sequence[AgeClassifier], data: FaceFolder, size: int, device: torch.device
) -> Tensor:
    """The mean age that each classifier sees in photos of 0, 1, ... 100 years: (classifiers, 101) years.

    A local linear regression (Cleveland 1979) with Gaussian weights; it never falls.

    Args:
        classifiers: the networks.
        data: training photos with ages in their names; at most 4,096 of them are looked at.
        size: side at which the classifiers see pictures in training.
        device: where they compute.

    Raises:
        InputError: fewer than 20 photos have an age.
    """
    items = torch.nonzero(~data.ages.isnan()).flatten()
    if len(items) < LEAST:
        raise InputError(
            f"{data.folder}: --aging_targets=photos needs ages in the names ({{age}}_{{idx}}) of at least "
            f"{LEAST} photos, and {len(items)} have one"
        )
    items = items[evenly(len(items), PHOTOS)]
    found = []
    bar = tqdm(items.split(64), "ages of photos", unit="batch", leave=False, disable=rank() > 0)
    for part in bar:
        images = resize(data.batch(part.tolist())["image"].to(device), size)
        found.append(torch.stack([network.predict_age(images).float() for network in classifiers]))
    return regression(data.ages[items].double(), torch.cat(found, dim=1).cpu().double()).float().to(device)


def regression(ages: Tensor, seen: Tensor) -> Tensor:
    """Mean of values (C, N) at ages (N,) in years, for each whole year: (C, 101)."""
    years = torch.arange(int(OLDEST) + 1, dtype=ages.dtype)
    offset = ages - years[:, None]  # (101, N)
    width = torch.full_like(years, BANDWIDTH)
    for _ in range(6):  # wider where photos are rare
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
