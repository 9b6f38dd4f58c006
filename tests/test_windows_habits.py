"""What Windows has not: POSIX modules, locks of `fcntl`, files that are removed while open."""

import ast
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from commands import ROOT

import training.run_lock as locks
from training.run_lock import RunLock
from utils.errors import InputError

ROOMS = [
    "configs",
    "criteria",
    "datasets",
    "evaluation",
    "inference",
    "models",
    "options",
    "scripts",
    "training",
    "utils",
    "webpage",
]


@pytest.mark.parametrize("name", ["getuid", "fork", "pread", "pwrite", "sysconf", "killpg", "mkfifo"])
def test_no_call_that_only_posix_has(name: str) -> None:
    calls = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == name and getattr(node.value, "id", "") == "os"
    ]
    assert not calls


class Windows:
    """``msvcrt.locking`` as far as the lock of a run uses it: one holder of a byte, in this process."""

    LK_NBLCK = 2

    def __init__(self) -> None:
        self.holders: dict[tuple[int, int], int] = {}

    def locking(self, handle: int, mode: int, count: int) -> None:
        status = os.fstat(handle)
        key = status.st_ino, os.lseek(handle, 0, os.SEEK_CUR)
        assert mode == self.LK_NBLCK and count == 1
        assert key[1] > status.st_size  # what Windows locks nobody can read
        if self.holders.setdefault(key, handle) != handle:
            raise PermissionError


def test_the_lock_of_a_run_without_fcntl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.setattr(locks, "msvcrt", Windows(), raising=False)
    monkeypatch.setattr(locks.os, "getpid", lambda: 4_000_000)  # a holder that is not this process
    first, second = RunLock(tmp_path), RunLock(tmp_path)
    first.acquire()
    with pytest.raises(InputError, match="is in use: process 4000000"):
        second.acquire()
    locks.msvcrt.holders.clear()  # type: ignore[attr-defined]
    first.release()
    assert not list(tmp_path.iterdir())
    second.acquire()
    second.release()


def test_a_lock_file_that_cannot_be_removed_stays_and_locks_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "fcntl", None)
    monkeypatch.setattr(locks, "msvcrt", SimpleNamespace(LK_NBLCK=2, locking=lambda *_: None), raising=False)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "in use by another process")

    lock = RunLock(tmp_path)
    lock.acquire()
    monkeypatch.setattr(Path, "unlink", refuse)
    lock.release()
    again = RunLock(tmp_path)
    again.acquire()
    again.release()
