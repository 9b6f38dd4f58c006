"""What a command will write against what it reads: no result ever lands on an input, or on another result."""

import contextlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path

from utils.errors import InputError


def refuse_overwriting(writes: Iterable[str | Path], reads: Iterable[str | Path | None]) -> None:
    """Checks, before a command starts, that none of its results is one of its inputs.

    Files are compared, not names: links, hard links and names that differ in case only count as the file that
    they lead to.

    Args:
        writes: files that will be written, there or not.
        reads: files that are read; None is left out, and a folder stands for the files in it.

    Raises:
        InputError: a file would be overwritten.
    """
    inputs = {_identity(path): path for path in _with_files(reads)}
    for target in writes:
        source = inputs.get(_identity(target)) if os.path.exists(target) else None
        if source is not None:
            which = "" if str(source) == str(target) else f" as {source}"
            raise InputError(
                f"{target} would be overwritten, and this command reads it{which}; choose another place "
                "for the results"
            )


def _with_files(reads: Iterable[str | Path | None]) -> Iterator[str | Path]:
    for path in reads:
        if path is not None and os.path.isdir(path):
            yield from Path(path).iterdir()
        elif path is not None and os.path.exists(path):
            yield path


def require_writable(folders: Iterable[Path]) -> None:
    """Checks, before a command starts, that folders can be made or written.

    Raises:
        InputError: a folder, or the nearest one above it, is closed or is a file.
    """
    for folder in folders:
        there = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
        if not there.is_dir():
            raise InputError(f"cannot write to {folder}: {there} is no folder; choose another one")
        if not os.access(there, os.W_OK | os.X_OK):
            raise InputError(f"cannot write to {folder}: {there} is read-only; choose another folder")


def folders_below(root: str | Path) -> Iterator[Path]:
    """Yields every folder below one, through links too, each once, of those that can be opened."""
    seen: set[tuple[int, int]] = set()
    waiting = [str(root)]
    while waiting:
        with contextlib.suppress(OSError):
            folder = waiting.pop()
            if _identity(folder) in seen:
                continue
            seen.add(_identity(folder))
            below = [entry.path for entry in os.scandir(folder) if entry.is_dir()]
            yield from map(Path, below)
            waiting += below


def distinct(items: Sequence[Path], files: Callable[[int, Path], Iterable[Path]]) -> list[Path]:
    """Numbers names (``a``, ``a_2``) where results of one would land on those of another.

    Names that differ in case or in the composition of accents only count as one, since some file systems take
    them for one. The first keeps its name, and every name keeps its own as far as it can.

    Args:
        items: a name for each thing that has results.
        files: what is written for the thing of an index under a name.
    """
    own = [{_folded(file) for file in files(index, name)} for index, name in enumerate(items)]
    wanted = set[str]().union(*own)
    taken: set[str] = set()
    names = []
    for index, name in enumerate(items):
        if own[index] & taken:
            for candidate in _numbered(name):
                keys = {_folded(file) for file in files(index, candidate)}
                if not keys & taken and not keys & wanted:
                    name, own[index] = candidate, keys
                    break
        taken |= own[index]
        names.append(name)
    return names


def _numbered(name: Path) -> Iterator[Path]:
    for number in count(2):
        yield name.with_name(f"{name.stem}_{number}{name.suffix}")


def _folded(path: Path) -> str:
    return unicodedata.normalize("NFC", str(path)).casefold()


def _identity(path: str | Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino
