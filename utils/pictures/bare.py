"""Copies of PNG and JPEG files without what is no picture in them: text, thumbnails, notes of programs."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_PICTURE = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_USEFUL = _PICTURE | {b"iCCP", b"eXIf"}
_EXIF_TEXT = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")  # where older programs keep the rotation
_LONGEST_TEXT = 2**20


def png_without_extras(file: BinaryIO) -> BinaryIO:
    """A PNG without text, animation and the like; the file itself where it has none.

    Raises:
        ValueError: a part of the picture has a wrong checksum.
    """
    return _png(file, _USEFUL)


def bare_png(file: BinaryIO) -> BinaryIO:
    """A PNG without colour profile and EXIF too; see :func:`png_without_extras`."""
    return _png(file, _PICTURE)


def _png(file: BinaryIO, wanted: frozenset[bytes]) -> BinaryIO:
    spans, complete = [(0, len(PNG))], True
    for start, kind, length in _chunks(file):
        keep = kind in wanted or (wanted is _USEFUL and length <= _LONGEST_TEXT and _is_exif_text(file, kind))
        critical = not kind[0] & 0x20
        if critical and kind not in wanted:
            raise ValueError("unknown part of the picture")
        if keep and not _is_sound(file, start, length):
            if critical:
                raise ValueError("a part of the picture has a wrong checksum")
            keep = False
        if keep:
            spans.append((start, length + 12))
        complete = complete and keep
    if complete:
        return file
    copy = io.BytesIO()
    for start, length in spans:
        file.seek(start)
        copy.write(file.read(length))
    return copy


def _chunks(file: BinaryIO) -> Iterator[tuple[int, bytes, int]]:
    """Place, name and length of the chunks up to the end of the picture or of the file."""
    size, start, kind = file.seek(0, io.SEEK_END), len(PNG), b""
    while kind != b"IEND" and start + 8 <= size:
        file.seek(start)
        length, kind = struct.unpack(">I4s", file.read(8))
        yield start, kind, length
        start += length + 12


def _is_exif_text(file: BinaryIO, kind: bytes) -> bool:
    return kind in (b"tEXt", b"zTXt", b"iTXt") and file.read(24).startswith(_EXIF_TEXT)


def _is_sound(file: BinaryIO, start: int, length: int) -> bool:
    """Whether a chunk has its checksum; one that the file ends in is left to the decoder."""
    file.seek(start + 4)
    checksum, left = 0, length + 4
    while left:
        part = file.read(min(left, 2**20))
        if not part:
            return True
        checksum, left = zlib.crc32(part, checksum), left - len(part)
    expected = file.read(4)
    return len(expected) < 4 or checksum == int.from_bytes(expected, "big")


def bare_jpeg(file: BinaryIO) -> BinaryIO:
    """A JPEG without EXIF, thumbnails, further pictures and comments; its colours stay what they are."""
    copy, start = io.BytesIO(), 2
    copy.write(JPEG[:2])
    while True:
        file.seek(start)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] == 0xDA:
            break
        if head[1] == 0xFF:  # a byte of filling
            start += 1
            continue
        length = int.from_bytes(head[2:], "big")
        segment = head + file.read(max(0, length - 2))
        if (
            head[1] in (0xE0, 0xEE)
            or not (0xE1 <= head[1] <= 0xEF or head[1] == 0xFE)
            or _is_profile(segment)
        ):
            copy.write(segment)
        start += 2 + length
    file.seek(start)
    copy.write(file.read())
    return copy


def _is_profile(segment: bytes) -> bool:
    return segment[1] == 0xE2 and segment[4:].startswith(b"ICC_PROFILE\0")
