"""Layers of StyleGAN2 (Karras et al. 2020) with the names and state-dict keys of rosinality's implementation.

Every layer computes in the dtype of its input activations; weights and styles stay in float32.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.prepared import Prepared
from models.stylegan2.op import FusedLeakyReLU, compiled_operators, fused_leaky_relu, scale_channels
from models.stylegan2.resampling import (
    Blur,
    BlurKernel,
    Upsample,
    doubling_convolution,
    resampling_padding,
)
from utils.exporting import exporting

_ALIGNED = 8  # sides of matrix products are multiples of it on tensor cores; fewer channels are slow there
_PIXELS_OF_A_PART = 4096  # of a matrix product on a GPU


class PixelNorm(nn.Module):
    """Normalises each vector along dimension 1 to unit mean square."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class EqualConv2d(nn.Module):
    """Convolution with equalised learning rate: unit-normal weights, scaled by `1 / sqrt(fan_in)` in use."""

    def __init__(
        self,
        in_channel: int,
        out_channel: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channel, in_channel, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(out_channel)) if bias else None
        self.scale = 1 / math.sqrt(in_channel * kernel_size**2)
        self.stride = stride
        self.padding = padding

    def forward(self, x: Tensor, gain: float = 1.0, bias: Tensor | None = None) -> Tensor:
        """Returns `gain` times the convolution, at no cost: weight and bias carry it.

        Args:
            x: (B, in_channel, H, W).
            bias: (out_channel,) instead of the layer's own: that of an activation, which then adds none.
        """
        bias = self.bias if bias is None else bias
        bias = None if bias is None else (bias * gain).to(x.dtype)
        weight = (self.weight * (self.scale * gain)).to(x.dtype)
        if x.is_cuda and weight.shape[1] < _ALIGNED and weight.shape[2] == self.stride == 1:
            out = _pointwise(x, weight[None, :, :, 0, 0].expand(len(x), -1, -1))
            return out if bias is None else out + bias[:, None, None]
        return F.conv2d(x, weight, bias, stride=self.stride, padding=self.padding)


class EqualLinear(nn.Module):
    """Linear layer with equalised learning rate, times `lr_mul` (0.01 in the mapping network)."""

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        bias: bool = True,
        bias_init: float = 0.0,
        lr_mul: float = 1.0,
        activation: str | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_dim, in_dim) / lr_mul)
        self.bias = nn.Parameter(torch.full((out_dim,), float(bias_init))) if bias else None
        self.activation = activation
        self.scale = lr_mul / math.sqrt(in_dim)
        self.lr_mul = lr_mul

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias * self.lr_mul
        if self.activation:
            return fused_leaky_relu(F.linear(x, self.weight * self.scale), bias)
        return F.linear(x, self.weight * self.scale, bias)


class Factors(NamedTuple):
    """What a style makes of a modulated convolution.

    Attributes:
        modulation: factors of its input channels (B, in).
        demodulation: factors of its output channels (B, out), or None for 1.
    """

    modulation: Tensor
    demodulation: Tensor | None


