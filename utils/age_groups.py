"""Age groups: ranges of whole years that stand for the classes of a conditional network."""

import re
from bisect import bisect_right
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from utils.ages import OLDEST, YOUNGEST
from utils.errors import InputError

_GROUP = re.compile(r"\s*(\d{1,3})\s*-\s*(\d{1,3})\s*")


# Ten years each; those of the data set FFHQ-Aging; and the six of them that Lifespan Age Transformation
# Synthesis is trained with (Or-El et al. 2020).
NAMED = {
    "decades": "0-10,11-20,21-30,31-40,41-50,51-60,61-70,71-80,81-90,91-100",
    "ffhq_aging": "0-2,3-6,7-9,10-14,15-19,20-29,30-39,40-49,50-69,70-100",
    "lats": "0-2,3-6,7-9,15-19,30-39,50-69",
}


@dataclass(frozen=True)
class AgeGroups:
    """Ranges of whole years, in rising order, without overlap; there may be gaps between them.

    Attributes:
        bounds: the first and the last year of each group. The last year counts to its end: 10.7 years
            belong to a group that ends with 10.

    Raises:
        InputError: a range is empty, leaves 0-100, or does not lie above the one before.
    """

    bounds: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if not self.bounds:
            raise InputError("there is no age group; give ranges of years such as 0-10,11-20")
        before = int(YOUNGEST) - 1
        for (first, last), name in zip(self.bounds, self.names, strict=True):
            if first > last or last > OLDEST:
                raise InputError(f"age group {name}: give the younger year first, both from 0 to {OLDEST:g}")
            if first <= before:
                raise InputError(f"age group {name} does not lie above the group before it; sort them by age")
            before = last

    def __len__(self) -> int:
        return len(self.bounds)

    @property
    def names(self) -> list[str]:
        """Each group as it is written: ``0-10``."""
        return [f"{first}-{last}" for first, last in self.bounds]

    @property
    def centres(self) -> list[float]:
        """The middle year of each group; what lies between two of them is between two classes."""
        return [(first + last) / 2 for first, last in self.bounds]

    def index(self, age: float) -> int | None:
        """The number of the group to which an age in years belongs, from 0; None where it falls in a gap."""
        number = bisect_right([first for first, _ in self.bounds], age) - 1
        return number if number >= 0 and age < self.bounds[number][1] + 1 else None

    def one_hot(self, ages: Tensor) -> Tensor:
        """The group of each age (B,) as (B, groups); that of the group before where it falls in a gap."""
        firsts = torch.tensor([first for first, _ in self.bounds], device=ages.device)
        numbers = (torch.bucketize(ages, firsts, right=True) - 1).clamp(min=0)
        return F.one_hot(numbers, len(self.bounds))

    def weights(self, age: float) -> list[float]:
        """Shares of the groups in an age: 1 at a group's centre, linear between two, the ends beyond them."""
        centres = self.centres
        above = bisect_right(centres, age)
        shares = [0.0] * len(centres)
        if above in (0, len(centres)):
            shares[min(above, len(centres) - 1)] = 1.0
            return shares
        low, high = centres[above - 1], centres[above]
        shares[above] = (age - low) / (high - low)
        shares[above - 1] = 1 - shares[above]
        return shares

    def __str__(self) -> str:
        return ",".join(self.names)


def parse_age_groups(text: str) -> AgeGroups:
    """Reads ``0-10,11-20,...``, or one of :data:`NAMED`.

    Raises:
        InputError: it is of another form, or see :class:`AgeGroups`.
    """
    bounds = []
    for part in NAMED.get(text.strip(), text).split(","):
        found = _GROUP.fullmatch(part)
        if not found:
            raise InputError(
                f"{part.strip()[:30]!r} is no age group; give ranges of years such as 0-10,11-20"
            )
        bounds.append((int(found[1]), int(found[2])))
    return AgeGroups(tuple(bounds))


def decades() -> AgeGroups:
    """The ten groups 0-10, 11-20, ..., 91-100."""
    return parse_age_groups("decades")
