"""Jobs over a list with several processes, results in order."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import cv2

from utils.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")


def worker_count(wanted: int) -> int:
    """At most as many processes as this one may use cores: more only slow each other down."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(wanted, cores)


def parallel_map(
    job: Callable[[Item], Result], items: Sequence[Item], workers: int, chunk: int = 4
) -> Iterator[Result]:
    """Yields ``job(item)`` for every item, in order; with one worker in this process.

    Raises:
        InputError: a worker was killed, most often for lack of memory.
    """
    workers = min(workers, len(items))
    if workers <= 1:
        yield from map(job, items)
        return
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    try:
        with ProcessPoolExecutor(workers, context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
            yield from pool.map(job, items, chunksize=chunk)
    except BrokenProcessPool as error:
        raise InputError(
            "a worker process was killed, most often for lack of memory; use fewer workers "
            "(finished photos are kept, the same command continues)"
        ) from error
