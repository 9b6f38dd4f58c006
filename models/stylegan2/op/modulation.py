"""Factors of channels: a pass over memory for the product and one for their gradient, compiled for CUDA."""

from typing import Any

from torch import Tensor
from torch.autograd import Function

from models.stylegan2.op.compiled import CompiledOperators, compiled_operators


def scale_channels(x: Tensor, factors: Tensor) -> Tensor:
    """Returns activations (B, C, H, W) times factors (B, C), in the dtype of the activations."""
    compiled = compiled_operators(x, factors)
    if compiled:
        return ScaleChannels.apply(x, factors, compiled)
    return x * factors.to(x.dtype)[:, :, None, None]


class ScaleChannels(Function):
    """The compiled form; with `ChannelDot` it is closed under differentiation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factors: Tensor, compiled: CompiledOperators) -> Tensor:
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, factors)
        ctx.compiled = compiled
        return compiled.fused_bias_act(x, None, None, 1.0, 1.0, factors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, factors = ctx.saved_tensors
        at_x, at_factors, _ = ctx.needs_input_grad
        return (
            ScaleChannels.apply(grad, factors, ctx.compiled) if at_x else None,
            ChannelDot.apply(grad, x, ctx.compiled).to(factors.dtype) if at_factors else None,
            None,
        )


class ChannelDot(Function):
    """Sums of the product of two (B, C, H, W) tensors over pixels, as (B, C) in float32 or wider."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, compiled: CompiledOperators) -> Tensor:
        ctx.save_for_backward(a, b)
        ctx.compiled = compiled
        return compiled.channel_dot(a, b)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, b = ctx.saved_tensors
        at_a, at_b, _ = ctx.needs_input_grad
        return (
            ScaleChannels.apply(b, grad, ctx.compiled) if at_a else None,
            ScaleChannels.apply(a, grad, ctx.compiled) if at_b else None,
            None,
        )
