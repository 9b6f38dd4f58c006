"""Residual units of the IR-SE face networks (ArcFace, Deng et al. 2019; SE gates, Hu et al. 2018)."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

OFFICIAL_CHANNELS = (64, 64, 128, 256, 512)
UNITS_OF_DEPTH = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    100: (3, 13, 30, 3),
    152: (3, 8, 36, 3),
}
MODES = ("ir", "ir_se")


def l2_norm(x: Tensor, dim: int = 1) -> Tensor:
    """Scales vectors along ``dim`` to unit length."""
    return x / torch.linalg.vector_norm(x, dim=dim, keepdim=True)


class _PReLU(torch.autograd.Function):
    """PReLU with a derivative made of vectorised operators; PyTorch's own is ten times slower on CPUs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return F.prelu(x, slope)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, slope = ctx.saved_tensors
        positive = torch.ops.aten.threshold_backward(gradient, x, 0)
        negative = gradient - positive
        return torch.addcmul(positive, negative, slope[:, None, None]), (negative * x).sum((0, 2, 3))


class PReLU(nn.PReLU):
    """``nn.PReLU`` with one slope per channel of (B, C, H, W), fast on CPUs in both directions."""

    def forward(self, x: Tensor) -> Tensor:
        slope = self.weight.to(x.dtype)
        trained_on_cpu = x.device.type == "cpu" and torch.is_grad_enabled()
        return _PReLU.apply(x, slope) if trained_on_cpu else F.prelu(x, slope)


class SEModule(nn.Module):
    """Squeeze-and-excitation: one factor in (0, 1) per channel, computed from the channel means."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.fc1 = nn.Conv2d(channels, hidden, kernel_size=1, bias=False)
        self.fc2 = nn.Conv2d(hidden, channels, kernel_size=1, bias=False)

    def gates(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to the factors (B, C, 1, 1)."""
        return torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True)), inplace=True)))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gates(x)


class Subsample(nn.Module):
    """Keeps every ``stride``-th pixel: the parameter-free shortcut of units that keep their width."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x if self.stride == 1 else x[..., :: self.stride, :: self.stride]


class ResidualUnit(nn.Module):
    """Improved residual unit: norm, 3x3 convolution, PReLU, strided 3x3 convolution, norm, SE gate."""

    def __init__(self, in_channels: int, channels: int, stride: int, squeeze: bool) -> None:
        super().__init__()
        if in_channels == channels:
            self.shortcut_layer: nn.Module = Subsample(stride)
        else:
            convolution = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
            self.shortcut_layer = nn.Sequential(convolution, nn.BatchNorm2d(channels))
        layers: list[nn.Module] = [
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, channels, 3, 1, 1, bias=False),
            PReLU(channels),
            nn.Conv2d(channels, channels, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels),
        ]
        self.squeeze = squeeze
        if squeeze:
            layers.append(SEModule(channels))
        self.res_layer = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.shortcut_layer(x)
        if not self.squeeze:
            return self.res_layer(x) + shortcut
        for layer in self.res_layer[:-1]:
            x = layer(x)
        return torch.addcmul(shortcut, x, self.res_layer[-1].gates(x))  # one pass for gate and sum


def units_per_stage(num_layers: int, units: Sequence[int] | None) -> tuple[int, ...]:
    """Blocks in each of the four stages: ``units`` where given, else the published table for ``num_layers``.

    Raises:
        ValueError: the depth is not in the table, or ``units`` does not have four positive entries.
    """
    if units is None:
        if num_layers not in UNITS_OF_DEPTH:
            raise ValueError(f"num_layers must be one of {sorted(UNITS_OF_DEPTH)}, not {num_layers}")
        return UNITS_OF_DEPTH[num_layers]
    if len(units) != 4 or min(units) < 1:
        raise ValueError(f"units must be four positive numbers, not {tuple(units)}")
    return tuple(units)


def input_layer(input_nc: int, channels: int) -> nn.Sequential:
    """The stem: 3x3 convolution, norm, PReLU."""
    convolution = nn.Conv2d(input_nc, channels, 3, 1, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), PReLU(channels))


def body(channels: Sequence[int], stages: Sequence[int], mode: str) -> nn.Sequential:
    """The residual stages in one flat sequence; the first unit of each stage halves the resolution.

    Args:
        channels: width of the stem and of the four stages.
        stages: units in each stage.
        mode: ``ir``, or ``ir_se`` with squeeze-and-excitation.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {MODES}, not {mode!r}")
    if len(channels) != 5:
        raise ValueError(f"channels must be five widths (stem and four stages), not {tuple(channels)}")
    layers: list[nn.Module] = []
    squeeze = mode == "ir_se"
    for stage, count in enumerate(stages):
        width_in, width = channels[stage], channels[stage + 1]
        layers.append(ResidualUnit(width_in, width, 2, squeeze))
        layers += [ResidualUnit(width, width, 1, squeeze) for _ in range(count - 1)]
    return nn.Sequential(*layers)
