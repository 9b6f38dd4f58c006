"""Zip archives read in place: `faces.zip/34/34_0.png` is an entry, as if the archive were a folder.

Such a path names, sorts and pickles as any other; only who lists or opens files needs this module. Nothing is
ever unpacked to the disk, and every process opens an archive for itself.
"""

import errno
import io
import os
import stat
import zipfile
import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from utils.errors import InputError, explained

SUFFIX = ".zip"
LARGEST_ENTRY = 256  # MiB; an entry is in memory while it is read, whatever it was packed into
_ENCRYPTED = 0x1  # flag of an entry
_BOUNDED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what Python unpacks no further than it is asked to


def is_archive(place: str | Path) -> bool:
    """Whether a place is a zip archive, which commands take where they take a folder of pictures."""
    place = Path(place)
    return place.suffix.lower() == SUFFIX and place.is_file()


def names_count_from(place: str | Path) -> Path:
    """Where names of the pictures at a place begin: the folder or archive, or the folder of one picture."""
    place = Path(place)
    return place.parent if place.is_file() and not is_archive(place) else place


def entries(archive: Path) -> tuple[list[Path], list[str]]:
    """Paths of the files in an archive, and names of entries that would lead out of it.

    Raises:
        InputError: it cannot be read as a zip archive.
    """
    _, inside, outside = _open(archive, *_version(archive))
    return [archive / name for name in inside], outside


def open_file(path: Path) -> BinaryIO:
    """Opens a file, or an entry of an archive; nothing that would wait or never end.

    Raises:
        InputError: it is a folder, pipe or device, or an entry that is damaged, encrypted or too large.
        OSError: there is no such file, or it cannot be opened.
    """
    try:
        status = os.stat(path)
    except NotADirectoryError:
        return io.BytesIO(_unpacked(path))
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"cannot read {path}: it is a folder, pipe or device; name the file of a picture")
    return path.open("rb")


def file_size(path: Path) -> int:
    """Bytes of a file, or of an entry of an archive.

    Raises:
        InputError: the archive cannot be read.
        OSError: there is no such file.
    """
    try:
        return path.stat().st_size
    except NotADirectoryError:
        return _found(path)[1].file_size


def _unpacked(path: Path) -> bytes:
    archive, entry = _found(path)
    if entry.flag_bits & _ENCRYPTED:
        raise InputError(f"cannot read {path}: it is encrypted; pack the archive without a password")
    if entry.compress_type not in _BOUNDED:
        raise InputError(f"cannot read {path}: it is packed in an unusual way; pack the archive with deflate")
    if entry.file_size > LARGEST_ENTRY * 2**20:
        raise InputError(
            f"cannot read {path}: {entry.file_size / 2**20:.0f} MiB are more than the {LARGEST_ENTRY} MiB of "
            "an entry; unpack the archive and name the folder"
        )
    try:
        with archive.open(entry) as opened:
            # Of a size, for else all that the entry really holds is unpacked before it is cut and checked.
            return opened.read(entry.file_size)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise InputError(
            f"cannot read {path} ({error}); the archive is damaged: replace it, or this entry of it"
        ) from error


def _found(path: Path) -> tuple[zipfile.ZipFile, zipfile.ZipInfo]:
    """The opened archive of a path below a file, and its entry."""
    place = next(parent for parent in path.parents if parent.exists())
    if not is_archive(place):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
    opened, inside, _ = _open(place, *_version(place))
    entry = inside.get(PurePosixPath(path.relative_to(place).as_posix()))
    if entry is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return opened, entry


def _version(archive: Path) -> tuple[int, ...]:
    """What tells whether an opened archive is still the one of that name, and is this process's own."""
    status = archive.stat()
    return os.getpid(), status.st_ino, status.st_size, status.st_mtime_ns


@lru_cache(maxsize=8)
def _open(
    archive: Path, *_: int
) -> tuple[zipfile.ZipFile, Mapping[PurePosixPath, zipfile.ZipInfo], list[str]]:
    """An archive, its files by their names, and the names that lead out of it.

    A process that is forked shares the position in the file with its parent, so it needs a handle of its own.
    """
    try:
        opened = zipfile.ZipFile(archive)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        reason = explained(error) if isinstance(error, OSError) else str(error)
        raise InputError(
            f"cannot read {archive} as a zip archive ({reason or error}); it is damaged or no archive: "
            "replace it or name a folder"
        ) from error
    inside, outside = {}, []
    for entry in opened.infolist():
        name = PurePosixPath(entry.filename)
        parts = entry.filename.replace("\\", "/").split("/")
        if name.is_absolute() or ".." in parts or ":" in parts[0]:
            outside.append(entry.filename)
        elif not entry.is_dir():
            inside[name] = entry
    return opened, inside, outside
