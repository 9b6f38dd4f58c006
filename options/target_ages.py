"""The entries of `--target_age`: years, years relative to the age of the input, or `uniform_random`."""

import math
from dataclasses import dataclass

from utils.errors import InputError

UNIFORM_RANDOM = "uniform_random"
DEFAULT_AGES = ",".join(str(age) for age in range(0, 101, 10))
YOUNGEST, OLDEST = 0.0, 100.0


@dataclass(frozen=True)
class TargetAge:
    """One entry of ``--target_age``.

    Attributes:
        label: the entry as typed; names the folder of its results.
        years: the age in years, None where each picture draws its own.
        relative: ``years`` are added to the age of the input.
    """

    label: str
    years: float | None
    relative: bool = False


def parse_target_ages(text: str | None, allow_relative: bool = False) -> list[TargetAge]:
    """Reads ``"0,10,62.5,uniform_random"``; None means every ten years from 0 to 100.

    Args:
        text: the entries.
        allow_relative: also accept ``+20`` and ``-15``.

    Raises:
        InputError: an entry is no age from 0 to 100, or occurs twice.
    """
    entries = [entry.strip() for entry in (DEFAULT_AGES if text is None else text).split(",")]
    targets: list[TargetAge] = []
    for entry in entries:
        relative = allow_relative and entry[:1] in ("+", "-")
        target = TargetAge(entry, None if entry == UNIFORM_RANDOM else _years(entry, relative), relative)
        if target in targets:
            raise InputError(f"--target_age names {entry} twice")
        targets.append(target)
    return targets


def _years(entry: str, relative: bool) -> float:
    try:
        years = float(entry)
    except ValueError:
        raise InputError(
            f"--target_age: '{entry}' is no age; give years such as 0,10,20, or {UNIFORM_RANDOM}"
        ) from None
    if relative and (math.isnan(years) or abs(years) > OLDEST):
        raise InputError(f"--target_age: {entry} is more than {OLDEST:g} years away")
    if not relative and (math.isnan(years) or not YOUNGEST <= years <= OLDEST):
        raise InputError(f"--target_age: {entry} is outside {YOUNGEST:g} to {OLDEST:g} years")
    return years
