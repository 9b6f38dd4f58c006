"""The age of the person in each photo: from a table, from the day of the photo, or from the file name."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from datasets.age_parsing import OLDEST_LABEL, parse_age
from datasets.personal.measures import Photo
from utils.ages import OLDEST, YOUNGEST
from utils.errors import InputError

_AGE_AND_NUMBER = re.compile(r"\d{1,3}(\.\d+)?_\d+")


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
    exact, count = set(known), Counter(Path(name).name for name in known)
    short = {Path(name).name: name for name in known}
    found = {}
    for name in names:
        plain = name.replace("\\", "/").removeprefix("./")
        if plain in exact:
            found[name] = plain
        elif count[plain] == 1:
            found[name] = short[plain]
        else:
            problem = (
                f"{count[plain]} photos have that name, give the path" if count[plain] else "no such photo"
            )
            raise InputError(f"{where}: {name}: {problem} (paths count from --input_dir)")
    return found


def read_age_table(path: str | Path, photos: Iterable[str]) -> dict[str, float]:
    """Reads a CSV of two columns, file and age in years; a header line is optional.

    Args:
        path: the CSV, separated by commas or semicolons.
        photos: paths of the photos below the album.

    Returns:
        path of a photo below the album -> age.

    Raises:
        InputError: the file cannot be read, a line is wrong, or names a photo twice or one that is not there.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot read the ages in {path} ({error}); give a CSV in UTF-8: file,age"
        ) from error
    first_line = text.partition("\n")[0]
    separator = ";" if ";" in first_line and "," not in first_line else ","
    ages: dict[str, float] = {}
    for number, row in enumerate(csv.reader(text.splitlines(), delimiter=separator), 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (number == 1 and cells[:2] == ["file", "age"]):
            continue
        try:
            name, years = cells[0], float(cells[1])
        except (ValueError, IndexError):
            raise InputError(f"{path}, line {number}: {','.join(row)!r} is not file,age") from None
        if not YOUNGEST <= years <= OLDEST_LABEL:
            allowed = f"{YOUNGEST:g} to {OLDEST_LABEL:g} years"
            raise InputError(f"{path}, line {number}: {cells[1]} is not an age ({allowed})")
        if name in ages:
            raise InputError(f"{path}, line {number}: {name} occurs twice")
        ages[name] = min(years, OLDEST)
    found = resolve_names(ages, photos, str(path))
    if len(set(found.values())) < len(found):
        raise InputError(f"{path} names a photo twice, once by its path and once by its name")
    return {found[name]: years for name, years in ages.items()}


def years_between(birth: date, day: date) -> int:
    """Completed years on a day."""
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))


def age_of(photo: Photo, table: Mapping[str, float] | None = None, birth: date | None = None) -> Age:
    """The age in one photo; the table comes first, then the day of the photo, then the file name.

    Where a table or a birth date is given, a file name counts only in the full form ``{age}_{idx}``, so that
    the counter of a camera is not taken for an age.
    """
    if table is not None and photo.name in table:
        return Age(table[photo.name], "table")
    if birth is not None and photo.taken is not None:
        years = years_between(birth, photo.taken)
        if photo.taken < birth or years > OLDEST_LABEL:
            return Age(None, f"taken on {photo.taken}, which does not fit the birth date {birth}")
        return Age(float(min(years, OLDEST)), "EXIF date")
    if (table is None and birth is None) or _AGE_AND_NUMBER.fullmatch(photo.path.stem):
        try:
            return Age(parse_age(photo.path), "file name")
        except InputError:
            pass
    sources = [
        "is not in the table" if table is not None else "",
        "has no EXIF date" if birth is not None else "",
        "its name does not begin with an age",
    ]
    return Age(None, ", ".join(source for source in sources if source))
