"""Distances of two sets of features: Frechet (Heusel et al. 2017) and kernel (KID, Binkowski et al. 2018).

Both are computed in float64 on the CPU, whatever device the features are on.
"""

import torch
from torch import Tensor

SUBSETS, SUBSET_SIZE = 100, 1000  # of the kernel distance, as in stylegan2-ada-pytorch
LEAST = 2  # vectors without which there is no covariance


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Frechet distance of the Gaussians with the means and covariances of two sets (N, D) and (M, D).

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) without a root of the product, which is not symmetric and, for
    few vectors, singular: with S = R R^T the trace of that root is the sum of the singular values of R1^T R2.

    Raises:
        ValueError: a set has fewer than two vectors, or the lengths differ.
    """
    _check(first, second)
    (mean, root), (other_mean, other_root) = (_gaussian(features) for features in (first, second))
    spreads = root.square().sum() + other_root.square().sum()
    common = torch.linalg.svdvals(root.t() @ other_root).sum()
    return max(0.0, float((mean - other_mean).square().sum() + spreads - 2 * common))


def _gaussian(features: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (D,) of vectors (N, D), and a root (D, K) of their covariance with K <= D."""
    values = features.detach().cpu().double()
    mean = values.mean(0)
    centred = (values - mean) / (len(values) - 1) ** 0.5
    if len(centred) <= centred.shape[1]:
        return mean, centred.t()
    eigenvalues, vectors = torch.linalg.eigh(centred.t() @ centred)
    return mean, vectors * eigenvalues.clamp_min(0).sqrt()


def kernel_distance(
    first: Tensor, second: Tensor, subsets: int = SUBSETS, subset_size: int = SUBSET_SIZE, seed: int = 0
) -> float:
    """Unbiased squared maximum mean discrepancy of two sets (N, D) and (M, D), a mean over random subsets.

    The kernel is (x y / D + 1)^3. The expectation is 0 for two sets from one distribution, so a value may be
    a little below 0.

    Args:
        first, second: the sets.
        subsets: drawn from both, each without repetition.
        subset_size: vectors in each; fewer where a set is smaller.
        seed: of the draw.

    Raises:
        ValueError: a set has fewer than two vectors, or the lengths differ.
    """
    _check(first, second)
    ours, theirs = (features.detach().cpu().double() for features in (first, second))
    size = min(len(ours), len(theirs), subset_size)
    draws = torch.Generator().manual_seed(seed)
    total = 0.0
    for _ in range(subsets):
        x, y = (values[torch.randperm(len(values), generator=draws)[:size]] for values in (ours, theirs))
        total += float(_unbiased_discrepancy(x, y))
    return total / subsets


def _unbiased_discrepancy(x: Tensor, y: Tensor) -> Tensor:
    """The estimate from sets (N, D) of one size: pairs of a vector with itself are left out."""
    count, length = x.shape

    def within(values: Tensor) -> Tensor:
        kernel = (values @ values.t() / length + 1) ** 3
        return (kernel.sum() - kernel.trace()) / (count - 1)

    across = ((x @ y.t() / length + 1) ** 3).sum() / count
    return (within(x) + within(y) - 2 * across) / count


def _check(first: Tensor, second: Tensor) -> None:
    if min(len(first), len(second)) < LEAST:
        raise ValueError(f"{len(first)} and {len(second)} vectors: each set needs at least {LEAST}")
    if first.shape[1:] != second.shape[1:] or first.dim() != 2:
        raise ValueError(f"vectors {list(first.shape)} and {list(second.shape)} are not of one length")
