"""FIR filters that double and halve resolutions in StyleGAN2, alone and around convolutions."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.stylegan2.op import upfirdn2d

BlurKernel = Sequence[float]


def make_kernel(taps: BlurKernel) -> Tensor:
    """Returns the normalised (n, n) outer product of a separable filter."""
    kernel = torch.tensor(taps, dtype=torch.float32)
    kernel = kernel[:, None] * kernel[None, :]
    return kernel / kernel.sum()


def resampling_padding(taps: int, doubling: bool, kernel_size: int | None = None) -> tuple[int, int]:
    """Samples to add before and after each axis, so that FIR resampling by 2 gives exactly that size.

    Args:
        taps: length of the filter.
        doubling: twice the resolution; otherwise half of it.
        kernel_size: of the convolution that resamples: transposed and before the filter, or strided and after
            it. None: the filter itself resamples (`upfirdn2d`).
    """
    reach = 0 if kernel_size is None else kernel_size - 1
    spare = taps - 2 - reach if doubling else taps - 2 + reach
    before, after = (spare + 1) // 2, spare // 2
    if not doubling:
        return before, after
    # A transposed convolution puts no zero after the last sample, `upfirdn2d` does.
    return before + 1, after + (kernel_size is not None)


class Upsample(nn.Module):
    """Doubles the resolution with a FIR filter."""

    def __init__(self, kernel: BlurKernel) -> None:
        super().__init__()
        self.register_buffer("kernel", make_kernel(kernel) * 4)
        self.pad = resampling_padding(len(kernel), doubling=True)
        self.symmetric = list(kernel) == list(reversed(kernel))

    def forward(self, x: Tensor) -> Tensor:
        return upfirdn2d(x, self.kernel, up=2, pad=self.pad, symmetric=self.symmetric)


class Blur(nn.Module):
    """Low-pass filter around a strided convolution.

    Args:
        kernel: taps of the separable filter.
        pad: samples added before and after each axis.
        upsample_factor: multiplies the filter, axis by axis, against the zeros that upsampling put in.
        down: keeps every `down`-th sample only.
    """

    def __init__(
        self, kernel: BlurKernel, pad: tuple[int, int], upsample_factor: int = 1, down: int = 1
    ) -> None:
        super().__init__()
        self.register_buffer("kernel", make_kernel(kernel) * upsample_factor**2)
        self.pad = pad
        self.down = down
        self.symmetric = list(kernel) == list(reversed(kernel))

    def forward(self, x: Tensor) -> Tensor:
        return upfirdn2d(x, self.kernel, down=self.down, pad=self.pad, symmetric=self.symmetric)


LARGE = 32  # side from which phases are faster than a transposed convolution on CPUs


def doubling_convolution(x: Tensor, weight: Tensor, groups: int = 1) -> Tensor:
    """Transposed convolution of stride 2 without padding: (B, in, H, W) to (B, out, 2 H + 1, 2 W + 1).

    On CPUs a transposed convolution runs at about half the speed of the same arithmetic in plain ones. Large
    maps are computed in four phases there: each knows which taps meet its pixels.

    Args:
        x: activations.
        weight: (out, in / groups, 3, 3).
        groups: of channels.
    """
    in_phases = x.device.type == "cpu" and groups == 1 and min(x.shape[2:]) >= LARGE
    if in_phases and weight.shape[2:] == (3, 3) and not torch.compiler.is_compiling():
        return _InPhases.apply(x, weight)
    return F.conv_transpose2d(x, _transposed(weight, groups), stride=2, groups=groups)


def _transposed(weight: Tensor, groups: int) -> Tensor:
    """Swaps input and output channels of an (out, in, k, k) weight, as transposed convolutions read it."""
    if groups == 1:
        return weight.transpose(0, 1)
    by_group = weight.unflatten(0, (groups, -1))
    return by_group.transpose(1, 2).flatten(0, 1)


class _InPhases(torch.autograd.Function):
    """Even and odd rows and columns of the result, each by a convolution of its own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        batch, _, height, width = x.shape
        size = (batch, 2 * height + 1, 2 * width + 1, len(weight))
        out = x.new_empty(size).permute(0, 3, 1, 2)
        turned = weight.flip(2, 3)
        for row in (0, 1):  # an even row sees the taps 0 and 2 of two rows, an odd one the tap between
            for column in (0, 1):
                taps = turned[:, :, row : 3 - row : 2, column : 3 - column : 2]
                out[:, :, row::2, column::2] = F.conv2d(x, taps, padding=(1 - row, 1 - column))
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        at_x, at_weight, _ = torch.ops.aten.convolution_backward(
            gradient, x, weight.transpose(0, 1), None, (2, 2), (0, 0), (1, 1), True, (0, 0), 1,
            (*ctx.needs_input_grad, False),
        )  # fmt: skip
        return at_x, None if at_weight is None else at_weight.transpose(0, 1)
