"""Ageing loss: squared difference of the age a classifier sees and the age asked for (SAM section 3.3)."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from criteria.age_sampling import YEARS_PER_UNIT
from criteria.frozen import FrozenLoss, full_precision
from models.dex_vgg import expected_age


class AgingLoss(FrozenLoss):
    """``mean_i ((A(image_i) - target_i) / 100)^2`` with ``A`` the expected age over the classes, in years.

    Args:
        network: either a module with ``predict_age(images) -> years (B,)``
            (``models.auxiliary.load_age_classifier``), or a bare classifier that returns logits over 0..100
            years.
        input_size: side to which pictures for a bare classifier are resized, pixels; its own ``input_size``
            attribute where absent, else the 224 of DEX.
        augment: differentiable change of the pictures before the classifier sees them, while gradients are
            wanted.  A pattern that fools the classifier must then survive shifts and other colours.
    """

    def __init__(
        self,
        network: nn.Module,
        input_size: int | None = None,
        augment: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.augment = augment
        self.network = self.freeze(network)
        own_size: int = getattr(network, "input_size", 224)
        self.input_size = own_size if input_size is None else input_size

    def extract_ages(self, images: Tensor) -> Tensor:
        """Years ``(B,)`` that the classifier sees in ``(B, 3, S, S)`` images in [-1, 1]; differentiable."""
        predict = getattr(self.network, "predict_age", None)
        if predict is not None:
            return full_precision(predict(images))
        size = (self.input_size, self.input_size)
        if tuple(images.shape[-2:]) != size:
            images = F.interpolate(images, size, mode="bilinear", align_corners=False)
        return expected_age(full_precision(self.network(images)))

    def forward(self, generated: Tensor, target_ages: Tensor) -> tuple[Tensor, Tensor]:
        """The loss for images ``(B, 3, S, S)`` and years ``(B,)``, and the years seen ``(B,)``."""
        if self.augment is not None and generated.requires_grad:
            generated = self.augment(generated)
        ages = self.extract_ages(generated)
        return aging_loss(ages, target_ages), ages


def aging_loss(predicted_ages: Tensor, target_ages: Tensor) -> Tensor:
    """Mean squared difference of ages ``(B,)`` in years, measured in units of 100 years."""
    difference = (predicted_ages - target_ages.detach()) / YEARS_PER_UNIT
    return difference.square().mean()
