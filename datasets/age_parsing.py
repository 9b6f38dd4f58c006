"""The age in a file name, `{age}_{idx}.ext`."""

import math
import re
from pathlib import Path

from utils.ages import OLDEST
from utils.errors import InputError

OLDEST_LABEL = 116.0  # of UTKFace; a larger number in a name is no age

# UTKFace's own names count too: age, gender, race and a moment of 17 digits.
_AGE = re.compile(r"([0-9]{1,3}(?:\.[0-9]+)?)_(?:[0-9]+|[01]_[0-4]_[0-9]{17}(?:\.jpg\.chip)?)")
_NUMBER = re.compile(r"[0-9]{1,3}")


def parse_age(path: str | Path, official: bool = False) -> float:
    """Returns the age in years of a file name ``{age}_{idx}``, as in `34_7.jpg` and `34.5_07.png`.

    Other names hold no age, whatever they begin with: a counter (`7.jpg`, `2 (1).jpg`) or a date
    (`12_05_2019.jpg`) is none. Ages above 100 and up to 116 years count as 100, the last class of the age
    networks.

    Args:
        path: file name or path; only the last component counts.
        official: whole years, the number ending at the first `.`, as the official MyTimeMachine reads them.

    Raises:
        InputError: the name is another, or its first number above 116.
    """
    path = Path(path)
    match = _AGE.fullmatch(path.stem)
    if match is None:
        example = f"{path.stem if _NUMBER.fullmatch(path.stem) else 34}_0{path.suffix}"
        raise InputError(f"no age in the file name {path}; name it {{age}}_{{idx}}, e.g. {example}")
    age = float(match[1].partition(".")[0] if official else match[1])
    if age > OLDEST_LABEL:
        raise InputError(f"{match[1]} in the file name {path} is not an age (0 to {OLDEST_LABEL:.0f} years)")
    return min(age, OLDEST)


def age_or_nan(path: str | Path, official: bool = False) -> float:
    """The same; NaN where the name tells no age."""
    try:
        return parse_age(path, official)
    except InputError:
        return math.nan
