"""Work beside the main one: a list shared by several processes, and jobs that threads do meanwhile."""

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from threading import Condition, Lock
from types import TracebackType
from typing import TypeVar

import cv2

from utils.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")

WAITING_BYTES = 2**28  # of what background jobs hold that are not done


def worker_count(wanted: int) -> int:
    """At most as many processes or threads as there are cores for this one: more only slow each other down.

    The processes that `torchrun` starts on a machine share its cores.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(wanted, max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))


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
    try:
        with process_pool(workers) as pool:
            yield from pool.map(job, items, chunksize=chunk)
    except BrokenProcessPool as error:
        raise InputError(
            "a worker process was killed, most often for lack of memory; use fewer workers "
            "(finished photos are kept, the same command continues)"
        ) from error


@contextlib.contextmanager
def process_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """So many processes beside this one, each with one thread of OpenCV; a context that ends them."""
    usual = "fork" if sys.platform == "linux" else "spawn"
    context = multiprocessing.get_context(multiprocessing.get_start_method(allow_none=True) or usual)
    threads = cv2.getNumThreads()
    # A forked process has none of OpenCV's threads, and would wait for ever for those that it knows of.
    cv2.setNumThreads(1)
    try:
        with ProcessPoolExecutor(workers, context, cv2.setNumThreads, (1,)) as pool:
            yield pool
    finally:
        cv2.setNumThreads(threads)


def once(make: Callable[[], Result]) -> Callable[[], Result]:
    """What gives the same thing at every call, made at the first one; other threads wait for that."""
    lock, made = Lock(), list[Result]()

    def get() -> Result:
        with lock:
            if not made:
                made.append(make())
            return made[0]

    return get


class Background:
    """Threads that do jobs beside the main work; a context, at whose end all are done.

    What they hold is bounded: a job waits to be taken while too much is not done. The first exception of a
    job ends all: it is raised here, at the next job or at the end. Where the context ends with an exception,
    Ctrl-C among them, jobs that have begun are finished and the others are dropped.

    Args:
        threads: how many; with 0 every job is done at once, in the calling thread.
        waiting_bytes: what jobs may hold that are not done; a larger one comes alone.
    """

    def __init__(self, threads: int, waiting_bytes: int = WAITING_BYTES) -> None:
        self._threads = threads
        self._limit = waiting_bytes
        self._open = 0  # jobs that are not done
        self._held = 0  # bytes of these
        self._changed = Condition()
        self._trouble: BaseException | None = None
        self._dropping = False
        self._pool: ThreadPoolExecutor | None = None

    def do(self, job: Callable[[], None], size: int) -> None:
        """Has a job done.

        Args:
            job: what is done.
            size: bytes that it holds until then.
        """
        if self._pool is None:
            job()
            return
        with self._changed:
            self._changed.wait_for(
                lambda: self._trouble or not self._held or self._held + size <= self._limit
            )
            if self._trouble is not None:
                raise self._trouble
            self._pool.submit(self._run, job, size)
            self._open += 1
            self._held += size

    def _run(self, job: Callable[[], None], size: int) -> None:
        trouble: BaseException | None = None
        try:
            if not self._dropping:
                job()
        except BaseException as error:
            trouble = error
        with self._changed:
            self._open -= 1
            self._held -= size
            self._trouble = self._trouble or trouble
            self._dropping = self._dropping or trouble is not None
            self._changed.notify()

    def _wait(self) -> None:
        """Waits for all; joining the threads instead would forget them when Ctrl-C comes meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self._open <= 0)

    def __enter__(self) -> "Background":
        self._pool = ThreadPoolExecutor(self._threads) if self._threads else None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._wait()
        finally:
            self._dropping = True
            self._wait()
            if self._pool is not None:
                self._pool.shutdown()
        if kind is None and self._trouble is not None:
            raise self._trouble
