"""Bilinear sampling of pictures that can be differentiated twice, which ``grid_sample`` of torch cannot."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def sample(images: Tensor, grid: Tensor) -> Tensor:
    """Reads pictures between their pixels; 0 outside.

    Args:
        images: (B, C, H, W).
        grid: (B, H', W', 2) x and y, -1 and 1 at the outer edges; it gets no gradient.

    Returns:
        (B, C, H', W').
    """
    if images.device.type in ("cpu", "cuda"):
        return _Gather.apply(images, grid)
    return sample_plainly(images, grid)  # elsewhere torch may lack the backward operation


class _Gather(torch.autograd.Function):
    """Sampling is linear in the pictures: its derivative is the transposed operation, at any order."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = images.shape
        return F.grid_sample(images, grid, align_corners=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (grid,) = ctx.saved_tensors
        return _Scatter.apply(gradient, grid, ctx.shape), None


class _Scatter(torch.autograd.Function):
    """The transposed operation: what is read from a pixel is added to it."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        # Of the pictures only the shape matters, so none are kept for this.
        images = values.new_zeros(()).expand(shape)
        return torch.ops.aten.grid_sampler_2d_backward(values, images, grid, 0, 0, False, (True, False))[0]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = ctx.saved_tensors
        return _Gather.apply(gradient, grid), None, None


def sample_plainly(images: Tensor, grid: Tensor) -> Tensor:
    """The same in operations that every device has, and several times slower."""
    height, width = images.shape[2:]
    sides = torch.tensor([width, height], device=grid.device)
    places = ((grid + 1) * sides - 1) / 2
    first = places.floor()
    share = places - first
    pixels, result = images.flatten(2), 0
    for right in (0, 1):
        for below in (0, 1):
            x, y = (first + torch.tensor([right, below], device=grid.device)).unbind(-1)
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            index = torch.where(inside, y * width + x, 0).long().flatten(1)
            weight = (share[..., 0] - 1 + right).abs() * (share[..., 1] - 1 + below).abs() * inside
            read = pixels.gather(2, index[:, None].expand(-1, pixels.shape[1], -1))
            result = result + read.unflatten(2, grid.shape[1:3]) * weight[:, None]
    return result
