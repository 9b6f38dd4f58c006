"""What a path of codes through the ages shall be as a path: smooth, and no standstill."""

import torch
from torch import Tensor


def smoothness(codes: Tensor, ages: Tensor) -> Tensor:
    """Squared steps from each age to the next, ``sum_a ||w_(a+1) - w_a||^2 / numbers of a code``.

    Args:
        codes: (B, A, n_styles, D).
        ages: (B, A) years, in any order.

    Returns:
        (B,).
    """
    order = ages.argsort(dim=1)[:, :, None, None].expand_as(codes)
    return codes.gather(1, order).diff(dim=1).square().mean((2, 3)).sum(1)


def distances(codes: Tensor) -> Tensor:
    """Root mean squared distances (B, A, A) of the codes (B, A, n_styles, D) of each path."""
    flat = codes.flatten(2)
    squared = (flat[:, :, None] - flat[:, None]).square().mean(3)
    return (squared + 1e-12).sqrt()  # codes that are the same have a gradient, too


def diversity(codes: Tensor, most: Tensor) -> Tensor:
    """How far apart the codes of a path are, as something to minimise: ``-sum_a mean_b min(d_ab, most_ab)``.

    Args:
        codes: (B, A, n_styles, D).
        most: (B, A, A) distances beyond which nothing is gained, so that codes do not run away.

    Returns:
        (B,).
    """
    others = max(1, codes.shape[1] - 1)
    return -torch.minimum(distances(codes), most).sum((1, 2)) / others
