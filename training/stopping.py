"""Signals that ask a training to stop: it finishes the step and saves; asked twice, it ends at once."""

import os
import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any

from utils.errors import STOPPED

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
ONE_REQUEST = 1.0  # seconds: a launcher passes on what its processes were sent already


class StopRequests:
    """Within it the first signal sets :attr:`requested`; a later one ends the process with code 3."""

    def __init__(self) -> None:
        self.requested = False
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequests":
        self.requested = False
        if threading.current_thread() is threading.main_thread():
            for name in SIGNALS:
                number = getattr(signal, name, None)
                # What is ignored (SIGHUP under nohup) stays ignored.
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._before:
            signal.signal(*self._before.popitem())

    def _request(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.requested:
            self.requested, self._since = True, now
        elif now - self._since > ONE_REQUEST:
            os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"\nstopped at once\n")
            os._exit(STOPPED)
