"""Batches of a `FaceFolder` by step number: the same step gives the same pictures, whoever decodes them."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

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

    For a GPU a thread makes the next batch and sends it there while a step runs.

    Args:
        batch_size: pictures a step, of all processes together; each takes its part.
        start_step: steps already made, so that a resumed run continues with the pictures it would have seen.
        workers: processes that decode, where the folder is not held in memory.
        ahead: whether a thread is one batch ahead; None: on GPUs.
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
        ahead: bool | None = None,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.device = device or torch.device("cpu")
        self._waited, self._since = 0.0, time.perf_counter()
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
        wanted = self.device.type == "cuda" if ahead is None else ahead
        self._ahead = _Ahead(self._take, self.device) if wanted else None

    def next(self) -> dict[str, Tensor]:
        """Returns `image`, `age`, `index` and `flip` of the next step on the device."""
        begin = time.perf_counter()
        if self._ahead is not None:
            batch, self._newest = self._ahead.next()
        else:
            taken = self._take()
            self._newest = taken["index"].tolist()
            batch = {name: value.to(self.device) for name, value in taken.items()}
        self._waited += time.perf_counter() - begin
        return batch

    def _take(self) -> dict[str, Tensor]:
        """The next batch on the CPU."""
        if self._loader is not None:
            batch: dict[str, Tensor] = next(self._loader)
        else:
            own = range(self._rank, self.batch_size, self._processes)
            batch = self.dataset.batch([self._sampler.at(self._position + i) for i in own])
        self._position += self.batch_size
        return batch

    def share_waited(self) -> float:
        """Share of the time since the last call for which steps waited for their pictures."""
        waited, since = self._waited, self._since
        self._waited, self._since = 0.0, time.perf_counter()
        return waited / max(self._since - since, 1e-9)

    def newest_files(self) -> list[str]:
        """The files of the newest batch."""
        return [str(self.dataset.paths[index]) for index in self._newest]


class _Ahead:
    """Makes batches in a thread, one ahead, and sends them to a device beside what that computes.

    Args:
        take: makes the next batch, on the CPU.
        device: where it goes.
    """

    def __init__(self, take: Callable[[], dict[str, Tensor]], device: torch.device) -> None:
        self._take, self._device = take, device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._thread = ThreadPoolExecutor(1, "batches")
        self._pending: Future[tuple[dict[str, Tensor], list[int]]] | None = None

    def next(self) -> tuple[dict[str, Tensor], list[int]]:
        """The next batch, on the device, and the indices of its pictures."""
        batch, index = (self._pending or self._thread.submit(self._send)).result()
        self._pending = self._thread.submit(self._send)
        if self._stream is not None:
            for value in batch.values():
                value.record_stream(torch.cuda.current_stream(self._device))  # it is in use there, too
        return batch, index

    def _send(self) -> tuple[dict[str, Tensor], list[int]]:
        batch = self._take()
        index = batch["index"].tolist()
        if self._stream is None:
            return {name: value.to(self._device) for name, value in batch.items()}, index
        with torch.cuda.stream(self._stream):
            pinned = {name: value.pin_memory() for name, value in batch.items()}
            sent = {name: value.to(self._device, non_blocking=True) for name, value in pinned.items()}
            self._stream.synchronize()  # in this thread: the pinned memory may go afterwards
        return sent, index
