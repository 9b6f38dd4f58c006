"""Bias, leaky ReLU and gain in one call (StyleGAN2, rosinality's `fused_act`), in plain PyTorch."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def fused_leaky_relu(
    x: Tensor, bias: Tensor | None = None, negative_slope: float = 0.2, scale: float = math.sqrt(2)
) -> Tensor:
    """Returns `scale * leaky_relu(x + bias)`.

    Args:
        x: (B, C, ...) activations.
        bias: (C,) added along the second dimension, or None.

    Leaky ReLU is positively homogeneous, so a positive `scale` is applied to the bias and as the factor of
    one fused multiply-add, and the activation then works in place: two passes over memory instead of four.
    """
    if bias is None:
        return F.leaky_relu(x * scale, negative_slope, inplace=True)
    shift = (bias * scale).to(x.dtype).view(1, -1, *[1] * (x.dim() - 2))
    scaled = torch.addcmul(shift, x, x.new_tensor(scale)) if scale != 1 else x + shift
    return F.leaky_relu(scaled, negative_slope, inplace=True)


class FusedLeakyReLU(nn.Module):
    """`fused_leaky_relu` with a learned bias of shape (channel,)."""

    def __init__(self, channel: int, negative_slope: float = 0.2, scale: float = math.sqrt(2)) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channel))
        self.negative_slope = negative_slope
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return fused_leaky_relu(x, self.bias, self.negative_slope, self.scale)
