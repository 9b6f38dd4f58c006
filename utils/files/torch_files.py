"""Reads what ``torch.save`` writes, zip archives and the older format: checks, then torch's safe loader.

An archive stores a CRC-32 of each of its parts, which torch does not look at; here all of them are compared
at every reading. The older format has none: only its structure can be checked. In both, the description of
the tensors is read once before without their numbers, so that nothing is allocated for sizes that cannot be.
"""

import argparse
import io
import mmap
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch

from utils.files.safe_pickle import SafeUnpickler

ARCHIVE_START = b"PK\x03\x04"
OLD_MAGIC = 0x1950A86A20F9469CFC6C
OLD_START = b"\x80\x02\x8a\x0a" + OLD_MAGIC.to_bytes(10, "little")
OLD_PROTOCOL = 1001
LARGEST_DIRECTORY = 1 << 24  # bytes; a file of 10,000 tensors has 1 MB
LARGEST_PICKLE = 1 << 24  # bytes; that of a file of 10,000 tensors has 2 MB
LOCAL_HEADER = struct.Struct("<4s22xHH")
ALONE = 1 << 20  # bytes from which a part is checked in a thread of its own
THREADS = 8
# Plain containers and numbers that training scripts store beside tensors; the check has seen what they hold.
NUMPY_TYPES = {type(np.dtype(code)) for code in ("?", *"bhilqBHILQ", *"efd")}
PLAIN = [argparse.Namespace, np.dtype, np.float64(0).__reduce__()[0], *NUMPY_TYPES]


class Part(NamedTuple):
    """Where one member of an archive lies, and what its CRC-32 must be."""

    start: int
    size: int
    crc: int