class ModulatedConv2d(nn.Module):
    """Convolution with input channels scaled by a style and output renormalised (StyleGAN2, section 2.2).

    Two equal forms: `shared` scales the activations before and after one convolution with a weight shared by
    the batch (equations 1 and 3 applied to activations); `grouped` makes one weight per sample, as the
    equations have it, and a grouped convolution.
    """

    def __init__(
        self,
        in_channel: int,
        out_channel: int,
        kernel_size: int,
        style_dim: int,
        demodulate: bool = True,
        upsample: bool = False,
        downsample: bool = False,
        blur_kernel: BlurKernel = (1, 3, 3, 1),
    ) -> None:
        super().__init__()
        self.eps = 1e-8
        self.kernel_size = kernel_size
        self.upsample = upsample
        self.downsample = downsample
        self.demodulate = demodulate
        self.grouped = False
        self.weight = nn.Parameter(torch.randn(1, out_channel, in_channel, kernel_size, kernel_size))
        if upsample or downsample:
            pad = resampling_padding(len(blur_kernel), upsample, kernel_size)
            self.blur = Blur(blur_kernel, pad, upsample_factor=2 if upsample else 1)
        self.modulation = EqualLinear(style_dim, in_channel, bias_init=1)
        self.scale = 1 / math.sqrt(in_channel * kernel_size**2)
        self._prepared: Prepared[Tensor] = Prepared()

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Maps (B, in, H, W) activations and (B, style_dim) styles to (B, out, H', W')."""
        modulation, demodulation = self.factors(style)
        out = self.convolve(x, modulation)
        return out if demodulation is None else scale_channels(out, demodulation)

    def factors(self, style: Tensor, gain: float = 1.0) -> Factors:
        """Factors for (B, style_dim) styles; `gain` times the demodulation, where there is one."""
        modulation = self.modulation(style)
        if self.grouped or not self.demodulate:
            return Factors(modulation, None)
        energy = modulation.square() @ self.energy(gain).t()
        return Factors(modulation, torch.rsqrt(energy + self.eps / gain**2))

    def energy(self, gain: float = 1.0) -> Tensor:
        """Squared weights (out, in), summed over the kernel, for demodulation times a gain."""
        return self.weight[0].square().sum((2, 3)) * (self.scale / gain) ** 2

    def convolve(self, x: Tensor, modulation: Tensor) -> Tensor:
        """The convolution with input factors (B, in) alone; the grouped form has the output factors, too."""
        if self.grouped:
            return self._convolve_grouped(x, self.weight[0] * self.scale, modulation)
        weight = self.scaled_weight(x.dtype)
        if self.kernel_size == 1 and not (self.upsample or self.downsample):
            return _pointwise(x, weight[:, :, 0, 0] * modulation.to(x.dtype)[:, None, :])
        return self._resampling_convolution(scale_channels(x, modulation), weight)

    def scaled_weight(self, dtype: torch.dtype) -> Tensor:
        """The weight (out, in, k, k) in use, in a dtype."""
        return self._prepared.of([self.weight], lambda: (self.weight[0] * self.scale).to(dtype), dtype)

    def _resampling_convolution(self, x: Tensor, weight: Tensor, groups: int = 1) -> Tensor:
        """Convolves with an (out, in, k, k) weight, with FIR-filtered up- or downsampling by 2."""
        if self.upsample:
            return self.blur(doubling_convolution(x, weight, groups))
        if self.downsample:
            return F.conv2d(self.blur(x), weight, stride=2, groups=groups)
        return F.conv2d(x, weight, padding=self.kernel_size // 2, groups=groups)

    def _convolve_grouped(self, x: Tensor, weight: Tensor, modulation: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        weight = weight[None] * modulation[:, None, :, None, None]
        if self.demodulate:
            weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + self.eps)
        x = x.reshape(1, batch * channels, height, width)
        out = self._resampling_convolution(x, weight.flatten(0, 1).to(x.dtype), groups=batch)
        return out.view(batch, -1, *out.shape[2:])


def _pointwise(x: Tensor, weight: Tensor, aligned: bool | None = None) -> Tensor:
    """1x1 convolution of (B, C, H, W) with (B, out, C) weights, as a matrix product in NHWC order.

    Args:
        aligned: whether sides become multiples of eight, as tensor cores take them, and samples are divided:
            the gradient of a weight, a sum over all pixels, then has many parts at a time. None: on GPUs.
    """
    batch, channels, height, width = x.shape
    if exporting():  # graphs are in NCHW order
        return (weight @ x.flatten(2)).unflatten(2, (height, width))
    columns = weight.shape[1]
    parts = 1
    if x.is_cuda if aligned is None else aligned:
        if channels % _ALIGNED:
            x = F.pad(x, (0, 0, 0, 0, 0, -channels % _ALIGNED))
        if channels % _ALIGNED or columns % _ALIGNED:
            weight = F.pad(weight, (0, -channels % _ALIGNED, 0, -columns % _ALIGNED))
        parts = max(1, height * width // _PIXELS_OF_A_PART)
        parts = parts if height * width % parts == 0 else 1
        weight = weight[:, None].expand(-1, parts, -1, -1).flatten(0, 1)
    rows = x.permute(0, 2, 3, 1).reshape(batch * parts, height * width // parts, x.shape[1])
    out = rows @ weight.transpose(1, 2)
    return out.view(batch, height, width, -1)[..., :columns].permute(0, 3, 1, 2)


class NoiseInjection(nn.Module):
    """Adds one-channel noise with a learned strength."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, image: Tensor, noise: Tensor | None = None) -> Tensor:
        """Returns `image + weight * noise`.

        Args:
            image: (B, C, H, W).
            noise: (1 or B, 1, H, W), None for fresh noise.
        """
        return image + self.scaled(image, noise)

    def scaled(self, image: Tensor, noise: Tensor | None = None, gain: float = 1.0) -> Tensor:
        """Returns `gain * weight * noise` for an image in its dtype, of fresh noise by default."""
        if noise is None:
            noise = torch.randn_like(image[:, :1])
        return (self.weight * gain * noise).to(image.dtype)


class ConstantInput(nn.Module):
    """The learned 4x4 input of the synthesis network."""

    def __init__(self, channel: int, size: int = 4) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channel, size, size))

    def forward(self, batch_like: Tensor) -> Tensor:
        return self.input.expand(batch_like.shape[0], -1, -1, -1)


