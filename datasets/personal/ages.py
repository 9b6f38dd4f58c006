"""The age of the person in each photo: from a table, from the day of the photo, or from the file name."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from datasets.age_parsing import OLDEST_LABEL, parse_age
from datasets.personal.measures import Photo
from utils.ages import OLDEST, YOUNGEST
from utils.errors import InputError
from utils.files.text import NameIndex, is_heading, parse_number, read_table


@dataclass(frozen=True)
class Age:
    """An age in years, or None, with where it comes from or why it is missing."""

    years: float | None
    source: str


def resolve_names(names: Iterable[str], known: Iterable[str], where: str) -> dict[str, str]:
    """Finds the photos that a user named by path below the album, or by file name alone where that is unique.

    Returns:
        name as given -> path below the album.

    Raises:
        InputError: no such photo, or several of that name.
    """
    known = list(known)
    whole = NameIndex((name, name) for name in known)
    last = NameIndex((Path(name).name, name) for name in known)
    found = {}
    for name in names:
        plain = name.replace("\\", "/").removeprefix("./")
        matches = whole.find(plain) or last.find(plain)
        if len(matches) != 1:
            problem = f"{len(matches)} photos have that name, give the path" if matches else "no such photo"
            raise InputError(f"{where}: {name[:200]}: {problem} (paths count from --input_dir)")
        found[name] = matches[0]
    return found


def read_age_table(path: str | Path, photos: Iterable[str]) -> dict[str, float]:
    """Reads a table of two columns, file and age in years, as spreadsheets and editors write it.

    A first line that names the columns is optional; with it there may be others, in any order.

    Args:
        path: the table, see ``utils.files.text.read_table``.
        photos: paths of the photos below the album.

    Returns:
        path of a photo below the album -> age.

    Raises:
        InputError: the file cannot be read, a line is wrong, or names a photo twice or one that is not there.
    """
    path = Path(path)
    rows = read_table(path, "a table of the ages, with lines of file,age")
    columns = _columns(rows[0][1]) if rows else None
    ages: dict[str, float] = {}
    for number, cells in rows[0 if columns is None else 1 :]:
        name, years = _file_and_age(cells, columns, f"{path}, line {number}")
        if name in ages:
            raise InputError(f"{path}, line {number}: {name} occurs twice")
        ages[name] = years
    found = resolve_names(ages, photos, str(path))
    if len(set(found.values())) < len(found):
        raise InputError(f"{path} names a photo twice, in two spellings or by its path and by its name")
    return {found[name]: years for name, years in ages.items()}


def _columns(first: Sequence[str]) -> tuple[int, int] | None:
    """Where file and age stand by the first line; None if it names no columns."""
    names = [cell.casefold() for cell in first]
    age = next((place for place, name in enumerate(names) if name in ("age", "years")), None)
    if age is None:
        other_language = not Path(first[0]).suffix and all(parse_number(cell) is None for cell in first)
        return (0, 1) if other_language and len(first) > 1 else None
    file = next((place for place, name in enumerate(names) if is_heading(name)), 0 if age else 1)
    return file, age


def _file_and_age(cells: Sequence[str], columns: tuple[int, int] | None, where: str) -> tuple[str, float]:
    file, age = columns or (0, 1)
    years = parse_number(cells[age]) if len(cells) > max(file, age) else None
    if years is None or not cells[file] or (columns is None and len(cells) > 2):
        raise InputError(f"{where}: {','.join(cells)[:200]!r} is not file,age")
    if not YOUNGEST <= years <= OLDEST_LABEL:
        allowed = f"{YOUNGEST:g} to {OLDEST_LABEL:g} years"
        raise InputError(f"{where}: {cells[age]} is not an age ({allowed})")
    return cells[file], min(years, OLDEST)


def years_between(birth: date, day: date) -> int:
    """Completed years on a day."""
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))


def age_of(photo: Photo, table: Mapping[str, float] | None = None, birth: date | None = None) -> Age:
    """The age in one photo; the table comes first, then the day of the photo, then a name ``{age}_{idx}``."""
    if table is not None and photo.name in table:
        return Age(table[photo.name], "table")
    if birth is not None and photo.taken is not None:
        years = years_between(birth, photo.taken)
        if photo.taken < birth or years > OLDEST_LABEL:
            return Age(None, f"taken on {photo.taken}, which does not fit the birth date {birth}")
        return Age(float(min(years, OLDEST)), "EXIF date")
    with contextlib.suppress(InputError):
        return Age(parse_age(photo.path), "file name")
    sources = [
        "is not in the table" if table is not None else "",
        "has no EXIF date" if birth is not None else "",
        "its name is not {age}_{idx}",
    ]
    return Age(None, ", ".join(source for source in sources if source))
