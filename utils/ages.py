"""Ages: float years from 0 to 100 at every interface; the networks alone see them in units of 100 years."""

from collections.abc import Iterable
from typing import TypeVar

from torch import Tensor

YOUNGEST, OLDEST = 0.0, 100.0  # years; the age networks have the classes 0..100
Years = TypeVar("Years", Tensor, float)


def scale_age(years: Years) -> Years:
    """Years, or a difference of years, as the networks see them: divided by 100."""
    return years / 100


def is_age(years: float) -> bool:
    """Whether a number of years lies within the range; NaN does not."""
    return YOUNGEST <= years <= OLDEST


def counted_by_year(ages: Iterable[float]) -> dict[str, int]:
    """How many of some ages lie in each whole year; ``unknown`` counts what is no number."""
    counts: dict[str, int] = {}
    for age in sorted(ages, key=lambda age: (age != age, age)):
        name = "unknown" if age != age else str(int(age))
        counts[name] = counts.get(name, 0) + 1
    return counts
