"""Parts of a folder are replaced together: after any end of the process there are all old or all new ones."""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from utils.errors import InputError, explained

_NEW, _READY, _OLD = ".new", ".ready", ".old"


@contextlib.contextmanager
def replaced(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    """Gives a folder to fill with new parts, which take the place of the old ones at the end.

    Whatever ends the work before that leaves the old parts. The exchange itself is a few renamings; where
    they are cut short, :func:`finish_replacement` does the rest.

    Args:
        folder: where the parts lie.
        parts: names of the files and folders that are replaced; one that is not made anew, or is an empty
            folder, is removed.

    Raises:
        InputError: the parts cannot be exchanged.
    """
    new = folder / _NEW
    shutil.rmtree(new, ignore_errors=True)
    try:
        for part in parts:
            (new / part).mkdir(parents=True)  # stands for one that is to be removed
        yield new
        new.replace(folder / _READY)  # from here on the new parts count
    finally:
        shutil.rmtree(new, ignore_errors=True)
    finish_replacement(folder)


def new_file(new: Path, part: str) -> Path:
    """The place of a part that is a file, in the folder of :func:`replaced`."""
    with contextlib.suppress(OSError):
        (new / part).rmdir()
    return new / part


def finish_replacement(folder: Path) -> None:
    """Ends an exchange of parts that was cut short; without one there is nothing to do.

    Raises:
        InputError: the parts cannot be exchanged.
    """
    ready, old = folder / _READY, folder / _OLD
    try:
        if ready.is_dir():
            old.mkdir(exist_ok=True)
            for new in sorted(ready.iterdir()):
                _exchange(new, folder / new.name, old / new.name)
            ready.rmdir()
        if old.is_dir():
            shutil.rmtree(old)
    except OSError as error:
        raise InputError(f"cannot put the new files in place: {explained(error) or error}") from error


def _exchange(new: Path, present: Path, old: Path) -> None:
    """Each step is whole or not at all, and may be the last one of the process."""
    if present.exists() or present.is_symlink():
        present.replace(old)
    if new.is_dir() and not any(new.iterdir()):
        new.rmdir()
    else:
        new.replace(present)
