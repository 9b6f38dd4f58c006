"""An endless order of training pictures in which every position is a pure function of the seed."""

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from torch.utils.data import Sampler


class IndexSampler(Sampler[tuple[int, bool]]):
    """Yields ``(index, flip)`` for ever; resuming at a position continues exactly.

    Every epoch is a permutation of the pictures (with ``weights``: a systematic draw in proportion to them,
    shuffled), made from ``(seed, epoch)`` alone; the flip of a position comes from the same stream.

    Args:
        n: number of pictures.
        seed: any non-negative integer.
        start: first position; after ``k`` pictures seen by all ranks together, pass ``k``.
        flip_probability: share of mirrored pictures.
        rank: this process; it takes every ``world_size``-th position.
        world_size: number of processes.
        weights: relative frequency of each picture, e.g. to even out the ages.
    """

    def __init__(
        self,
        n: int,
        seed: int = 0,
        start: int = 0,
        flip_probability: float = 0.5,
        *,
        rank: int = 0,
        world_size: int = 1,
        weights: Sequence[float] | None = None,
    ) -> None:
        if n < 1:
            raise ValueError("a sampler needs at least one picture")
        if weights is not None and len(weights) != n:
            raise ValueError(f"{len(weights)} weights for {n} pictures")
        self.n = n
        self.seed = seed
        self.start = start
        self.flip_probability = flip_probability
        self.rank = rank
        self.world_size = world_size
        self._cumulative = None
        if weights is not None:
            cumulative = np.cumsum(np.asarray(weights, dtype=np.float64))
            self._cumulative = cumulative / cumulative[-1]
        self._epoch = -1
        self._order = np.empty(0, dtype=np.int64)
        self._flips = np.empty(0, dtype=bool)

    def at(self, position: int) -> tuple[int, bool]:
        """Returns ``(index, flip)`` of a position, counted from 0 at the beginning of training."""
        epoch, offset = divmod(position, self.n)
        if epoch != self._epoch:
            self._draw(epoch)
        return int(self._order[offset]), bool(self._flips[offset])

    def _draw(self, epoch: int) -> None:
        """Draws order and flips of one epoch."""
        random = np.random.default_rng((self.seed, epoch))
        if self._cumulative is None:
            self._order = random.permutation(self.n)
        else:
            points = (np.arange(self.n) + random.random()) / self.n
            chosen = np.searchsorted(self._cumulative, points, side="right").clip(max=self.n - 1)
            self._order = random.permutation(chosen)
        self._flips = random.random(self.n) < self.flip_probability
        self._epoch = epoch

    def __iter__(self) -> Iterator[tuple[int, bool]]:
        position = self.start + self.rank
        while True:
            yield self.at(position)
            position += self.world_size


def balancing_weights(ages: Sequence[float], width: float = 10.0, power: float = 0.5) -> np.ndarray:
    """Returns ``(N,)`` weights that even out age groups of ``width`` years: group size to ``-power``."""
    groups = np.floor(np.asarray(ages, dtype=np.float64) / width).astype(np.int64)
    _, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return counts[inverse].astype(np.float64) ** -power


def in_share(path: Path, start: float, end: float) -> bool:
    """Whether a file belongs to the part `start..end` (percent) of a folder, which its name decides.

    Disjoint parts share no picture, whatever else lies in the folder: networks that judge each other are
    kept apart.
    """
    return start <= zlib.crc32(path.name.encode()) % 1000 / 10 < end
