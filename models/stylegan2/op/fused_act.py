"""Bias, leaky ReLU and gain in one call (rosinality's `fused_act`), compiled for CUDA or in plain PyTorch."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.stylegan2.op.compiled import CompiledOperators, compiled_operators
from models.stylegan2.op.modulation import ChannelDot, ScaleChannels


def fused_leaky_relu(
    x: Tensor,
    bias: Tensor | None = None,
    negative_slope: float = 0.2,
    scale: float = math.sqrt(2),
    inplace: bool = False,
) -> Tensor:
    """Returns `scale * leaky_relu(x + bias)`.

    Args:
        x: (B, C, ...) activations.
        bias: (C,) added along the second dimension, or None.
        negative_slope: at least 0.
        scale: above 0.
        inplace: allows to overwrite `x`.

    Leaky ReLU is positively homogeneous, so in plain PyTorch a positive `scale` is applied to the bias and as
    the factor of one fused multiply-add, and the activation then works in place: two passes over memory
    instead of four. Compiled it is one.
    """
    compiled = compiled_operators(x, bias)
    if compiled and (bias is None or bias.shape == x.shape[1:2]):
        return _FusedBiasAct.apply(x, bias, negative_slope, scale, compiled)
    if bias is None:
        return F.leaky_relu(x * scale, negative_slope, inplace=True)
    shift = (bias if scale == 1 else bias * scale).to(x.dtype).view(1, -1, *[1] * (x.dim() - 2))
    if scale != 1:
        x = torch.addcmul(shift, x, x.new_full((), scale))
    else:
        x = x.add_(shift) if inplace else x + shift
    return F.leaky_relu(x, negative_slope, inplace=True)


class _FusedBiasAct(torch.autograd.Function):
    """The compiled form; the output has the sign of `x + bias`, so the backward pass needs nothing else."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        bias: Tensor | None,
        negative_slope: float,
        scale: float,
        compiled: CompiledOperators,
    ) -> Tensor:
        out = compiled.fused_bias_act(x, bias, None, negative_slope, scale)
        ctx.save_for_backward(out)
        ctx.settings = negative_slope, scale, compiled
        ctx.bias_dtype = None if bias is None else bias.dtype
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_x = _FusedBiasActGradient.apply(grad, *ctx.saved_tensors, *ctx.settings)
        grad_bias = None
        if ctx.needs_input_grad[1]:
            axes = [axis for axis in range(grad_x.dim()) if axis != 1]
            grad_bias = grad_x.sum(axes, dtype=ctx.bias_dtype)
        return grad_x, grad_bias, None, None, None


