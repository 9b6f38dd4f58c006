"""Puts the repository root first on the import path, so that `datasets` is ours whatever is installed."""

import multiprocessing
import os
import sys
from pathlib import Path
from types import TracebackType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
if method := os.environ.get("AGELAB_START_METHOD"):  # of processes beside this one: fork, spawn, forkserver
    multiprocessing.set_start_method(method, force=True)


def _stop(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Ends with the code of an early end where Ctrl-C comes before ``run_command``, among the imports."""
    if issubclass(kind, KeyboardInterrupt):
        print("stopped", file=sys.stderr, flush=True)
        os._exit(3)
    sys.__excepthook__(kind, error, trace)


sys.excepthook = _stop
