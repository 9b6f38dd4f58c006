"""Norms that follow a condition, and the residual block that all parts of Re-Aging GAN are made of."""

import math
from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2  # of the leaky ReLU
Norm = Callable[[int], nn.Module]


class ConditionalNorm2d(nn.Module):
    """A normalisation without weights, whose scale ``1 + s`` and shift ``t`` are linear in a condition.

    Args:
        norm: of (B, C, H, W).
        channels: C.
        condition_dim: length of the condition.
    """

    def __init__(self, norm: nn.Module, channels: int, condition_dim: int) -> None:
        super().__init__()
        self.norm = norm
        self.affine = nn.Linear(condition_dim, 2 * channels)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Normalises (B, C, H, W) under conditions (B, condition_dim)."""
        scale, shift = self.affine(condition)[:, :, None, None].chunk(2, dim=1)
        return torch.addcmul(shift, self.norm(x), 1 + scale)


class ConditionalBatchNorm2d(ConditionalNorm2d):
    """Conditional batch normalisation: statistics of the batch in training, running ones in eval mode."""

    def __init__(self, channels: int, condition_dim: int) -> None:
        super().__init__(nn.BatchNorm2d(channels, affine=False), channels, condition_dim)


class AdaptiveInstanceNorm2d(ConditionalNorm2d):
    """Adaptive instance normalisation (Huang and Belongie 2017): statistics of each picture and channel.

    As groups of one channel each, which needs no copy of pictures with their channels last in memory.
    """

    def __init__(self, channels: int, condition_dim: int) -> None:
        super().__init__(nn.GroupNorm(channels, channels, affine=False), channels, condition_dim)


class ResidualBlock(nn.Module):
    """``(skip(x) + residual(x)) / sqrt 2``: norm, activation, 3x3 convolution, each twice.

    Args:
        inputs: channels of the input.
        outputs: channels of the result.
        norm: makes the norms, of so many channels; None for none.
        resample: halves or doubles height and width.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        norm: Norm | None = None,
        resample: Literal["down", "up"] | None = None,
    ) -> None:
        super().__init__()
        self.resample = resample
        between = outputs if resample == "up" else inputs  # the fewer at full size
        self.norm1 = norm(inputs) if norm else None
        self.norm2 = norm(between) if norm else None
        self.conv1 = convolution(inputs, between, 3, bias=norm is None)  # a norm would take it away
        self.conv2 = convolution(between, outputs, 3)
        self.skip = convolution(inputs, outputs, 1, bias=False) if inputs != outputs else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Maps (B, inputs, H, W) to (B, outputs, H', W'); norms with a condition get it, (B, D)."""
        residual = self._activated(x, self.norm1, condition)
        if self.resample == "up":
            x, residual = _doubled(x), _doubled(residual)
        residual = self.conv1(residual)
        if self.resample == "down":
            x, residual = F.avg_pool2d(x, 2), F.avg_pool2d(residual, 2)
        residual = self.conv2(self._activated(residual, self.norm2, condition))
        x = x if self.skip is None else self.skip(x)
        return (x + residual) / math.sqrt(2)

    @staticmethod
    def _activated(x: Tensor, norm: nn.Module | None, condition: Tensor | None) -> Tensor:
        if norm is not None:
            x = norm(x) if condition is None else norm(x, condition)
        return F.leaky_relu(x, SLOPE)


def convolution(inputs: int, outputs: int, kernel: int, bias: bool = True) -> nn.Conv2d:
    """A convolution that keeps height and width, with He's initialisation and no bias at the start."""
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias)
    nn.init.kaiming_normal_(layer.weight, a=SLOPE)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
