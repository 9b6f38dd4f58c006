"""The tables of IMDB-WIKI (Rothe et al., 2015), `imdb.mat` and `wiki.mat`: ages, scores, boxes, filters."""

import math
import re
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from utils.errors import InputError
from utils.parallel import process_pool

COLLECTIONS = ("imdb", "wiki")  # names of the tables in the two files
LARGEST = 512 * 2**20  # bytes; imdb.mat takes 20 MB, packed
# `nm0000001_rm124825600_1899-5-10_1968.jpg`, `10000217_1981-05-05_2009.jpg`; what is unknown is 0.
_BIRTH = re.compile(r"_(\d{4})-(\d{1,2})-(\d{1,2})_\d{4}")
_DATENUM = 366  # days from MATLAB's day 1, in the year 0, to Python's
_MID_YEAR = (7, 1)  # month and day on which a photo of a known year counts as taken
_REMEDY = "name the imdb.mat or wiki.mat of IMDB-WIKI"
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Portrait:
    """A row of a table: a photo and what is known of the face in it.

    Attributes:
        collection: ``imdb`` or ``wiki``.
        row: from 0.
        file: path of the picture below the folder of the collection.
        age: whole years in the middle of the year of the photo; None if unknown.
        score: of the face, -inf where none was found.
        second_score: of a second face, NaN without one.
        box: left, top, right and bottom of the face in the full photo, in pixels from 1; None if unknown.
    """

    collection: str
    row: int
    file: str
    age: int | None
    score: float
    second_score: float
    box: Box | None = None


@dataclass(frozen=True)
class Filters:
    """Which portraits are used; the defaults are the published filters.

    Attributes:
        min_score: the least score of the face; None: whatever is not -inf.
        second_face: keep photos with a second face, too.
        min_age, max_age: years, both included.
    """

    min_score: float | None = None
    second_face: bool = False
    min_age: float = 0
    max_age: float = 100

    def refusal(self, portrait: Portrait) -> str:
        """Which filter refuses a portrait; empty if none does."""
        if not math.isfinite(portrait.score):
            return "no face"
        if self.min_score is not None and portrait.score < self.min_score:
            return "low score"
        if not self.second_face and not math.isnan(portrait.second_score):
            return "second face"
        if portrait.age is None:
            return "unknown age"
        return "" if self.min_age <= portrait.age <= self.max_age else "age"


def birth_date(file: str, dob: float) -> tuple[int, int, int] | None:
    """Year, month and day of birth: as the name of the file tells, else MATLAB's day number ``dob``.

    A month or day that is unknown is 0.
    """
    found = _BIRTH.search(PurePosixPath(file).stem)
    if found:
        year, month, day = int(found[1]), int(found[2]), int(found[3])
        if year and month <= 12 and day <= 31:
            return year, month, day
    if not math.isfinite(dob) or not 1 <= dob - _DATENUM < date.max.toordinal():
        return None
    born = date.fromordinal(int(dob) - _DATENUM)
    return born.year, born.month, born.day


def age_at_photo(file: str, dob: float, year: float) -> int | None:
    """Age in whole years on the first of July of the year of a photo, as its authors count it.

    Who was born in an unknown month counts as born before July. None if birth or year is unknown.
    """
    born = birth_date(file, dob)
    if born is None or not 1 <= year < 10_000:
        return None
    return int(year) - born[0] - (born[1:] > _MID_YEAR)


# ---------------------------------------------------------------- files


def read_metadata(path: str | Path, boxes: bool = False) -> list[Portrait]:
    """Reads `imdb.mat` or `wiki.mat`, in a process of its own: damaged ones can crash SciPy's reader.

    Args:
        path: the file.
        boxes: read the places of the faces in the full photos, too.

    Raises:
        InputError: it cannot be read, or has another layout; the message says what is missing.
    """
    try:
        with process_pool(1) as pool:
            return pool.submit(_portraits, Path(path), boxes).result()
    except BrokenProcessPool as error:
        raise InputError(
            f"{path} could not be read: it is damaged, or there is too little memory; {_REMEDY}"
        ) from error


