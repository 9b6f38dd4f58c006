"""The figures of an evaluation, as pure functions: rank correlation, errors, distributions of similarity."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

Values: TypeAlias = Tensor | np.ndarray | Sequence[float]
PERCENTILES = (5, 50, 95)


def _array(values: Values) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    return np.asarray(values, dtype=np.float64).ravel()


def ranks(values: Values) -> np.ndarray:
    """Ranks from 1; equal values share the mean of their ranks. Any shape in, ``(N,)`` out."""
    _, inverse, counts = np.unique(_array(values), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse.ravel()]


def spearman(x: Values, y: Values) -> float:
    """Spearman's rank correlation of two lists of equal length; NaN where one of them does not vary."""
    first, second = ranks(x), ranks(y)
    if len(first) != len(second):
        raise ValueError(f"{len(first)} values cannot be correlated with {len(second)}")
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def mean_absolute_error(values: Values, truth: Values) -> float:
    """Mean of ``|value - truth|`` over two lists of equal length."""
    return float(np.abs(_array(values) - _array(truth)).mean())


def distribution(values: Values) -> dict[str, float]:
    """Count, mean, standard deviation and the 5th, 50th and 95th percentile of finite values."""
    array = _array(values)
    if not len(array):
        return {"count": 0}
    percentiles = np.percentile(array, PERCENTILES)
    named = {f"p{p}": float(value) for p, value in zip(PERCENTILES, percentiles, strict=True)}
    return {"count": len(array), "mean": float(array.mean()), "std": float(array.std()), **named}


def similarity_within(embeddings: Tensor) -> Tensor:
    """Cosines of all pairs of different rows of ``(N, D)`` unit vectors: ``(N (N - 1) / 2,)``."""
    row, column = torch.triu_indices(len(embeddings), len(embeddings), 1)
    return (embeddings @ embeddings.t())[row, column]


def similarity_to_others(embeddings: Tensor, others: Tensor) -> Tensor:
    """Cosines of row i of one ``(N, D)`` with row j != i of the other: ``(N (N - 1),)``."""
    different = ~torch.eye(len(embeddings), dtype=torch.bool)
    return (embeddings @ others.t())[different]


def separation(same: Values, different: Values) -> float:
    """Probability that a value of ``same`` exceeds one of ``different``, ties half: area under the ROC."""
    first, second = _array(same), _array(different)
    if not len(first) or not len(second):
        return float("nan")
    total = ranks(np.concatenate([first, second]))[: len(first)].sum()
    return float((total - len(first) * (len(first) + 1) / 2) / (len(first) * len(second)))
