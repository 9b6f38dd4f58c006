"""Figures of a training: means since they were last logged, and whether they are still numbers."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class RunningFigures:
    """Sums of the figures of many steps; a figure that occurs in some steps only is averaged over those."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: Counter[str] = Counter()

    def add(self, figures: Mapping[str, Tensor]) -> None:
        """Adds the figures of one step; they stay on their device."""
        for name, value in figures.items():
            known = self._sums.get(name)
            self._sums[name] = value.detach().clone() if known is None else known.to(value.device) + value
            self._counts[name] += 1

    def means(self) -> dict[str, float]:
        """The mean of each figure since :meth:`clear`, in one transfer from the device."""
        if not self._sums:
            return {}
        values = torch.stack([value.float().reshape(()) for value in self._sums.values()]).tolist()
        return {name: value / self._counts[name] for name, value in zip(self._sums, values, strict=True)}

    def state_dict(self) -> dict[str, Any]:
        """What was added since :meth:`clear`."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back what :meth:`state_dict` gave; nothing of an empty one.

        Raises:
            ValueError: it gave something else.
        """
        sums, counts = state.get("sums", {}), state.get("counts", {})
        if not isinstance(sums, Mapping) or not isinstance(counts, Mapping) or sums.keys() != counts.keys():
            raise ValueError("sums and counts of the figures differ")
        for name, value in sums.items():
            number = isinstance(value, Tensor) and value.is_floating_point() and value.numel() == 1
            if not number or type(counts[name]) is not int or counts[name] < 1:
                raise ValueError(f"the figure {name} is no sum of some numbers")
        self._sums, self._counts = dict(sums), Counter(counts)

    def clear(self) -> None:
        """Begins anew."""
        self._sums, self._counts = {}, Counter()


def first_broken(figures: Mapping[str, float]) -> str | None:
    """Name of a figure that is infinite or not a number, if there is one."""
    return next((name for name, value in figures.items() if not math.isfinite(value)), None)


def mean_figures(
    rows: Sequence[Mapping[str, Any]], weights: Sequence[float] | None = None
) -> dict[str, float]:
    """Averages dictionaries of figures by name.

    Args:
        rows: the dictionaries; a figure may be missing in some.
        weights: how much each of them counts; 1 where None.
    """
    sums: dict[str, float] = defaultdict(float)
    shares: dict[str, float] = defaultdict(float)
    for row, weight in zip(rows, [1.0] * len(rows) if weights is None else weights, strict=True):
        for name, value in row.items():
            sums[name] += weight * float(value)
            shares[name] += weight
    return {name: value / shares[name] for name, value in sums.items()}
