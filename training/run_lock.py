"""One training a run folder: a lock that names its holder and goes with it, however it ends."""

import contextlib
import json
import os
import platform
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from utils.errors import InputError

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

NAME = "run.lock"
BEAT = 20.0  # seconds between signs of life
_FAR = 1 << 30  # where Windows locks a byte: what it locks cannot be read
STALE = 180.0  # seconds without one after which the holder on another machine counts as dead


class RunLock:
    """The right to write into a run folder.

    On one machine the system keeps the lock and frees it with the process, even a killed one. Where it does
    not reach (another machine, some network folders), the holder's signs of life count: it touches the file.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._handle: int | None = None
        self._ended = threading.Event()

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._handle is not None

    def acquire(self) -> None:
        """Takes the lock; the folder must exist.

        Raises:
            InputError: another training holds it.
        """
        while self._handle is None:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                free = _locked_by_system(handle)
                # Whoever held it may have removed the file in between: then it locks nobody out.
                current = self.path.exists() and self.path.stat().st_ino == os.fstat(handle).st_ino
                if current:
                    self._refuse_if_held(handle, free)
                    self._handle = handle
            finally:
                if self._handle is None:
                    os.close(handle)
        self._sign()
        self._ended.clear()
        threading.Thread(target=self._beat, daemon=True).start()

    def release(self) -> None:
        """Gives the lock back and removes its file."""
        if self._handle is None:
            return
        self._ended.set()
        if fcntl is not None:  # before anybody else may take it
            self.path.unlink(missing_ok=True)
        os.close(self._handle)
        self._handle = None
        if fcntl is None:  # Windows removes no file that is open, not even for the next holder
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)

    def _refuse_if_held(self, handle: int, free: bool | None) -> None:
        """Raises where the system says so, or where it cannot tell and the holder shows signs of life."""
        holder = _read(handle)
        here = holder.get("host") == platform.node()
        if here and holder.get("pid") == os.getpid() and free is not False:
            return
        alive = time.time() - os.fstat(handle).st_mtime < STALE
        known_dead = here and (free is True or _is_gone(holder.get("pid")))
        if free is False or (holder and alive and not known_dead):
            who = "process {pid} on {host}, since {since}".format_map(
                {"pid": "?", "host": "another machine", "since": "?", **holder}
            )
            raise InputError(
                f"{self.path.parent} is in use: {who}, trains there; wait for its end, stop it, or choose "
                f"another --exp_dir"
            )

    def _sign(self) -> None:
        assert self._handle is not None
        holder = {
            "pid": os.getpid(),
            "host": platform.node(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        os.ftruncate(self._handle, 0)
        os.lseek(self._handle, 0, os.SEEK_SET)
        os.write(self._handle, json.dumps(holder).encode())

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            try:
                os.utime(self.path)
            except OSError:
                return


def _locked_by_system(handle: int) -> bool | None:
    """Whether the system gave the lock; None where it keeps none."""
    if fcntl is None:
        os.lseek(handle, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    try:
        # Not `flock`: that lock would live on in the processes that decode pictures.
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


def _is_gone(process: Any) -> bool:
    """Whether this machine has no such process."""
    try:
        return not psutil.pid_exists(process)
    except (TypeError, ValueError, OverflowError):
        return False


def _read(handle: int) -> dict[str, Any]:
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        content = json.loads(os.read(handle, 4096))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
