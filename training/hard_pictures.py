"""Pictures that are harder for a network than they look: what makes it see as people do."""

from collections.abc import Callable

import torch
from torch import Tensor


def hardened(images: Tensor, radius: float, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Pictures whose loss is higher: one step up its gradient from a random start (Wong et al. 2020).

    A network that learns from these looks at what people see: a pattern that fools it is ageing to the eye
    (Santurkar et al. 2019).

    Args:
        images: (B, 3, S, S) in [-1, 1].
        radius: Euclidean length of the change of a picture.
        loss: of such pictures.

    Returns:
        Pictures in [-1, 1] that are no farther than the radius from the given ones.
    """
    start = _of_length(torch.randn_like(images), radius * torch.rand(len(images), device=images.device))
    changed = (images + start).requires_grad_(True)
    (slope,) = torch.autograd.grad(loss(changed), changed)
    change = start + _of_length(slope, slope.new_full((len(images),), 1.25 * radius))
    length = change.flatten(1).norm(dim=1)
    return (images + _of_length(change, length.clamp(max=radius))).clamp(-1, 1).detach()


def _of_length(changes: Tensor, lengths: Tensor) -> Tensor:
    """Changes (B, 3, S, S) scaled to lengths (B,)."""
    own = changes.flatten(1).norm(dim=1).clamp(min=1e-12)
    return changes * (lengths / own).view(-1, 1, 1, 1)
