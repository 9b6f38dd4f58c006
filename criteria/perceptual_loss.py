"""Perceptual distances: what LPIPS and the features of an age classifier share (Zhang et al. 2018)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from criteria.frozen import FrozenLoss, full_precision


def unit_normalise(features: Tensor, eps: float = 1e-10) -> Tensor:
    """Scales the channel vector at every pixel of ``(B, C, H, W)`` to unit length.

    The same numbers as LPIPS, but where all channels are exactly zero the gradient is finite; there LPIPS
    returns NaN, from the derivative of the square root.
    """
    squared = features.square().sum(dim=1, keepdim=True)
    norm = (squared + (squared == 0)).sqrt()  # torch.where is slow on CPUs
    return features / (norm + eps)


class PerceptualLoss(FrozenLoss):
    """Distance of unit-normalised feature maps; a subclass supplies the maps and weighs their channels."""

    def feature_maps(self, images: Tensor) -> Sequence[Tensor]:
        """Raw maps ``(B, C_l, H_l, W_l)``, one per layer, of images ``(B, 3, S, S)`` in [-1, 1]."""
        raise NotImplementedError

    def layer_distance(self, layer: int, squared_difference: Tensor) -> Tensor:
        """Weighs the channels of ``(B, C, H, W)`` and sums them: ``(B, H, W)``."""
        raise NotImplementedError

    def combine(self, layers: list[Tensor]) -> Tensor:
        """One number per image ``(B,)`` from those of all layers."""
        raise NotImplementedError

    def features(self, images: Tensor) -> list[Tensor]:
        """What ``distance`` compares, so that the features of a target are computed only once."""
        return [unit_normalise(full_precision(maps)) for maps in self.feature_maps(images)]

    def distance(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        """Distance of each image pair ``(B,)`` from their ``features``."""
        layers = [
            self.layer_distance(layer, (one - other).square()).mean(dim=(1, 2))
            for layer, (one, other) in enumerate(zip(first, second, strict=True))
        ]
        return self.combine(layers)

    def forward(
        self,
        generated: Tensor,
        target: Tensor | None = None,
        *,
        target_features: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Mean distance over the batch.

        Args:
            generated: images ``(B, 3, S, S)`` in [-1, 1].
            target: images of the same shape; not needed where ``target_features`` are given.
            target_features: ``features(target)`` computed before.

        Raises:
            ValueError: if neither is given.
        """
        return self.distance(self.features(generated), self.known_features(target, target_features)).mean()

    def known_features(
        self, target: Tensor | None, target_features: Sequence[Tensor] | None
    ) -> Sequence[Tensor]:
        """Features of the target, computed without gradient where they are not given."""
        if target_features is not None:
            return target_features
        if target is None:
            raise ValueError("a perceptual loss needs target images or their features")
        with torch.no_grad():
            return self.features(target)
