"""The one way in which files are written: under a temporary name, flushed to the disk, renamed."""

import contextlib
import json
import math
import os
import re
import secrets
import socket
import time
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import psutil

from utils.errors import InputError, explained

# A temporary file: its machine, its process, and random letters. The suffix follows.
TEMPORARY = re.compile(r"\.agelab-([0-9a-f]{8})-(\d+)-[0-9a-f]{8}(\.|$)")
_asking = Lock()
STALE_AFTER = 24 * 3600  # seconds without a change, after which the writer on another machine is gone


@contextlib.contextmanager
def written_atomically(path: str | Path) -> Iterator[Path]:
    """Gives a temporary file to write, which takes the name ``path`` at the end, or goes on any error.

    What a process that was killed left in the folder is removed first.

    Raises:
        InputError: nothing can be written there.
    """
    path = Path(path)
    # The suffix stays: some writers tell the format by it.
    name = f".agelab-{_machine()}-{os.getpid()}-{secrets.token_hex(4)}{path.suffix}"
    temporary = path.with_name(name) if path.name else path
    try:
        _check_target(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(path.parent.absolute())
        os.close(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        yield temporary
        _flush(temporary)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        reason = explained(OSError(error.errno, "")) if error.errno else str(error)
        raise InputError(f"cannot write {path}: {reason}") from error
    finally:
        if temporary != path:
            with contextlib.suppress(OSError, ValueError):
                temporary.unlink(missing_ok=True)


def _check_target(path: Path) -> None:
    """Finds out before the work what would not let a file have its name after it."""
    try:
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "a device or a pipe"
            raise InputError(f"cannot write {path}: it is {kind}; name a file")
        with contextlib.suppress(FileNotFoundError):
            path.lstat()
    except ValueError as error:  # a zero byte
        raise InputError(f"cannot write {str(path)!r}: {error}; choose another name") from error


@cache  # once in the life of a process: a folder may hold a hundred thousand pictures
def remove_stale(folder: Path) -> None:
    """Removes the temporary files that processes which are no more have left in a folder.

    Those of this machine go when their process is gone, those of others (the folder may be shared) when
    nothing has touched them for a day.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = TEMPORARY.match(entry.name)
            if found and _is_stale(entry, found[1], int(found[2])):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def _is_stale(entry: os.DirEntry[str], machine: str, process: int) -> bool:
    if machine == _machine():
        return not psutil.pid_exists(process)
    try:
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > STALE_AFTER
    except OSError:
        return False


@cache
def _machine() -> str:
    """Where process numbers mean what they mean here: the machine, or the container on it."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return f"{zlib.crc32(f'{socket.gethostname()} {space}'.encode()):08x}"


def write_text(text: str, path: str | Path) -> Path:
    """Writes a text file in UTF-8; what is no text (parts of odd file names) stands as an escape.

    Raises:
        InputError: the file cannot be written.
    """
    with written_atomically(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    return Path(path)


def write_json(content: Any, path: str | Path, *, sort_keys: bool = False) -> Path:
    """Writes plain containers and numbers as JSON; NaN and infinity, which JSON lacks, become null.

    Raises:
        InputError: the file cannot be written.
    """
    return write_text(
        json.dumps(_finite(content), indent=2, allow_nan=False, sort_keys=sort_keys) + "\n", path
    )


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _flush(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def _flush_folder(folder: Path) -> None:
    """Makes the renaming itself durable where the system allows it (not on Windows)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _umask() -> int:
    with _asking:  # it can be read only by changing it, for the whole process
        value = os.umask(0)
        os.umask(value)
    return value
