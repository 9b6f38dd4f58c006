"""Some of many, spread evenly."""

from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")


def evenly(count: int, wanted: int | None, at: float = 0.0) -> list[int]:
    """``wanted`` of ``count`` positions, one from each of as many equal parts; or all of them.

    Args:
        count: positions.
        wanted: how many of them; None, or more than there are, stands for all.
        at: where in its part a position lies: 0 at the start, 0.5 in the middle.
    """
    if wanted is None or wanted >= count:
        return list(range(count))
    return [int((part + at) * count / wanted) for part in range(wanted)]


class EvenSamples(Generic[Item]):
    """Some of many things that come one by one, evenly spread, of which one does not know how many will come.

    Args:
        least: so many are kept, or up to twice as many; all where fewer come.
    """

    def __init__(self, least: int) -> None:
        self.kept: list[Item] = []
        self._least, self._step, self._offered = least, 1, 0

    def offer(self, make: Callable[[], Item]) -> None:
        """Keeps one in so many; where there are too many, every second of those goes."""
        if self._offered % self._step == 0:
            self.kept.append(make())
            if len(self.kept) > 2 * self._least:
                self.kept, self._step = self.kept[::2], 2 * self._step
        self._offered += 1
