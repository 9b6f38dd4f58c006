"""FIR filters that double and halve resolutions in StyleGAN2, alone and around convolutions."""

from collections.abc import Sequence

import torch
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