class _FusedBiasActGradient(torch.autograd.Function):
    """Linear in `grad`, and therefore its own derivative; in `out` it is piecewise constant."""

    @staticmethod
    def forward(
        ctx: Any, grad: Tensor, out: Tensor, negative_slope: float, scale: float, compiled: CompiledOperators
    ) -> Tensor:
        ctx.save_for_backward(out)
        ctx.settings = negative_slope, scale, compiled
        return compiled.fused_bias_act(grad, None, out, negative_slope, scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        again = _FusedBiasActGradient.apply(grad, *ctx.saved_tensors, *ctx.settings)
        return again, None, None, None, None


class _ScaledAct(torch.autograd.Function):
    """Compiled `leaky_relu(x * factors + shift + bias)`; the output has the sign of the sum.

    Arguments: x (B, C, H, W), factors (B, C), none of them 0, shift (1 or B, 1, H, W), bias (C,) or None.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        factors: Tensor,
        shift: Tensor,
        bias: Tensor | None,
        negative_slope: float,
        compiled: CompiledOperators,
    ) -> Tensor:
        out = compiled.fused_bias_act(x, bias, None, negative_slope, 1.0, factors, shift)
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, factors, out)
        ctx.settings = negative_slope, 1.0, compiled
        ctx.shift = shift.shape, shift.dtype
        ctx.bias_dtype = None if bias is None else bias.dtype
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, factors, out = ctx.saved_tensors
        slope, scale, compiled = ctx.settings
        at_x, at_factors, at_shift, at_bias = ctx.needs_input_grad[:4]
        grad_factors = grad_shift = grad_bias = None
        if torch.is_grad_enabled() or at_shift or at_bias:
            grad_sum = _FusedBiasActGradient.apply(grad, out, *ctx.settings)
            grad_x = ScaleChannels.apply(grad_sum, factors, compiled) if at_x else None
            if at_factors:
                grad_factors = ChannelDot.apply(grad_sum, x, compiled)
            if at_shift:
                shape, dtype = ctx.shift
                grad_shift = grad_sum.sum_to_size(shape).to(dtype)
            if at_bias:
                grad_bias = grad_sum.sum((0, 2, 3), dtype=ctx.bias_dtype)
        else:  # the gradient of the sum is never written
            grad_x = compiled.fused_bias_act(grad, None, out, slope, scale, factors)
            if at_factors:
                grad_factors = compiled.channel_dot(grad_x, x) / factors
        grad_factors = None if grad_factors is None else grad_factors.to(factors.dtype)
        return grad_x, grad_factors, grad_shift, grad_bias, None, None


def _scale_and_shift(x: Tensor, factors: Tensor, shift: Tensor) -> Tensor:
    """``shift + x * factors``, see :class:`_ScaleAndShift`."""
    if torch.compiler.is_compiling():
        return torch.addcmul(shift, x, factors)
    return _ScaleAndShift.apply(x, factors, shift)


class _ScaleAndShift(torch.autograd.Function):
    """``shift + x * factors``; the derivative of ``torch.addcmul`` multiplies once more by a constant 1.

    Arguments: x (B, C, H, W), factors (B, C, 1, 1), shift (1 or B, 1, H, W).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, factors: Tensor, shift: Tensor) -> Tensor:
        ctx.save_for_backward(x, factors)
        ctx.shift_shape = shift.shape
        return torch.addcmul(shift, x, factors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, factors = ctx.saved_tensors
        at_x, at_factors, at_shift = ctx.needs_input_grad
        return (
            gradient * factors if at_x else None,
            (gradient * x).sum((2, 3), keepdim=True) if at_factors else None,
            gradient.sum_to_size(ctx.shift_shape) if at_shift else None,
        )


class FusedLeakyReLU(nn.Module):
    """`fused_leaky_relu` with a learned bias of shape (channel,), or with none."""

    def __init__(
        self, channel: int, bias: bool = True, negative_slope: float = 0.2, scale: float = math.sqrt(2)
    ) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channel)) if bias else None
        self.negative_slope = negative_slope
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return fused_leaky_relu(x, self.bias, self.negative_slope, self.scale)

    def finish(self, x: Tensor, bias_added: bool = False) -> Tensor:
        """Activates in place what carries the gain already: the layer before multiplied by `scale`.

        Args:
            x: (B, C, ...), overwritten.
            bias_added: `x` holds the bias as well, times `scale`.
        """
        if bias_added or self.bias is None:
            return F.leaky_relu(x, self.negative_slope, inplace=True)
        return fused_leaky_relu(x, self.bias * self.scale, self.negative_slope, scale=1, inplace=True)

    def finish_scaled(self, x: Tensor, factors: Tensor, shift: Tensor) -> Tensor:
        """`finish(x * factors + shift)`, compiled in one pass.

        Args:
            x: (B, C, H, W).
            factors: (B, C), none of them 0, times `scale`.
            shift: (1 or B, 1, H, W), times `scale`.
        """
        compiled = compiled_operators(x, factors, shift, self.bias)
        if compiled:
            bias = None if self.bias is None else self.bias * self.scale
            return _ScaledAct.apply(x, factors, shift, bias, self.negative_slope, compiled)
        return self.finish(_scale_and_shift(x, factors.to(x.dtype)[:, :, None, None], shift))
