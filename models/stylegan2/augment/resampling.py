"""Filters of the augmentations as matrices: one multiplication for each axis, borders included.

Mirrored borders then cost nothing, and any derivative is a multiplication again. A matrix has one row for
each sample of the result and one column for each pixel.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

# Low-pass filters of the symlets with 2 and 6 vanishing moments (Daubechies 1992), for decomposition.
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
BANDS = 4


def resampling_filter() -> Tensor:
    """The low-pass (12,) around the warp; its sum is 1."""
    taps = torch.tensor(SYM6, dtype=torch.float64)
    return (taps / taps.sum()).float()


def filter_bank() -> Tensor:
    """Filters (4, 43) that divide a signal into octaves, lowest first; they add up to the identity.

    The two-band split by a squared wavelet filter is applied again to what is below, with the filters spread.
    """
    low = np.asarray(SYM2)
    high = low * (-1.0) ** np.arange(len(low))
    low, high = (np.convolve(taps, taps[::-1]) / 2 for taps in (low, high))
    below, bands = np.ones(1), []
    for level in range(BANDS - 1):
        bands.append(np.convolve(below, _spread(high, 2**level)))
        below = np.convolve(below, _spread(low, 2**level))
    bands.append(below)
    padded = [np.pad(taps, (len(below) - len(taps)) // 2) for taps in reversed(bands)]
    return torch.from_numpy(np.stack(padded)).float()


def _spread(taps: np.ndarray, step: int) -> np.ndarray:
    """Puts ``step - 1`` zeros between taps."""
    spread = np.zeros((len(taps) - 1) * step + 1)
    spread[::step] = taps
    return spread


def doubling_matrix(low_pass: Tensor, size: int, before: int = 0, after: int = 0) -> Tensor:
    """Mirrors a signal of ``size`` beyond its borders, then doubles its resolution.

    Args:
        low_pass: (2 n,) filter.
        before: mirrored samples before the first; beyond these the signal is 0.
        after: those after the last.

    Returns:
        (2 m, size) with m = before + size + after.
    """
    taps, places = _doubling_taps(len(low_pass), size, before, after)
    weights = torch.cat([2 * low_pass, low_pass.new_zeros(1)])
    taps = torch.from_numpy(taps).to(low_pass.device, non_blocking=True)
    return _folded(weights[taps], places, size)


@lru_cache(maxsize=8)
def _doubling_taps(count: int, size: int, before: int, after: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of the taps each row of :func:`doubling_matrix` has, at which pixels; one too many is none."""
    padded, middle = before + size + after, count // 2 - 1
    rows = np.arange(2 * padded)[:, None]
    taps = np.arange(0, count, 2) + (rows + middle) % 2  # the others meet the zeros between samples
    places = (rows + middle - taps) // 2
    inside = (places >= 0) & (places < padded)
    return np.where(inside, taps, count), _mirrored(places - before, size)


def halving_matrix(low_pass: Tensor, size: int, spare: int) -> Tensor:
    """Halves the resolution of ``2 (size + 2 spare)`` samples and leaves the spare ones out.

    The filter is orthogonal: halving is the transposed of doubling.

    Returns:
        (size, 2 (size + 2 spare)).
    """
    return doubling_matrix(low_pass, size + 2 * spare)[:, spare : spare + size].mT / 2


def filter_matrices(filters: Tensor, size: int) -> Tensor:
    """Matrices (n, size, size) of n symmetric filters (n, taps) over a signal with mirrored borders."""
    count, taps = filters.shape
    places = np.arange(size)[:, None] + np.arange(taps) - taps // 2
    return _folded(filters[:, None].expand(count, size, taps), _mirrored(places, size), size)


def _mirrored(places: np.ndarray, size: int) -> np.ndarray:
    """The pixels 0 .. ``size`` - 1 that stand for places beyond the borders, mirrored as often as needed."""
    period = max(1, 2 * (size - 1))
    places = places % period
    return np.minimum(places, period - places)


def _folded(weights: Tensor, pixels: np.ndarray, size: int) -> Tensor:
    """The matrix (..., rows, size) of taps with weights (..., rows, taps) at pixels (rows, taps)."""
    columns = torch.from_numpy(pixels).to(weights.device, non_blocking=True)
    matrix = weights.new_zeros(*weights.shape[:-1], size)
    return matrix.scatter_add_(-1, columns.expand(weights.shape), weights)
