"""Options as dataclasses: a group of flags is one class, the options of a command are one class of several.

A class says what each flag is called, takes and means; ``options.parser`` reads it from a command line.
Values are checked where they stand: by the kind of each flag, and by ``check`` of its group.
"""

import argparse
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, ClassVar

from utils.ages import OLDEST, YOUNGEST, is_age

MOST = 2**31 - 1  # that random numbers, counters and formats of files take
_LONGEST_NAME = 255  # bytes that file systems take


@dataclass(frozen=True)
class Flag:
    """How the command line fills a field.

    Attributes:
        kind: turns the text into the value; it raises ``argparse.ArgumentTypeError`` for a wrong one.
        help: what it means.
        choices: the values there are.
        metavar: stands for the value in the help.
        nargs: as in argparse.
        positional: the field has no ``--name``.
    """

    kind: Callable[[str], Any]
    help: str
    choices: Sequence[str] | None = None
    metavar: str | None = None
    nargs: str | None = None
    positional: bool = False


def option(
    default: Any = MISSING, kind: Callable[[str], Any] = str, help: str = "", **more: Any
) -> Any:  # what dataclasses.field returns is of every type
    """A field that a flag of its name fills; without a default the flag is required. False makes a switch.

    Args:
        default: value without the flag.
        kind, help, more: see :class:`Flag`. A path may be empty only where it need not be given.
    """
    if kind is path and default not in (None, "", ()):
        kind = some_path
    return field(default=default, metadata={"flag": Flag(kind, help, **more)})


@dataclass(frozen=True)
class Unread:
    """A flag that a command accepts without reading it.

    Attributes:
        name: without dashes.
        kind: of its value; None for a switch.
        default: value without the flag.
        official: whether the official program has it; ours alone are left out of the help.
        reason: why it is not read.
    """

    name: str
    kind: Callable[[str], Any] | None = str
    default: Any = None
    official: bool = True
    reason: str = "without effect"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of all groups; a command's options inherit from each of its groups.

    Attributes:
        title: heading of the group in the help.
        unread: flags that are accepted and not read.
        without_effect: what was given for those, so that the record of a run is that of its command line.
    """

    title: ClassVar[str] = "options"
    unread: ClassVar[Sequence[Unread]] = ()
    without_effect: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Runs the check of every group, the most general first."""
        for group in groups_of(type(self)):
            check = group.__dict__.get("check")
            if check is not None:
                check(self)

    def check(self) -> None:
        """Raises ``InputError`` if values of this group contradict each other or cannot be."""

    def record(self) -> dict[str, Any]:
        """All values by the names of their flags, as a flat dictionary."""
        own = {item.name: getattr(self, item.name) for _, item in flags_of(type(self))}
        return {**own, **self.without_effect}


def groups_of(options: type[Options]) -> list[type[Options]]:
    """The classes that make up some options: each after its bases, in the order in which they are named."""
    found: list[type[Options]] = []
    for base in options.__bases__:
        if issubclass(base, Options):
            found += [group for group in groups_of(base) if group not in found]
    return [*found, options]


def flags_of(options: type[Options]) -> list[tuple[type[Options], Field[Any]]]:
    """Every field that a flag fills, with the group that it belongs to, in the order of the groups."""
    chosen = {
        item.name: item for item in fields(options)
    }  # a class may give a flag of its groups a new default
    found: dict[str, tuple[type[Options], Field[Any]]] = {}
    for group in groups_of(options):
        for item in fields(group):
            if "flag" in item.metadata:
                found.setdefault(item.name, (group, chosen[item.name]))
    return list(found.values())


def unread_flags(group: type[Options], names: Sequence[str] = (), **common: Any) -> tuple[Unread, ...]:
    """The flags of a group, or some of them, as such that another command accepts without reading them."""
    found = []
    for _, item in flags_of(group):
        if not names or item.name in names:
            kind = None if item.default is False else item.metadata["flag"].kind
            found.append(Unread(item.name, kind, item.default, **common))
    return tuple(found)


# ---------------------------------------------------------------- kinds of values


def at_least(least: int, most: int = MOST) -> Callable[[str], int]:
    """Reads whole numbers from ``least`` to ``most``."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        if value > most:
            raise argparse.ArgumentTypeError(f"{value} is more than {most}")
        return value

    return read


count, positive = at_least(0), at_least(1)
processes = at_least(0, 512)  # or threads: many more crash the libraries that start them
pixels = at_least(1, 16_384)  # the side of a picture that a network makes or sees
width = at_least(1, 65_536)  # of a layer
depth = at_least(1, 1_000)  # layers one after another
group = at_least(1, 65_536)  # pictures that are computed together


def number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number")
    return value


def weight(text: str) -> float:
    """A finite number of at least 0."""
    value = number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return value


def rate(text: str) -> float:
    """A finite number above 0."""
    value = weight(text)
    if value == 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    value = weight(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text} does not lie between 0 and 1")
    return value


def years(text: str) -> float:
    """An age in years."""
    value = number(text)
    if not is_age(value):
        raise argparse.ArgumentTypeError(f"{text} is outside {YOUNGEST:g} to {OLDEST:g} years")
    return value


def path(text: str) -> str:
    """A file or folder; ``~`` stands for the home folder. An empty name is that of no file."""
    if "\0" in text:
        raise argparse.ArgumentTypeError("a name cannot hold the character 0")
    longest = max(len(os.fsencode(part)) for part in text.split(os.sep))
    if longest > _LONGEST_NAME:
        raise argparse.ArgumentTypeError(
            f"a name of {longest} bytes is too long; up to {_LONGEST_NAME} are possible"
        )
    return os.path.expanduser(text)


def some_path(text: str) -> str:
    """The same where there must be one."""
    if not text.strip():
        raise argparse.ArgumentTypeError("names nothing; give a file or folder")
    return path(text)


def paths(text: str) -> tuple[str, ...]:
    """Files separated by commas."""
    return tuple(path(part) for part in text.split(",") if part)
