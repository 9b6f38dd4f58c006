"""Ageing loss: squared difference of the age a classifier sees and the age asked for (SAM section 3.3)."""

from collections.abc import Callable

from torch import Tensor

from criteria.frozen import FrozenLoss, full_precision
from models.auxiliary import AgeClassifier
from utils.ages import scale_age


class AgingLoss(FrozenLoss):
    """``mean_i ((A(image_i) - target_i) / 100)^2`` with ``A`` the expected age over the classes, in years.

    Args:
        network: the age classifier, see ``models.auxiliary.load_age_classifier``.
        augment: differentiable change of the pictures before the classifier sees them, while gradients are
            wanted.  A pattern that fools the classifier must then survive shifts and other colours.
    """

    def __init__(self, network: AgeClassifier, augment: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.augment = augment
        self.network = self.freeze(network)

    def extract_ages(self, images: Tensor) -> Tensor:
        """Years ``(B,)`` that the classifier sees in ``(B, 3, S, S)`` images in [-1, 1]; differentiable."""
        return full_precision(self.network.predict_age(images))

    def forward(self, generated: Tensor, target_ages: Tensor) -> tuple[Tensor, Tensor]:
        """The loss for images ``(B, 3, S, S)`` and years ``(B,)``, and the years seen ``(B,)``."""
        if self.augment is not None and generated.requires_grad:
            generated = self.augment(generated)
        ages = self.extract_ages(generated)
        return aging_loss(ages, target_ages), ages


def aging_loss(predicted_ages: Tensor, target_ages: Tensor) -> Tensor:
    """Mean squared difference of ages ``(B,)`` in years, measured in units of 100 years."""
    return scale_age(predicted_ages - target_ages.detach()).square().mean()
