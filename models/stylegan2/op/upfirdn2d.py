"""Upsample, filter, downsample (StyleGAN2's `upfirdn2d`), differentiable any number of times.

Compiled for CUDA or in plain PyTorch.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models.stylegan2.op.compiled import compiled_operators

Padding = tuple[int, int, int, int]  # top, bottom, left, right


def upfirdn2d(x: Tensor, kernel: Tensor, up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0)) -> Tensor:
    """Zero-inserts by `up`, pads, convolves with `kernel` and keeps every `down`-th sample.

    Args:
        x: (B, C, H, W).
        kernel: (kh, kw) FIR filter, the same for every channel; it gets no gradient.
        pad: samples added before and after each axis of the upsampled image; negative values crop.

    Returns:
        (B, C, H', W') with `H' = (H * up + pad[0] + pad[1] - kh) // down + 1`.
    """
    return _UpFirDn2d.apply(x, kernel, up, down, (*pad, *pad))


class _UpFirDn2d(torch.autograd.Function):
    """The gradient of upfirdn2d is another upfirdn2d, and as fast."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, up: int, down: int, pad: Padding) -> Tensor:
        ctx.save_for_backward(kernel)
        compiled = compiled_operators(x, kernel)
        out = (compiled.upfirdn2d if compiled else _filter)(x, kernel, up, down, pad)
        top, _, left, _ = pad
        kernel_height, kernel_width = kernel.shape
        ctx.up, ctx.down = up, down
        ctx.gradient_pad = (
            kernel_height - top - 1,
            x.shape[2] * up - out.shape[2] * down + top - up + 1,
            kernel_width - left - 1,
            x.shape[3] * up - out.shape[3] * down + left - up + 1,
        )
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (kernel,) = ctx.saved_tensors
        grad_x = _UpFirDn2d.apply(grad, kernel.flip(0, 1), ctx.down, ctx.up, ctx.gradient_pad)
        return grad_x, None, None, None, None


def _filter(x: Tensor, kernel: Tensor, up: int, down: int, pad: Padding) -> Tensor:
    """The forward computation in plain PyTorch."""
    channels = x.shape[1]
    top, bottom, left, right = pad
    if up > 1:
        x = _insert_zeros(x, up)
    x, padding = _pad(x, top, bottom, left, right)
    weight = kernel.flip(0, 1).to(x.dtype).expand(channels, 1, *kernel.shape)
    return F.conv2d(x, weight, stride=down, padding=padding, groups=channels)


def _insert_zeros(x: Tensor, up: int) -> Tensor:
    """Puts `up - 1` zeros after every sample.

    A depthwise transposed convolution would skip them, but on CPUs it runs many times slower than this.
    """
    batch, channels, height, width = x.shape
    spread = x.new_zeros(batch, height * up, width * up, channels).permute(0, 3, 1, 2)
    spread[:, :, ::up, ::up] = x
    return spread


def _pad(x: Tensor, top: int, bottom: int, left: int, right: int) -> tuple[Tensor, tuple[int, int]]:
    """Splits padding into what the convolution does itself and what needs a copy."""
    if top == bottom >= 0 and left == right >= 0:
        return x, (top, left)
    return F.pad(x, (left, right, top, bottom)), (0, 0)
