"""Batches of a `FaceFolder` by step number: the same step gives the same pictures, whoever decodes them."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from datasets.faces import FaceFolder
from datasets.sampling import IndexSampler
from utils.distributed import rank, world_size
from utils.errors import InputError
from utils.parallel import worker_count
from utils.signals import held_signals


class BatchSource:
    """Gives the batch of each step, in order.

    Args:
        batch_size: pictures a step, of all processes together; each takes its part.
        start_step: steps already made, so that a resumed run continues with the pictures it would have seen.
        workers: processes that decode, where the folder is not held in memory.
    """

    def __init__(
        self,
        dataset: FaceFolder,
        batch_size: int,
        *,
        seed: int = 0,
        start_step: int = 0,
        flip_probability: float = 0.5,
        workers: int = 0,
        device: torch.device | None = None,
        weights: Sequence[float] | None = None,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.device = device or torch.device("cpu")
        self._rank, self._processes = rank(), world_size()
        if batch_size % self._processes:
            raise InputError(
                f"--batch_size={batch_size} is not a multiple of the {self._processes} processes"
            )
        self._sampler = IndexSampler(
            len(dataset),
            seed,
            start_step * batch_size,
            flip_probability,
            rank=self._rank,
            world_size=self._processes,
            weights=weights,
        )
        self._position = start_step * batch_size
        self._newest: list[int] = []
        self._loader = None
        if dataset.images is None:
            loader = DataLoader(
                dataset,
                batch_size=batch_size // self._processes,
                sampler=self._sampler,
                num_workers=worker_count(workers),
                pin_memory=self.device.type == "cuda",
                persistent_workers=workers > 0,
            )
            with held_signals():
                self._loader = iter(loader)

    def next(self) -> dict[str, Tensor]:
        """Returns `image`, `age`, `index` and `flip` of the next step on the device."""
        if self._loader is not None:
            batch: dict[str, Any] = next(self._loader)
        else:
            own = range(self._rank, self.batch_size, self._processes)
            items = [self._sampler.at(self._position + i) for i in own]
            batch = self.dataset.batch(items)
        self._position += self.batch_size
        self._newest = batch["index"].tolist()
        return {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}

    def newest_files(self) -> list[str]:
        """The files of the newest batch."""
        return [str(self.dataset.paths[index]) for index in self._newest]
