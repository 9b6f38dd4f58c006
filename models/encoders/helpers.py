"""Residual units of the IR-SE face networks (ArcFace, Deng et al. 2019; SE gates, Hu et al. 2018)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.prepared import Prepared, compute_dtype, frozen
from utils.device import without_autocast
from utils.exporting import exporting

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
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        x, slope = ctx.saved_tensors
        positive = torch.ops.aten.threshold_backward(gradient, x, 0)
        slope_gradient = None
        if ctx.needs_input_grad[1]:
            slope_gradient = ((gradient - positive) * x).sum((0, 2, 3))
        return torch.lerp(positive, gradient, slope[:, None, None]), slope_gradient


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """PReLU of (B, C, H, W) with slopes (C,), fast on CPUs in both directions."""
    slope = slope.to(x.dtype)
    trained_on_cpu = x.device.type == "cpu" and torch.is_grad_enabled() and not torch.compiler.is_compiling()
    return _PReLU.apply(x, slope) if trained_on_cpu else F.prelu(x, slope)


class PReLU(nn.PReLU):
    """``nn.PReLU`` with one slope per channel, as :func:`prelu` computes it."""

    def forward(self, x: Tensor) -> Tensor:
        return prelu(x, self.weight)


class BatchNorm2d(nn.BatchNorm2d):
    """``nn.BatchNorm2d`` that leaves counting to :func:`count_batches`, one call for a whole network."""

    def forward(self, x: Tensor) -> Tensor:
        momentum, training = self.momentum, self.training
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training, momentum, self.eps
        )

    def affine_form(self) -> tuple[Tensor, Tensor]:
        """Scale and shift (C,) that the norm is in eval mode."""
        assert self.running_mean is not None and self.running_var is not None
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        return scale, self.bias - self.running_mean * scale

    def tensors(self) -> list[Tensor | None]:
        """What :meth:`affine_form` reads."""
        return [self.weight, self.bias, self.running_mean, self.running_var]


@torch.no_grad()
def count_batches(network: nn.Module) -> None:
    """Adds one to ``num_batches_tracked`` of every norm in train mode."""
    norms = [module for module in network.modules() if isinstance(module, BatchNorm2d) and module.training]
    counters = [norm.num_batches_tracked for norm in norms if norm.num_batches_tracked is not None]
    if counters:
        torch._foreach_add_(counters, 1)


class _GatedSum(torch.autograd.Function):
    """``shortcut + x * gates(x)`` with few operations in both directions.

    The gates are ``sigmoid(relu(mean(x) @ first.T) @ second.T)``.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, shortcut: Tensor, first: Tensor, second: Tensor) -> Tensor:
        means = x.mean((2, 3))
        hidden = torch.relu_(means @ first.t())
        gates = torch.sigmoid_(hidden @ second.t())
        ctx.save_for_backward(x, means, hidden, gates, first, second)
        return torch.addcmul(shortcut, x, gates[:, :, None, None])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, means, hidden, gates, first, second = ctx.saved_tensors
        at_gates = torch.ops.aten.sigmoid_backward((gradient * x).sum((2, 3)), gates)
        at_hidden = torch.ops.aten.threshold_backward(at_gates @ second, hidden, 0)
        at_means = torch.addmm(means, at_hidden, first, beta=0, alpha=1 / (x.shape[2] * x.shape[3]))
        at_x = torch.addcmul(at_means[:, :, None, None], gradient, gates[:, :, None, None])
        at_first = at_hidden.t() @ means if ctx.needs_input_grad[2] else None
        at_second = at_gates.t() @ hidden if ctx.needs_input_grad[3] else None
        return at_x, gradient, at_first, at_second


class SEModule(nn.Module):
    """Squeeze-and-excitation: one factor in (0, 1) per channel, computed from the channel means."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.fc1 = nn.Conv2d(channels, hidden, kernel_size=1, bias=False)
        self.fc2 = nn.Conv2d(hidden, channels, kernel_size=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(self.fc1(x.mean((2, 3), keepdim=True)), inplace=True)
        return x * torch.sigmoid(self.fc2(hidden))


class Subsample(nn.Module):
    """Keeps every ``stride``-th pixel: the parameter-free shortcut of units that keep their width."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x if self.stride == 1 else x[..., :: self.stride, :: self.stride]


class UnitWeights(NamedTuple):
    """A residual unit in eval mode: its second norm and that of the shortcut folded into convolutions.

    The first norm stays: the convolution after it adds zeros at the edge, which a folded shift would move.
    """

    first: Tensor
    slope: Tensor
    second: Tensor
    second_bias: Tensor
    gates: tuple[Tensor, Tensor] | None
    shortcut: tuple[Tensor, Tensor] | None


