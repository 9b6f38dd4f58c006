"""All map-to-style heads of pSp's encoder at once: one convolution and few matrix products a level.

The heads stay modules with weights of their own under the official names, which lie together in memory.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from models.prepared import compute_dtype
from models.stacked import stacked
from utils.device import without_autocast
from utils.exporting import exporting


class _HalvingConvolutions(torch.autograd.Function):
    """One 3x3 convolution of stride 2 a head, as one product of matrices over all heads.

    Arguments: features (G, C, B, H, W) with even H and W, weights (G, O, C, 3, 3), biases (G, O).
    Result: (G, O, B * H / 2 * W / 2).
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, biases: Tensor) -> Tensor:
        columns = _neighbourhoods(x)
        ctx.save_for_backward(columns, weights)
        ctx.shape = x.shape
        return torch.baddbmm(biases[:, :, None], weights.flatten(2), columns)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        columns, weights = ctx.saved_tensors
        at_x = at_weights = at_biases = None
        if ctx.needs_input_grad[0]:
            at_x = _from_neighbourhoods(weights.flatten(2).transpose(1, 2) @ gradient, ctx.shape)
        if ctx.needs_input_grad[1]:
            at_weights = (gradient @ columns.transpose(1, 2)).view(weights.shape)
        if ctx.needs_input_grad[2]:
            at_biases = gradient.sum(2)
        return at_x, at_weights, at_biases


def _neighbourhoods(x: Tensor) -> Tensor:
    """The 3x3 surroundings of every second pixel: (G, C, B, H, W) to (G, C * 9, B * H/2 * W/2)."""
    heads, channels, batch, height, width = x.shape
    padded = F.pad(x, (1, 1, 1, 1))
    head, channel, sample, row, column = padded.stride()
    shape = (heads, channels, 3, 3, batch, height // 2, width // 2)
    strides = (head, channel, row, column, sample, 2 * row, 2 * column)
    return padded.as_strided(shape, strides).reshape(heads, channels * 9, -1)


def _from_neighbourhoods(columns: Tensor, shape: torch.Size) -> Tensor:
    """The transposed map of :func:`_neighbourhoods`: adds up what belongs to a pixel."""
    heads, channels, batch, height, width = shape
    columns = columns.view(heads * channels * 9, batch, -1).transpose(0, 1)
    x = F.fold(columns, (height, width), kernel_size=3, padding=1, stride=2)
    return x.view(batch, heads, channels, height, width).permute(1, 2, 0, 3, 4)


@torch.compiler.disable  # a compiler would copy the weights together in every pass
def style_codes(levels: Sequence[tuple[Tensor, Sequence[nn.Module]]]) -> Tensor:
    """Codes (B, N, style_dim) of all heads.

    Args:
        levels: feature maps (B, C, S, S) with the ``GradualStyleBlock`` that read each; N heads in all.
    """
    dtype = compute_dtype(levels[0][0])
    with without_autocast(levels[0][0].device):
        features = [_pixel(maps.to(dtype), heads) for maps, heads in levels]
        return _codes(torch.cat(features), [head.linear for _, heads in levels for head in heads])


def _pixel(maps: Tensor, heads: Sequence[nn.Module]) -> Tensor:
    """What is left of a feature map after the convolutions of its heads: (N, width, B)."""
    count, batch, dtype = len(heads), maps.shape[0], maps.dtype
    for depth in range(0, len(heads[0].convs), 2):  # a convolution and its activation
        weights = stacked([head.convs[depth].weight for head in heads]).to(dtype)
        biases = stacked([head.convs[depth].bias for head in heads]).to(dtype)
        if depth == 0:  # all read the same map
            out = F.conv2d(maps, weights.flatten(0, 1), biases.flatten(), stride=2, padding=1)
            maps = out.unflatten(1, (count, -1)).permute(1, 2, 0, 3, 4)
        elif exporting():
            grouped = weights.flatten(0, 1), biases.flatten()
            out = F.conv2d(maps.permute(2, 0, 1, 3, 4).flatten(1, 2), *grouped, 2, 1, groups=count)
            maps = out.unflatten(1, (count, -1)).permute(1, 2, 0, 3, 4)
        else:
            side = maps.shape[-1] // 2
            maps = _HalvingConvolutions.apply(maps, weights, biases).view(count, -1, batch, side, side)
        maps = F.leaky_relu(maps, heads[0].convs[1].negative_slope, inplace=True)
    return maps.reshape(count, -1, batch)


def _codes(features: Tensor, layers: Sequence[nn.Module]) -> Tensor:
    """The ``EqualLinear`` of every head on (N, width, B): (B, N, style_dim)."""
    weights = stacked([layer.weight for layer in layers]).to(features.dtype)
    biases = stacked([layer.bias for layer in layers]).to(features.dtype)
    first = layers[0]
    out = torch.baddbmm(biases[:, :, None], weights, features, beta=first.lr_mul, alpha=first.scale)
    return out.permute(2, 0, 1)
