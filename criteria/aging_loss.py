"""Ageing loss: squared difference of the age a classifier sees and the age asked for (SAM section 3.3)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from criteria.frozen import FrozenLoss, full_precision
from models.auxiliary import AgeClassifier
from utils.ages import scale_age


class AgingLoss(FrozenLoss):
    """``mean_i ((A(image_i) - target_i) / 100)^2`` with ``A`` the expected age over the classes, in years.

    Of several classifiers it is the mean of their losses: a pattern has to convince each of them.

    Args:
        network: the age classifier, see ``models.auxiliary.load_age_classifier``.
        augment: differentiable change of the pictures before the classifier sees them, while gradients are
            wanted.  A pattern that fools the classifier must then survive shifts and other colours.
        further: other age classifiers.
    """

    def __init__(
        self,
        network: AgeClassifier,
        augment: Callable[[Tensor], Tensor] | None = None,
        further: Sequence[AgeClassifier] = (),
    ) -> None:
        super().__init__()
        self.augment = augment
        self.network = self.freeze(network)
        self.further = self.freeze(nn.ModuleList(further))

    @property
    def networks(self) -> list[AgeClassifier]:
        """All classifiers."""
        return [self.network, *self.further]

    def extract_ages(self, images: Tensor) -> Tensor:
        """Years ``(B,)`` that the first classifier sees in ``(B, 3, S, S)`` images; differentiable."""
        return _years(self.network, images)

    def forward(self, generated: Tensor, target_ages: Tensor) -> tuple[Tensor, Tensor]:
        """The loss for images ``(B, 3, S, S)`` and years ``(B,)``, and the mean years seen ``(B,)``."""
        augment = self.augment if generated.requires_grad else None
        ages = torch.stack(
            [_years(network, augment(generated) if augment else generated) for network in self.networks]
        )
        return aging_loss(ages, target_ages), ages.mean(0)


def _years(network: AgeClassifier, images: Tensor) -> Tensor:
    return full_precision(network.predict_age(images))


def aging_loss(predicted_ages: Tensor, target_ages: Tensor) -> Tensor:
    """Mean squared difference of ages ``(..., B)`` in years, measured in units of 100 years."""
    return scale_age(predicted_ages - target_ages.detach()).square().mean()
