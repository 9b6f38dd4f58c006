"""Upsample, filter, downsample (StyleGAN2's `upfirdn2d`), differentiable any number of times.

Compiled for CUDA or in plain PyTorch.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from models.stylegan2.op.compiled import compiled_operators
from utils.exporting import exporting

Padding = tuple[int, int, int, int]  # top, bottom, left, right


def upfirdn2d(
    x: Tensor,
    kernel: Tensor,
    up: int = 1,
    down: int = 1,
    pad: tuple[int, int] = (0, 0),
    symmetric: bool = False,
) -> Tensor:
    """Zero-inserts by `up`, pads, convolves with `kernel` and keeps every `down`-th sample.

    Args:
        x: (B, C, H, W).
        kernel: (kh, kw) FIR filter, the same for every channel; it gets no gradient.
        pad: samples added before and after each axis of the upsampled image; negative values crop.
        symmetric: the kernel is the same in both directions of both axes, and need not be turned around.

    Returns:
        (B, C, H', W') with `H' = (H * up + pad[0] + pad[1] - kh) // down + 1`.
    """
    if torch.compiler.is_compiling():
        return _filter(x, kernel.flip(0, 1), up, down, (*pad, *pad))
    return _UpFirDn2d.apply(x, kernel, up, down, (*pad, *pad), symmetric)


class _UpFirDn2d(torch.autograd.Function):
    """The gradient of upfirdn2d is another upfirdn2d, and as fast."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kernel: Tensor, up: int, down: int, pad: Padding, symmetric: bool
    ) -> Tensor:
        ctx.save_for_backward(kernel)
        compiled = compiled_operators(x, kernel)
        if compiled:
            out = compiled.upfirdn2d(x, kernel, up, down, pad)
        else:
            out = _filter(x, kernel if symmetric else kernel.flip(0, 1), up, down, pad)
        top, _, left, _ = pad
        kernel_height, kernel_width = kernel.shape
        ctx.up, ctx.down, ctx.symmetric = up, down, symmetric
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
        turned = kernel if ctx.symmetric else kernel.flip(0, 1)
        grad_x = _UpFirDn2d.apply(grad, turned, ctx.down, ctx.up, ctx.gradient_pad, ctx.symmetric)
        return grad_x, None, None, None, None, None


def _filter(x: Tensor, turned: Tensor, up: int, down: int, pad: Padding) -> Tensor:
    """The forward computation in plain PyTorch, with a kernel that is turned around."""
    channels = x.shape[1]
    if up > 1:
        x, pad = _insert_zeros(x, up, pad)
    x, padding = _pad(x, *pad)
    weight = turned.to(x.dtype).expand(channels, 1, *turned.shape)
    return F.conv2d(x, weight, stride=down, padding=padding, groups=channels)


def _insert_zeros(x: Tensor, up: int, pad: Padding) -> tuple[Tensor, Padding]:
    """Puts `up - 1` zeros after every sample, and around all what padding it can; returns the rest of it.

    A depthwise transposed convolution would skip them, but on CPUs it runs many times slower than this.
    """
    batch, channels, height, width = x.shape
    if exporting():  # graphs have no assignment to some pixels
        spread = F.pad(x[:, :, :, None, :, None], (0, up - 1, 0, 0, 0, up - 1))
        return spread.reshape(batch, channels, height * up, width * up), pad
    top, bottom, left, right = (max(0, amount) for amount in pad)
    size = (height * up + top + bottom, width * up + left + right)
    spread = x.new_zeros(batch, *size, channels).permute(0, 3, 1, 2)
    spread[:, :, top : top + height * up : up, left : left + width * up : up] = x
    above, below, ahead, behind = (min(0, amount) for amount in pad)
    return spread, (above, below, ahead, behind)


def _pad(x: Tensor, top: int, bottom: int, left: int, right: int) -> tuple[Tensor, tuple[int, int]]:
    """Splits padding into what the convolution does itself and what needs a copy."""
    if top == bottom >= 0 and left == right >= 0:
        return x, (top, left)
    return F.pad(x, (left, right, top, bottom)), (0, 0)