class StyledConv(nn.Module):
    """Modulated convolution, noise, bias and leaky ReLU."""

    def __init__(
        self,
        in_channel: int,
        out_channel: int,
        kernel_size: int,
        style_dim: int,
        upsample: bool = False,
        blur_kernel: BlurKernel = (1, 3, 3, 1),
        demodulate: bool = True,
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(
            in_channel, out_channel, kernel_size, style_dim, demodulate, upsample, blur_kernel=blur_kernel
        )
        self.noise = NoiseInjection()
        self.activate = FusedLeakyReLU(out_channel)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor | None = None) -> Tensor:
        """Maps (B, in, H, W) activations and (B, style_dim) styles to (B, out, H', W')."""
        return self.render(x, self.conv.factors(style, self.activate.scale), noise)

    def render(
        self, x: Tensor, factors: Factors, noise: Tensor | None = None, shift: Tensor | None = None
    ) -> Tensor:
        """The same with known factors.

        The activation's gain goes into demodulation and noise, and later the bias: no pass over memory of its
        own.

        Args:
            x: (B, in, H, W).
            factors: of this layer's style, with the gain.
            noise: (1 or B, 1, H', W'), None for fresh noise.
            shift: `self.noise.scaled` of the noise with the gain, where it is known.
        """
        gain = self.activate.scale
        out = self.conv.convolve(x, factors.modulation)
        shift = self.noise.scaled(out, noise, gain) if shift is None else shift
        if factors.demodulation is None:
            return self.activate.finish(torch.add(shift, out, alpha=gain))
        return self.activate.finish_scaled(out, factors.demodulation, shift)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to RGB, added to the upsampled image of the previous resolution."""

    def __init__(
        self, in_channel: int, style_dim: int, upsample: bool = True, blur_kernel: BlurKernel = (1, 3, 3, 1)
    ) -> None:
        super().__init__()
        if upsample:
            self.upsample = Upsample(blur_kernel)
        self.conv = ModulatedConv2d(in_channel, 3, 1, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, style: Tensor, skip: Tensor | None = None) -> Tensor:
        """Maps (B, in, H, W) activations and (B, style_dim) styles to (B, 3, H, W)."""
        return self.render(x, self.conv.factors(style), skip)

    def render(self, x: Tensor, factors: Factors, skip: Tensor | None = None) -> Tensor:
        """The same with known factors; the image is as wide as the bias."""
        out = self.conv.convolve(x, factors.modulation) + self.bias
        return out if skip is None else out + self.upsample(skip)


class ConvLayer(nn.Sequential):
    """Discriminator convolution: optional blur and stride 2, then bias and leaky ReLU."""

    def __init__(
        self,
        in_channel: int,
        out_channel: int,
        kernel_size: int,
        downsample: bool = False,
        blur_kernel: BlurKernel = (1, 3, 3, 1),
        bias: bool = True,
        activate: bool = True,
    ) -> None:
        layers: list[nn.Module] = []
        stride, padding = 1, kernel_size // 2
        if downsample:
            pad = resampling_padding(len(blur_kernel), doubling=False, kernel_size=kernel_size)
            # A 1x1 convolution may follow the decimation, and then sees a quarter of the pixels.
            down, stride, padding = (2, 1, 0) if kernel_size == 1 else (1, 2, 0)
            layers.append(Blur(blur_kernel, pad, down=down))
        layers.append(
            EqualConv2d(in_channel, out_channel, kernel_size, stride, padding, bias=bias and not activate)
        )
        if activate:
            layers.append(FusedLeakyReLU(out_channel, bias))
        super().__init__(*layers)
        self.downsample = downsample
        self.activate = activate

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """Returns `gain` times the layer's output.

        The convolution carries this gain and the activation's, and adds the bias; where the operators are
        compiled the activation does all that in its one pass, as cuDNN adds a bias in a pass of its own.
        """
        if self.downsample:
            x = self[0](x)
        convolution = self[1 if self.downsample else 0]
        if not self.activate:
            return convolution(x, gain)
        activation = self[-1]
        if compiled_operators(x):
            scale = gain * activation.scale
            return fused_leaky_relu(convolution(x), activation.bias, activation.negative_slope, scale)
        out = convolution(x, gain * activation.scale, activation.bias)
        return activation.finish(out, bias_added=True)


class ResBlock(nn.Module):
    """Discriminator residual block that halves the resolution."""

    def __init__(self, in_channel: int, out_channel: int, blur_kernel: BlurKernel = (1, 3, 3, 1)) -> None:
        super().__init__()
        self.conv1 = ConvLayer(in_channel, in_channel, 3)
        self.conv2 = ConvLayer(in_channel, out_channel, 3, downsample=True, blur_kernel=blur_kernel)
        self.skip = ConvLayer(in_channel, out_channel, 1, downsample=True, activate=False, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        half = 1 / math.sqrt(2)
        return self.conv2(self.conv1(x), gain=half) + self.skip(x, gain=half)
