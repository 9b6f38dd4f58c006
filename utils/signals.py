"""Signals and the processes that this one starts."""

import contextlib
import multiprocessing
import signal
from collections.abc import Iterator

HELD = ("SIGINT", "SIGTERM", "SIGHUP")


@contextlib.contextmanager
def held_signals() -> Iterator[None]:
    """Holds back the signals that ask to stop; processes started meanwhile never see them.

    A signal to the whole group of processes (Ctrl-C, a scheduler) then reaches this one alone, which ends its
    helpers itself when its work is saved.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    if multiprocessing.get_start_method() != "fork":
        # Python's helper for other methods is started with the first process, and releases what is held.
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()
    before = signal.pthread_sigmask(
        signal.SIG_BLOCK, {getattr(signal, name) for name in HELD if hasattr(signal, name)}
    )
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
