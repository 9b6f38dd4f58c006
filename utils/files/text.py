"""Text that people and their programs write: lists and tables from Excel, Notepad, a Mac or a shell."""

import codecs
import csv
import os
import re
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from utils.errors import InputError, explained

LARGEST = 64 * 2**20  # bytes; lists of photos are far smaller
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # begins as the mark of UTF-16 does, so it comes first
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x19\x1b-\x1f\x7f\ufffe\uffff]")
_NUMBER = re.compile(r"[+-]?\d+(?:[.,]\d+)?")
_SEPARATORS = ("\t", ";", ",")


# ---------------------------------------------------------------- files


def read_text(path: str | Path, what: str = "a text file") -> str:
    r"""Reads a text file of any usual encoding; every line ends in ``\n``.

    UTF-8 and UTF-16 are told by their mark or their content. What is neither is taken for the eight-bit text
    of an older program: of a Mac if its lines end in CR alone, else of Windows (cp1252).

    Args:
        path: the file.
        what: what it should be, for the message.

    Raises:
        InputError: it cannot be read, is no text, or larger than 64 MB.
    """
    path = Path(path)
    text = _decoded(_content(path, what))
    if text is None or _NO_TEXT.search(text.removesuffix("\x1a")):
        raise InputError(f"{path} is no text; name {what} and save it as UTF-8")
    return text.removesuffix("\x1a").replace("\r\n", "\n").replace("\r", "\n")


def _content(path: Path, what: str) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path} is no file; name {what}")
        if status.st_size > LARGEST:
            raise InputError(f"{path} is larger than {LARGEST >> 20} MB; name {what}")
        with path.open("rb") as file:
            return file.read(LARGEST)
    except ValueError as error:  # a NUL within the name
        raise InputError(f"{str(path)!r} is no name of a file; name {what}") from error
    except OSError as error:
        raise InputError(f"cannot read {explained(error) or path}: name {what}") from error


def _decoded(data: bytes) -> str | None:
    """The text; None where it is none."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _tried(data[len(mark) :], encoding)
    if b"\0" in data:
        even, odd = data[::2].count(0), data[1::2].count(0)
        if 10 * min(even, odd) > max(even, odd):
            return None
        return _tried(data, "utf-16-le" if odd > even else "utf-16-be")
    old = "mac_roman" if b"\r" in data and b"\n" not in data else "cp1252"
    text = _tried(data, "utf-8")
    return _tried(data, old) if text is None else text


def _tried(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


# ---------------------------------------------------------------- tables


def read_table(path: str | Path, what: str = "a table") -> list[tuple[int, list[str]]]:
    """Reads a table whose columns are separated by tabs, semicolons or commas, with quotes where needed.

    The separator is the one that leaves a number in a cell of its own in most rows.

    Args:
        path: the file.
        what: what it should be, for the message.

    Returns:
        number of the line and its cells without surrounding space, for every line that is not empty; empty
        cells at its end are left out.

    Raises:
        InputError: see :func:`read_text`, or a cell is longer than any table's.
    """
    lines = [line + "\n" for line in read_text(path, what).split("\n")]
    named = re.fullmatch(r'"?sep=(.)"?', lines[0].strip())  # what Excel goes by itself
    skipped = 1 if named else 0
    try:
        tables = [
            _rows(lines[skipped:], separator, skipped) for separator in ([named[1]] if named else _SEPARATORS)
        ]
    except csv.Error as error:
        raise InputError(f"{path} is no table ({error}); name {what}") from error
    return max(tables, key=_numbers_apart)


def _rows(lines: Sequence[str], separator: str, skipped: int) -> list[tuple[int, list[str]]]:
    rows, reader = [], csv.reader(lines, delimiter=separator)
    for row in reader:
        cells = [cell.strip() for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            rows.append((reader.line_num + skipped, cells))
    return rows


def _numbers_apart(rows: Sequence[tuple[int, Sequence[str]]]) -> int:
    return sum(len(cells) > 1 and any(_NUMBER.fullmatch(cell) for cell in cells) for _, cells in rows)


def parse_number(text: str) -> float | None:
    """A decimal number with a point or a comma; None for anything else."""
    text = text.strip()
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None


# ---------------------------------------------------------------- names

_HEADINGS = frozenset({"file", "files", "filename", "file name", "name", "path", "photo", "picture", "image"})


def is_heading(text: str) -> bool:
    """Whether a cell or line, the first of its file, heads a column of files and names none."""
    return text.strip().strip(',;"').strip().casefold() in _HEADINGS


class NameIndex:
    """Finds names as people write them: an accent in one or two characters, capitals, another encoding.

    Args:
        named: pairs of a name and what it stands for.
    """

    def __init__(self, named: Iterable[tuple[str, str]]) -> None:
        self._levels: list[dict[str, list[str]]] = [defaultdict(list) for _ in range(3)]
        for name, value in named:
            for level, key in zip(self._levels, _keys(name), strict=True):
                level[key].append(value)

    def find(self, name: str) -> list[str]:
        """All that a name stands for: as it is written, else in the other form, else with other capitals."""
        return next(
            (level[key] for level, key in zip(self._levels, _keys(name), strict=True) if key in level), []
        )


def _keys(name: str) -> tuple[str, str, str]:
    raw = os.fsencode(name) if _encodable(name) else name.encode("utf-8", "replace")
    plain = unicodedata.normalize("NFC", _tried(raw, "utf-8") or raw.decode("cp1252", "replace"))
    return name, plain, plain.casefold()


def _encodable(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True


def find_file(name: str, folders: Sequence[str | Path] = (".",)) -> Path | None:
    """Finds the file that a line of a list means.

    Quotes, space and separators about the name are dropped, ``~`` is the home folder, backslashes separate
    folders, and the spelling is that of :class:`NameIndex` where it is not ambiguous.

    Args:
        name: the line.
        folders: from which a relative path counts, the first one that has the file.
    """
    plain = name.strip().rstrip(",;").strip().strip('"').strip()
    spellings = dict.fromkeys((name, name.strip(), plain, plain.replace("\\", "/")))
    for spelling in filter(None, spellings):
        for folder in folders:
            found = _spelt(Path(folder), Path(os.path.expanduser(spelling)))
            if found is not None:
                return found
    return None


def _spelt(folder: Path, path: Path) -> Path | None:
    """The file at a path below a folder, each part looked up by its spelling."""
    try:
        if (folder / path).is_file():
            return folder / path
        here = Path(path.anchor) if path.anchor else folder
        for part in path.parts[1:] if path.anchor else path.parts:
            if not (here / part).exists():
                found = NameIndex((entry, entry) for entry in os.listdir(here)).find(part)
                if len(found) != 1:
                    return None
                part = found[0]
            here /= part
        return here if here.is_file() else None
    except (OSError, ValueError):  # no such folder, a name too long, a NUL
        return None
