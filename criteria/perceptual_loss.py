"""Perceptual distances: what LPIPS and the features of an age classifier share (Zhang et al. 2018)."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from criteria.frozen import FrozenLoss, full_precision
from models.prepared import Prepared


class _UnitNormalise(torch.autograd.Function):
    """``scales * x / (|x| + eps)`` along dimension 1; the gradient at zero is finite."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, scales: Tensor | None, eps: float) -> Tensor:
        norm = features.square().sum(dim=1, keepdim=True).sqrt_().add_(eps)
        unit = features / norm
        ctx.save_for_backward(unit, norm, scales)
        return unit if scales is None else unit * scales

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        unit, norm, scales = ctx.saved_tensors
        gradient = gradient if scales is None else gradient * scales
        along = (gradient * unit).sum(dim=1, keepdim=True)
        return torch.addcmul(gradient, unit, along, value=-1).div_(norm), None, None


def unit_normalise(features: Tensor, scales: Tensor | None = None, eps: float = 1e-10) -> Tensor:
    """Scales the channel vector at every pixel of ``(B, C, H, W)`` to unit length.

    The same numbers as LPIPS, but where all channels are exactly zero the gradient is finite; there LPIPS
    returns NaN, from the derivative of the square root.

    Args:
        scales: factors ``(C, 1, 1)`` of the channels afterwards; constants.
    """
    return _UnitNormalise.apply(features, scales, eps)


class PerceptualLoss(FrozenLoss):
    """Distance of unit-normalised feature maps; a subclass supplies the maps and weighs their channels."""

    def __init__(self) -> None:
        super().__init__()
        self._roots: defaultdict[int, Prepared[Tensor]] = defaultdict(Prepared)

    def feature_maps(self, images: Tensor) -> Sequence[Tensor]:
        """Raw maps ``(B, C_l, H_l, W_l)``, one per layer, of images ``(B, 3, S, S)`` in [-1, 1]."""
        raise NotImplementedError

    def channel_weights(self, layer: int) -> Tensor | None:
        """Non-negative weights ``(C_l, 1, 1)`` of the channels of a layer, or None for 1."""
        return None

    def combine(self, layers: list[Tensor]) -> Tensor:
        """One number per image ``(B,)`` from those of all layers, or one for all from means of the batch."""
        raise NotImplementedError

    def features(self, images: Tensor) -> list[Tensor]:
        """What ``distance`` compares, so that the features of a target are computed only once.

        Their squared difference, summed over channels, is the distance of two pixels: each channel carries
        the root of its weight.
        """
        found = []
        for layer, maps in enumerate(self.feature_maps(images)):
            weights = self.channel_weights(layer)
            scales = None if weights is None else self._roots[layer].of([weights], weights.sqrt)
            found.append(unit_normalise(full_precision(maps), scales))
        return found

    def distance(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        """Distance of each image pair ``(B,)`` from their ``features``."""
        pairs = zip(first, second, strict=True)
        return self.combine([(one - other).square().sum(dim=1).mean(dim=(1, 2)) for one, other in pairs])

    def mean_distance(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        """The mean of ``distance`` over the batch."""
        return self.combine(
            [
                F.mse_loss(one, other, reduction="sum") / one[:, 0].numel()
                for one, other in zip(first, second, strict=True)
            ]
        )

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
        return self.mean_distance(self.features(generated), self.known_features(target, target_features))

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
