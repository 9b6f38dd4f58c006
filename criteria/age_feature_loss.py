"""Perceptual loss ``dex``: distance in the features of a frozen age classifier."""

from collections.abc import Sequence

import torch
from torch import Tensor

from criteria.frozen import full_precision
from criteria.perceptual_loss import PerceptualLoss
from models.auxiliary import AgeClassifier


class AgeFeatureLoss(PerceptualLoss):
    """Distance in the features of a frozen age classifier: unit-normalised, averaged over the layers.

    A substitute where no ImageNet weights can be had.  Layers count equally and channels are not weighted.

    Args:
        classifier: its convolutions take images of any size, see ``models.dex_vgg.VGG``.
    """

    def __init__(self, classifier: AgeClassifier) -> None:
        super().__init__()
        self.classifier = self.freeze(classifier)

    def feature_maps(self, images: Tensor) -> Sequence[Tensor]:
        """Maps of the classifier at the size of the images: without resizing, detail keeps its gradient."""
        return self.classifier.feature_maps(images)

    def forward(
        self,
        generated: Tensor,
        target: Tensor | None = None,
        *,
        target_features: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """The same distance from scalar products: no unit-normalised copy of the generated maps is made."""
        known = self.known_features(target, target_features)
        layers = []
        for raw, unit in zip(self.feature_maps(generated), known, strict=True):
            maps = full_precision(raw)
            squared = maps.square().sum(dim=1)
            norm = (squared + (squared == 0)).sqrt()  # torch.where is slow on CPUs
            cosine = (maps * unit).sum(dim=1) / norm
            distance = (squared > 0).to(squared.dtype) + unit.square().sum(dim=1) - 2 * cosine
            layers.append(distance.mean(dim=(1, 2)))
        return self.combine(layers).mean()

    def combine(self, layers: list[Tensor]) -> Tensor:
        """Mean over the layers."""
        return torch.stack(layers).mean(dim=0)
