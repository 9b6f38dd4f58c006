"""Reads what ``torch.save`` writes, zip archives and the older format: checked, in bounds, nothing is run.

An archive stores a CRC-32 of each of its parts, which torch does not look at; here all of them are compared
at every reading. The older format has none: only its structure can be checked.
"""

import io
import mmap
import os
import struct
import zipfile
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

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
ALIGNMENT = 64


class Part(NamedTuple):
    """Where one member of an archive lies, and what its CRC-32 must be."""

    start: int
    size: int
    crc: int


def map_file(path: Path) -> mmap.mmap:
    """The bytes of a file that is not empty; changes stay in memory."""
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def read_archive(data: mmap.mmap, map_storages: bool) -> Any:
    """Reads a zip archive of ``torch.save``.

    Args:
        data: the file.
        map_storages: leave the numbers of tensors in the file until they are used.

    Raises:
        ValueError: it is damaged; other errors of malformed pickles.
        RefusedError: it holds what is not read here.
    """
    parts = _parts(data)
    _check_crcs(data, parts)
    described = [name for name in parts if name.endswith("/data.pkl")]
    if len(described) != 1:
        raise ValueError("not written by torch.save")
    folder = described[0][: -len("data.pkl")]
    if f"{folder}constants.pkl" in parts:
        raise ValueError("a TorchScript program, not weights")
    order = parts.get(f"{folder}byteorder")
    if order and _bytes(data, order) != b"little":
        raise ValueError("written on a machine with another byte order")
    if parts[described[0]].size > LARGEST_PICKLE:
        raise ValueError("its description is too long")
    unused = {name for name in parts if name.startswith(f"{folder}data/")}
    known: dict[str, torch.UntypedStorage] = {}

    def storage(key: str, size: int) -> torch.UntypedStorage:
        if key not in known:
            part = parts[f"{folder}data/{key}"]
            known[key] = _storage(data, part.start, part.size, map_storages)
            unused.discard(f"{folder}data/{key}")
        if known[key].nbytes() != size:
            raise ValueError("a storage of another size")
        return known[key]

    content = SafeUnpickler(io.BytesIO(_bytes(data, parts[described[0]])), storage).load()
    if unused:
        raise ValueError("parts that nothing refers to")
    return content


def read_old_file(data: Any, size: int) -> Any:
    """Reads what ``torch.save`` wrote before it wrote archives.

    Args:
        data: the file, at its start.
        size: its bytes.

    Raises:
        ValueError: it is damaged; other errors of malformed pickles.
        RefusedError: it holds what is not read here.
    """
    head = [SafeUnpickler(data).load() for _ in range(3)]
    if head[:2] != [OLD_MAGIC, OLD_PROTOCOL] or not isinstance(head[2], dict):
        raise ValueError("not written by torch.save")
    if head[2].get("little_endian") is not True:
        raise ValueError("written on a machine with another byte order")
    known: dict[str, torch.UntypedStorage] = {}
    left = size

    def storage(key: str, count: int) -> torch.UntypedStorage:
        nonlocal left
        if key not in known:
            left -= count
            if left < 0:
                raise ValueError("tensors larger than the file")
            known[key] = torch.UntypedStorage(count)
        if known[key].nbytes() != count:
            raise ValueError("a storage of another size")
        return known[key]

    content = SafeUnpickler(data, storage).load()
    keys = SafeUnpickler(data).load()
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise ValueError("no list of storages")
    if len(keys) != len(known) or set(keys) != set(known):
        raise ValueError("another list of storages than its tensors have")
    for key in keys:
        _fill(known[key], data)
    if data.read(1):
        raise ValueError("more behind its end")
    return content


def _fill(storage: torch.UntypedStorage, data: Any) -> None:
    """Reads the numbers of one storage of an old file, before which their count stands."""
    (count,) = struct.unpack("<q", data.read(8))
    size = storage.nbytes()
    if count < 0 or (count == 0) != (size == 0) or (count and (size % count or size // count > 8)):
        raise ValueError("a storage of another size")
    if size:
        read = bytearray(data.read(size))
        torch.empty(0, dtype=torch.uint8).set_(storage).copy_(torch.frombuffer(read, dtype=torch.uint8))


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


def _storage(data: mmap.mmap, start: int, size: int, mapped: bool) -> torch.UntypedStorage:
    if not size:
        return torch.UntypedStorage(0)
    numbers = torch.frombuffer(data, dtype=torch.uint8, offset=start, count=size)
    if not mapped or start % ALIGNMENT:
        numbers = numbers.clone()
    return numbers.untyped_storage()