class ResidualUnit(nn.Module):
    """Improved residual unit: norm, 3x3 convolution, PReLU, strided 3x3 convolution, norm, SE gate."""

    def __init__(self, in_channels: int, channels: int, stride: int, squeeze: bool) -> None:
        super().__init__()
        if in_channels == channels:
            self.shortcut_layer: nn.Module = Subsample(stride)
        else:
            convolution = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
            self.shortcut_layer = nn.Sequential(convolution, BatchNorm2d(channels))
        layers: list[nn.Module] = [
            BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, channels, 3, 1, 1, bias=False),
            PReLU(channels),
            nn.Conv2d(channels, channels, 3, stride, 1, bias=False),
            BatchNorm2d(channels),
        ]
        self.stride = stride
        self.squeeze = squeeze
        if squeeze:
            layers.append(SEModule(channels))
        self.res_layer = nn.Sequential(*layers)
        self._prepared: Prepared[UnitWeights] = Prepared()

    def forward(self, x: Tensor) -> Tensor:
        plain = torch.compiler.is_compiling() and not exporting()
        weights = [] if self.training or plain else self._tensors()
        if weights and frozen(weights):
            dtype = compute_dtype(x)
            return self._folded(x, self._prepared.of(weights, lambda: self._fold(dtype), dtype))
        shortcut = self.shortcut_layer(x)
        for layer in self.res_layer[:5]:
            x = layer(x)
        if not self.squeeze:
            return x + shortcut
        gates = self.res_layer[5]
        first, second = (fc.weight.flatten(1).to(x.dtype) for fc in (gates.fc1, gates.fc2))
        return _gated_sum(x, shortcut, first, second)

    def _tensors(self) -> list[Tensor | None]:
        """Everything that :meth:`_fold` reads."""
        norm, first, slope, second, last = self.res_layer[:5]
        found = [*norm.tensors(), first.weight, slope.weight, second.weight, *last.tensors()]
        if self.squeeze:
            found += [self.res_layer[5].fc1.weight, self.res_layer[5].fc2.weight]
        if not isinstance(self.shortcut_layer, Subsample):
            found += [self.shortcut_layer[0].weight, *self.shortcut_layer[1].tensors()]
        return found

    def _fold(self, dtype: torch.dtype) -> UnitWeights:
        _, first, slope, second, last = self.res_layer[:5]
        gates = shortcut = None
        if self.squeeze:
            fc1, fc2 = self.res_layer[5].fc1.weight, self.res_layer[5].fc2.weight
            gates = fc1.flatten(1).to(dtype), fc2.flatten(1).to(dtype)
        if not isinstance(self.shortcut_layer, Subsample):
            shortcut = folded(self.shortcut_layer[0].weight, self.shortcut_layer[1], dtype)
        return UnitWeights(
            first.weight.to(dtype),
            slope.weight.to(dtype),
            *folded(second.weight, last, dtype),
            gates,
            shortcut,
        )

    def _folded(self, x: Tensor, weights: UnitWeights) -> Tensor:
        x = x.to(weights.first.dtype)
        if weights.shortcut is None:
            shortcut = self.shortcut_layer(x)
        else:
            shortcut = F.conv2d(x, *weights.shortcut, stride=self.stride)
        x = prelu(F.conv2d(self.res_layer[0](x), weights.first, padding=1), weights.slope)
        x = F.conv2d(x, weights.second, weights.second_bias, self.stride, 1)
        return x + shortcut if weights.gates is None else _gated_sum(x, shortcut, *weights.gates)


def _gated_sum(x: Tensor, shortcut: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """A residual (B, C, H, W), gated by weights (hidden, C) and (C, hidden), on its shortcut."""
    with without_autocast(x.device):  # everything is of one dtype
        if torch.compiler.is_compiling():
            gates = torch.sigmoid(F.relu(x.mean((2, 3)) @ first.t()) @ second.t())
            return shortcut + x * gates[:, :, None, None]
        return _GatedSum.apply(x, shortcut.to(x.dtype), first, second)


def folded(weight: Tensor, norm: BatchNorm2d, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution without bias together with the norm in eval mode after it."""
    scale, shift = norm.affine_form()
    return (weight * scale[:, None, None, None]).to(dtype), shift.to(dtype)


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


class InputLayer(nn.Sequential):
    """The stem: 3x3 convolution, norm, PReLU."""

    def __init__(self, input_nc: int, channels: int) -> None:
        convolution = nn.Conv2d(input_nc, channels, 3, 1, 1, bias=False)
        super().__init__(convolution, BatchNorm2d(channels), PReLU(channels))
        self._prepared: Prepared[tuple[Tensor, Tensor]] = Prepared()

    def forward(self, x: Tensor) -> Tensor:
        convolution, norm, activation = self
        weights = [convolution.weight, *norm.tensors()]
        if norm.training or torch.compiler.is_compiling() or not frozen(weights):
            return super().forward(x)
        dtype = compute_dtype(x)
        form = self._prepared.of(weights, lambda: folded(convolution.weight, norm, dtype), dtype)
        return activation(F.conv2d(x.to(dtype), *form, padding=1))


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
