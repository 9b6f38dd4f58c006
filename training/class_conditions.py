"""The classes of a conditional training: those of the photos, and those that are asked of the generator."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


class ClassConditions:
    """How often each class comes, among photos and among generated pictures alike.

    Args:
        labels: class of each photo, (N,) whole numbers from 0.
        classes: how many classes there are.
        balance: 0: as often as in the photos; 1: all equally often.
        device: where conditions are needed.

    Attributes:
        weights: of each photo in the draw of training pictures; None where they come as they are.
    """

    def __init__(self, labels: Tensor, classes: int, balance: float, device: torch.device) -> None:
        self.count, self._device = classes, device
        counts = torch.bincount(labels, minlength=classes).double()
        self._shares = torch.where(counts > 0, counts ** (1 - balance), 0.0)
        weights = (self._shares / counts)[labels]
        self.weights: Sequence[float] | None = weights.tolist() if balance else None

    def one_hot(self, labels: Tensor) -> Tensor:
        """Conditions (B, classes) of labels (B,)."""
        return F.one_hot(labels.to(self._device), self.count).float()

    def draw(self, count: int) -> Tensor:
        """Labels (count,) for pictures that are to be generated, from the random state of the process."""
        return torch.multinomial(self._shares, count, replacement=True)

    def every(self, each: int) -> Tensor:
        """Labels of ``each`` pictures of the first class, then of the second, and so on."""
        return torch.arange(self.count).repeat_interleave(each)
