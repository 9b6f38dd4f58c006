"""Frechet distance and KID against cases that are known by hand, and against the definition."""

import numpy as np
import pytest
import torch
from torch import Tensor

from criteria.distribution_distance import frechet_distance, kernel_distance


def draws(count: int, length: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(count, length, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whitened(count: int, length: int) -> Tensor:
    """Vectors whose mean is exactly 0 and whose covariance is exactly the identity."""
    values = draws(count, length)
    values = values - values.mean(0)
    left, _, _ = torch.linalg.svd(values, full_matrices=False)
    return left * (count - 1) ** 0.5


def test_frechet_distance_of_known_gaussians() -> None:
    plain = whitened(50, 4)
    scales, offset = torch.tensor([1.0, 2.0, 0.5, 3.0]), torch.tensor([0.0, 1.0, -2.0, 0.0])
    # Diagonal covariances: the sum of squared differences of the deviations, and that of the means.
    expected = float((scales - 1).square().sum() + offset.square().sum())
    assert frechet_distance(plain, plain * scales + offset) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(plain, plain) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(plain, plain + 3) == pytest.approx(4 * 9, rel=1e-9)


@pytest.mark.parametrize(("first", "second"), [(40, 60), (40, 5), (4, 5), (2, 2), (7, 6)])
def test_frechet_distance_is_the_definition_for_few_vectors_too(first: int, second: int) -> None:
    mixing = draws(6, seed=9)
    a, b = draws(first, seed=1), draws(second, seed=2) @ mixing + 0.5
    covariances = [np.cov(values.numpy(), rowvar=False) for values in (a, b)]
    eigenvalues, vectors = np.linalg.eigh(covariances[0])
    root = vectors @ np.diag(np.sqrt(eigenvalues.clip(0))) @ vectors.T
    # Of the symmetric form S1^(1/2) S2 S1^(1/2), which the definition leads to.
    common = np.sqrt(np.linalg.eigvalsh(root @ covariances[1] @ root).clip(0)).sum()
    expected = float((a.mean(0) - b.mean(0)).square().sum())
    expected += float(np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * common)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b), rel=1e-9)


def test_frechet_distance_does_not_depend_on_the_precision_of_features() -> None:
    a, b = 100 + draws(200), 100 + draws(200, seed=1)
    assert frechet_distance(a.float(), b.float()) == pytest.approx(frechet_distance(a, b), rel=1e-3)


def test_kernel_distance_by_hand() -> None:
    # Kernels (x y / 2 + 1)^3: within the first set 1, within the second 8, across 1.5^3.
    first = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    second = torch.tensor([[1.0, 1.0], [1.0, 1.0]])
    expected = 1 + 8 - 2 * 1.5**3
    assert kernel_distance(first, second, subsets=3) == pytest.approx(expected, rel=1e-12)


def test_kernel_distance_is_unbiased() -> None:
    same = [kernel_distance(draws(60, seed=2 * i), draws(60, seed=2 * i + 1), 1) for i in range(200)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 200**0.5
    assert min(same) < 0 < max(same)
    assert kernel_distance(draws(60), draws(60, seed=1) + 1, 1) > max(same)


def test_kernel_distance_draws_its_subsets_from_its_seed() -> None:
    a, b = draws(50), draws(80, seed=1)
    first = kernel_distance(a, b, 4, 20, seed=1)
    torch.randn(3)
    assert kernel_distance(a, b, 4, 20, seed=1) == first
    assert kernel_distance(a, b, 4, 20, seed=2) != first


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_too_few_vectors_and_other_lengths_are_refused(distance: object) -> None:
    assert callable(distance)
    with pytest.raises(ValueError, match="1 and 5 vectors: each set needs at least 2"):
        distance(draws(1), draws(5))
    with pytest.raises(ValueError, match="not of one length"):
        distance(draws(5), draws(5, 4))
