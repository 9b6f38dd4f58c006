"""The age in a file name, `{age}_{idx}.ext`."""

import re
from pathlib import Path

from utils.ages import OLDEST
from utils.errors import InputError

OLDEST_LABEL = 116.0  # of UTKFace; a larger number in a name is no age

_AGE = re.compile(r"(\d+(?:\.\d+)?)(?=$|[_ .])")
_WHOLE = re.compile(r"(\d+)(?=$|[_ .])")


def parse_age(path: str | Path, official: bool = False) -> float:
    """Returns the age in years that a file name begins with.

    The number ends at `_`, a space, or the extension, as in `34_7.jpg`, `34.5_7.png`, `7 3.png`, `64.jpeg`.
    Ages above 100 and up to 116 years count as 100, the last class of the age networks.

    Args:
        path: file name or path; only the last component counts.
        official: read whole years as the official MyTimeMachine does, the number ending at the first `.` too.

    Raises:
        InputError: the name begins with no age, or with a number above 116.
    """
    path = Path(path)
    match = (_WHOLE if official else _AGE).match(path.stem)
    if match is None:
        raise InputError(f"no age in the file name {path}; name it {{age}}_{{idx}}, e.g. 34_0{path.suffix}")
    age = float(match.group(1))
    if age > OLDEST_LABEL:
        raise InputError(
            f"{match.group(1)} in the file name {path} is not an age (0 to {OLDEST_LABEL:.0f} years)"
        )
    return min(age, OLDEST)
