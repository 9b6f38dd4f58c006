"""Ages: float years from 0 to 100 at every interface; the networks alone see them in units of 100 years."""

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