def _portraits(path: Path, boxes: bool) -> list[Portrait]:
    collection, table = _table(path)
    columns = _Columns(table, path)
    files = columns.texts("full_path")
    numbers = {
        name: columns.numbers(name, len(files))
        for name in ("dob", "photo_taken", "face_score", "second_face_score")
    }
    places: Sequence[Box | None] = columns.boxes(len(files)) if boxes else [None] * len(files)
    rows = zip(files, *numbers.values(), places, strict=True)
    return [
        Portrait(collection, row, file, age_at_photo(file, dob, year), score, second, box)
        for row, (file, dob, year, score, second, box) in enumerate(rows)
    ]


def read_collections(
    tables: Sequence[str | Path], pictures: str | Path | None = None, boxes: bool = False
) -> tuple[list[Portrait], dict[str, Path]]:
    """Reads `imdb.mat`, `wiki.mat` or both.

    Args:
        tables: the files.
        pictures: where the paths in them begin; None: the folder of each.
        boxes: see :func:`read_metadata`.

    Returns:
        all portraits, and the folder of each collection's pictures.

    Raises:
        InputError: see :func:`read_metadata`; or two files hold one collection.
    """
    portraits, folders = list[Portrait](), dict[str, Path]()
    for table in tables:
        rows = read_metadata(table, boxes)
        collection = rows[0].collection
        if collection in folders:
            raise InputError(f"{table} is a second table of the collection {collection}; give one of each")
        folders[collection] = Path(pictures or Path(table).parent)
        portraits += rows
    return portraits, folders


def _table(path: Path) -> tuple[str, Any]:
    """The name of the collection and its table, a record of arrays."""
    from scipy.io import loadmat

    if not path.is_file():
        raise InputError(f"{path}: no such file; {_REMEDY}")
    if path.stat().st_size > LARGEST:
        raise InputError(f"{path} is larger than {LARGEST >> 20} MB; {_REMEDY}")
    try:
        content = loadmat(path, appendmat=False, variable_names=list(COLLECTIONS))
    except Exception as error:  # the reader raises whatever comes to it
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error).split("\n")[0][:120] or type(error).__name__
        raise InputError(f"{path} is damaged or no MATLAB file ({reason}); {_REMEDY}") from error
    name = next((name for name in COLLECTIONS if name in content), None)
    if name is None:
        raise InputError(f"{path} has another layout: it holds no table imdb or wiki; {_REMEDY}")
    table = content[name]
    if not isinstance(table, np.ndarray) or table.dtype.names is None or table.size != 1:
        raise InputError(f"{path} has another layout: {name} is no table of columns; {_REMEDY}")
    return name, table.reshape(-1)[0]


class _Columns:
    """The columns of a table, checked."""

    def __init__(self, table: Any, path: Path) -> None:
        self._table, self._path = table, path

    def _column(self, name: str, rows: int | None = None) -> np.ndarray:
        if name not in self._table.dtype.names:
            raise InputError(f"{self._path} has another layout: the column {name} is missing; {_REMEDY}")
        column = np.asarray(self._table[name]).reshape(-1)
        if rows is not None and len(column) != rows:
            raise InputError(
                f"{self._path} has another layout: {name} has {len(column)} entries for {rows} photos; "
                f"{_REMEDY}"
            )
        return column

    def _wrong(self, name: str, kind: str) -> InputError:
        return InputError(f"{self._path} has another layout: {name} holds no {kind}; {_REMEDY}")

    def texts(self, name: str) -> list[str]:
        """A column of cells with a text each."""
        cells = [np.asarray(cell).reshape(-1) for cell in self._column(name)]
        if not cells or any(cell.dtype.kind != "U" or cell.size > 1 for cell in cells):
            raise self._wrong(name, "texts")
        return [str(cell[0]) if cell.size else "" for cell in cells]

    def numbers(self, name: str, rows: int) -> list[float]:
        """A column of numbers."""
        column = self._column(name, rows)
        if column.dtype.kind not in "biuf":
            raise self._wrong(name, "numbers")
        return column.astype(np.float64).tolist()

    def boxes(self, rows: int) -> list[Box | None]:
        """The column of cells with four numbers each; an empty cell is None."""
        cells = [np.asarray(cell).reshape(-1) for cell in self._column("face_location", rows)]
        if any(cell.dtype.kind not in "biuf" or cell.size not in (0, 4) for cell in cells):
            raise self._wrong("face_location", "boxes of four numbers")
        return [tuple(cell.astype(np.float64).tolist()) if cell.size else None for cell in cells]
