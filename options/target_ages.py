"""The one reader of ``--target_age``: years, years relative to the input's, or ``uniform_random``."""

from dataclasses import dataclass

from utils.ages import OLDEST, YOUNGEST, is_age
from utils.errors import InputError

UNIFORM_RANDOM = "uniform_random"
DEFAULT_AGES = ",".join(str(age) for age in range(0, 101, 10))


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


def parse_target_age(text: str) -> TargetAge:
    """Reads one entry: an age in years, or ``uniform_random``.

    Raises:
        InputError: it is neither, or there are several.
    """
    targets = parse_target_ages(text)
    if len(targets) != 1:
        raise InputError(f"--target_age={text}: one age in years or {UNIFORM_RANDOM} is needed")
    return targets[0]


def fixed_ages(text: str) -> list[float]:
    """Reads several entries that are all ages in years.

    Raises:
        InputError: one is none.
    """
    ages = [target.years for target in parse_target_ages(text)]
    if None in ages:
        raise InputError(f"--target_age: fixed ages in years are needed, not {UNIFORM_RANDOM}")
    return [age for age in ages if age is not None]


def _years(entry: str, relative: bool) -> float:
    try:
        years = float(entry)
    except ValueError:
        raise InputError(
            f"--target_age: '{entry}' is no age; give years such as 0,10,20, or {UNIFORM_RANDOM}"
        ) from None
    if relative and not is_age(abs(years)):
        raise InputError(f"--target_age: {entry} is more than {OLDEST:g} years away")
    if not relative and not is_age(years):
        raise InputError(f"--target_age: {entry} is outside {YOUNGEST:g} to {OLDEST:g} years")
    return years