def map_file(path: Path) -> mmap.mmap:
    """The bytes of a file that is not empty; changes stay in memory."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def read_archive(path: Path, data: mmap.mmap, map_storages: bool) -> Any:
    """Reads a zip archive of ``torch.save``.

    Args:
        path: the file.
        data: its bytes.
        map_storages: leave the numbers of tensors in the file until they are used.

    Raises:
        ValueError: it is damaged; other errors of malformed pickles.
        RefusedError: it holds what is not read here.
    """
    parts = check_archive(data)
    described = [name for name in parts if name.endswith("/data.pkl")]
    if len(described) != 1:
        raise ValueError("not written by torch.save")
    folder = described[0][: -len("data.pkl")]
    if f"{folder}constants.pkl" in parts:
        raise ValueError("a TorchScript program, not weights")
    if parts[described[0]].size > LARGEST_PICKLE:
        raise ValueError("its description is too long")
    unused = {name for name in parts if name.startswith(f"{folder}data/")}

    def storage(key: str, size: int) -> torch.UntypedStorage:
        part = parts[f"{folder}data/{key}"]
        unused.discard(f"{folder}data/{key}")
        if part.size != size:
            raise ValueError("a storage of another size")
        return torch.UntypedStorage(size, device="meta")

    SafeUnpickler(io.BytesIO(_bytes(data, parts[described[0]])), storage).load()
    if unused:
        raise ValueError("parts that nothing refers to")
    if map_storages and path.suffix.lower() != ".safetensors":  # by which torch would choose another reader
        return _loaded(str(path), mmap=True)
    with path.open("rb") as file:
        return _loaded(file)


def check_archive(data: mmap.mmap) -> dict[str, Part]:
    """Compares the structure of an archive and all its checksums; returns its parts.

    Raises:
        ValueError: something differs.
    """
    parts = _parts(data)
    _check_crcs(data, parts)
    return parts


def read_old_file(source: Path | io.BytesIO, data: Any, size: int) -> Any:
    """Reads what ``torch.save`` wrote before it wrote archives.

    Args:
        source: the file, or its bytes.
        data: its bytes, at their start.
        size: their number.

    Raises:
        ValueError: it is damaged; other errors of malformed pickles.
        RefusedError: it holds what is not read here.
    """
    head = [SafeUnpickler(data).load() for _ in range(3)]
    if head[:2] != [OLD_MAGIC, OLD_PROTOCOL] or not isinstance(head[2], dict):
        raise ValueError("not written by torch.save")
    known: dict[str, int] = {}
    left = size

    def storage(key: str, count: int) -> torch.UntypedStorage:
        nonlocal left
        if key not in known:
            left -= count
            if left < 0:
                raise ValueError("tensors larger than the file")
            known[key] = count
        if known[key] != count:
            raise ValueError("a storage of another size")
        return torch.UntypedStorage(count, device="meta")

    SafeUnpickler(data, storage).load()
    keys = SafeUnpickler(data).load()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ValueError("no list of storages")
    if len(keys) != len(known) or set(keys) != set(known):
        raise ValueError("another list of storages than its tensors have")
    for key in keys:
        _pass_over(known[key], data)
    if data.read(1):
        raise ValueError("more behind its end")
    if isinstance(source, Path):
        with source.open("rb") as file:
            return _loaded(file)
    return _loaded(source)


def _pass_over(size: int, data: Any) -> None:
    """Passes over the numbers of one storage of an old file, before which their count stands."""
    (count,) = struct.unpack("<q", data.read(8))
    if count < 0 or (count == 0) != (size == 0) or (count and (size % count or size // count > 8)):
        raise ValueError("a storage of another size")
    if len(data.read(size)) != size:
        raise ValueError("it is cut short")


def _loaded(source: str | IO[bytes], **settings: bool) -> Any:
    """What torch makes of a file whose structure was checked."""
    before = list(torch.serialization.get_safe_globals())
    torch.serialization.add_safe_globals(PLAIN)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of typed storages, which old files hold
            return torch.load(source, map_location="cpu", weights_only=True, **settings)
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _parts(data: mmap.mmap) -> dict[str, Part]:
    """Every member of an archive; none is compressed, doubled, or lies over another."""
    _check_directory(data)
    parts: dict[str, Part] = {}
    for member in zipfile.ZipFile(data).infolist():  # type: ignore[call-overload, unused-ignore]
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise ValueError("compressed parts, which torch.save does not write")
        if member.flag_bits & 1 or member.filename in parts:
            raise ValueError("encrypted or doubled parts")
        head = data[member.header_offset : member.header_offset + LOCAL_HEADER.size]
        signature, name, extra = LOCAL_HEADER.unpack(head)
        start = member.header_offset + LOCAL_HEADER.size + name + extra
        if signature != ARCHIVE_START or start + member.file_size > len(data):
            raise ValueError("parts that lie outside")
        parts[member.filename] = Part(start, member.file_size, member.CRC)
    end = 0
    for part in sorted(parts.values()):
        if part.start < end:
            raise ValueError("parts that lie over one another")
        end = part.start + part.size
    return parts


def _check_directory(data: mmap.mmap) -> None:
    """Refuses a table of contents that is too large to be read, before it is."""
    position = data.rfind(b"PK\x05\x06", max(0, len(data) - (1 << 16) - 22))
    if position < 0:
        raise ValueError("its end is missing")
    (size,) = struct.unpack_from("<I", data, position + 12)
    if size == 0xFFFFFFFF and position >= 20:
        (record,) = struct.unpack_from("<Q", data, position - 12)
        (size,) = struct.unpack_from("<Q", data, record + 40)
    if size > LARGEST_DIRECTORY:
        raise ValueError("a table of contents that is too large")


def _check_crcs(data: mmap.mmap, parts: dict[str, Part]) -> None:
    """Compares every CRC-32; large parts at the same time, as the sum is made without Python's lock.

    Raises:
        ValueError: a part differs.
    """
    view = memoryview(data)

    def wrong(names: Iterable[str]) -> list[str]:
        return [name for name in names if zlib.crc32(_slice(view, parts[name])) != parts[name].crc]

    large = [[name] for name, part in parts.items() if part.size >= ALONE]
    small = [name for name, part in parts.items() if part.size < ALONE]
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        differing = [name for found in pool.map(wrong, [*large, small]) for name in found]
    if differing:
        raise ValueError(f"its part {differing[0].rpartition('/')[2][:40]} differs from its checksum")


def _slice(view: memoryview, part: Part) -> memoryview:
    return view[part.start : part.start + part.size]


def _bytes(data: mmap.mmap, part: Part) -> bytes:
    return data[part.start : part.start + part.size]
