"""Which options somebody chose, with their defaults and meanings, as plain values for a report."""

import json
from collections.abc import Iterator
from dataclasses import MISSING, dataclass
from typing import Any

from utils.typed_options import Options, flags_of


@dataclass(frozen=True)
class Option:
    """An option.

    Attributes:
        name, value: of the flag.
        default: its default; None where it is needed or not known.
        help: what it means.
    """

    name: str
    value: Any
    default: Any = None
    help: str = ""

    @property
    def differs(self) -> bool:
        """Whether somebody chose the value."""
        return self.value != self.default

    @property
    def words(self) -> str:
        """As on a command line."""
        if self.value is True:
            return f"--{self.name}"
        value = ",".join(map(str, self.value)) if isinstance(self.value, list) else self.value
        return f"--{self.name}={'' if value is None else value}"


def defaults_of(options: type[Options]) -> Iterator[Option]:
    """The options of a command with their defaults as values, those without effect last."""
    for _, item in flags_of(options):
        default = None if item.default is MISSING else plain(item.default)
        yield Option(item.name, default, default, item.metadata["flag"].help)
    for unread in options.unread:
        default = False if unread.kind is None else plain(unread.default)
        yield Option(unread.name, default, default, unread.reason)


def given_options(options: Options) -> list[Option]:
    """The options whose values differ from their defaults."""
    values = options.record()
    all_of_them = (
        Option(known.name, plain(values[known.name]), known.default, known.help)
        for known in defaults_of(type(options))
        if known.name in values
    )
    return [option for option in all_of_them if option.differs]


def plain(value: Any) -> Any:
    """A value as JSON gives it back."""
    return json.loads(json.dumps(value, default=str))
