"""Bias, leaky ReLU and gain in one call (rosinality's `fused_act`), compiled for CUDA or in plain PyTorch."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.stylegan2.op.compiled import CompiledOperators, compiled_operators


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
        x = torch.addcmul(shift, x, x.new_tensor(scale))
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
