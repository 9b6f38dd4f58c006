"""Reads command lines into options: the one parser of all commands."""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import MISSING
from difflib import get_close_matches
from typing import Any, NoReturn, TypeVar

from utils.errors import InputError
from utils.typed_options import Flag, Options, Unread, flags_of

OptionsType = TypeVar("OptionsType", bound=Options)


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the default of every flag that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.required else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Reports a wrong command line as one sentence; every flag shows its default."""

    def __init__(self, description: str = "", **settings: Any) -> None:
        super().__init__(
            description=description,
            allow_abbrev=False,
            formatter_class=HelpFormatter,
            **settings,
        )

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As in argparse; of an unknown flag it says which one may be meant."""
        values, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._meant(unknown)}")
        return values

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As in argparse, which takes ``--flag=--`` for a list of no values."""
        for word in args or ():
            if word.startswith("--") and word.endswith("=--"):
                self.error(f"argument {word[:-3]}: '--' is no value")
        return super().parse_known_args(args, namespace)

    def _meant(self, unknown: Sequence[str]) -> str:
        near = [
            match
            for word in unknown
            for match in get_close_matches(word.split("=")[0], self._option_string_actions, 1)
        ]
        return f"; did you mean {', '.join(dict.fromkeys(near))}?" if near else ""

    def error(self, message: str) -> NoReturn:
        """Raises the message as InputError."""
        raise InputError(f"{message} (--help lists the options)")


def build_parser(options: type[Options], description: str = "", **settings: Any) -> Parser:
    """The parser that fills a class of options.

    Args:
        options: the class; each group in it has a heading of its own in the help.
        description: for the help.
        settings: further arguments of :class:`Parser`.
    """
    parser = Parser(description, **settings)
    headings: dict[str, argparse._ArgumentGroup] = {}

    def heading(title: str) -> argparse._ArgumentGroup:
        if title not in headings:
            headings[title] = parser.add_argument_group(title)
        return headings[title]

    for group, item in flags_of(options):
        _add(heading(group.title), item.name, item.metadata["flag"], item.default)
    for unread in options.unread:
        _add_unread(heading("official flags without effect here"), unread)
    return parser


def _add(group: argparse._ArgumentGroup, name: str, flag: Flag, default: Any) -> None:
    if default is False:
        group.add_argument(f"--{name}", action="store_true", help=flag.help)
        return
    settings: dict[str, Any] = {"type": flag.kind, "help": flag.help}
    for entry in ("choices", "metavar", "nargs"):
        if getattr(flag, entry) is not None:
            settings[entry] = getattr(flag, entry)
    if default is not MISSING:
        settings["default"] = default
    elif not flag.positional:
        settings["required"] = True
    group.add_argument(name if flag.positional else f"--{name}", **settings)


def _add_unread(group: argparse._ArgumentGroup, unread: Unread) -> None:
    settings: dict[str, Any] = {"help": unread.reason if unread.official else argparse.SUPPRESS}
    if unread.kind is None:
        group.add_argument(f"--{unread.name}", action="store_true", **settings)
    else:
        group.add_argument(
            f"--{unread.name}", type=unread.kind, default=unread.default, metavar="VALUE", **settings
        )


def parse_options(
    options: type[OptionsType],
    arguments: Sequence[str] | None = None,
    description: str = "",
    **settings: Any,
) -> OptionsType:
    """Reads and checks a command line.

    Args:
        options: the class to fill.
        arguments: the command line; None takes that of the process.
        description: for ``--help``.
        settings: further arguments of :class:`Parser`.

    Raises:
        InputError: a flag is unknown or its value cannot be used, or two contradict each other.
    """
    return filled(options, build_parser(options, description, **settings).parse_args(words(arguments)))


def parse_known_options(
    options: type[OptionsType], arguments: Sequence[str] | None = None, description: str = "", **settings: Any
) -> tuple[OptionsType, list[str]]:
    """The same for a command that hands unknown flags on; these come second."""
    parser = build_parser(options, description, **settings)
    values, unknown = parser.parse_known_args(words(arguments))
    return filled(options, values), unknown


def filled(options: type[OptionsType], parsed: argparse.Namespace, **further: Any) -> OptionsType:
    """The options with the values that a parser found; flags without effect are named in one note.

    Args:
        options: the class to fill.
        parsed: the values of its flags.
        further: values of fields that are no flags.
    """
    values = vars(parsed)
    unread = {flag.name: values.pop(flag.name) for flag in options.unread}
    given = [
        f"--{flag.name}" for flag in options.unread if unread[flag.name] not in (flag.default, None, False)
    ]
    result = options(**values, without_effect=unread, **further)
    if given:
        print(
            f"note: {', '.join(given)} {'have' if len(given) > 1 else 'has'} no effect here", file=sys.stderr
        )
    return result


def words(arguments: Sequence[str] | None) -> list[str]:
    """The words of a command line, with ``--target_age -15,+20`` as one: -15 is no flag."""
    found = list(sys.argv[1:] if arguments is None else arguments)
    for index in range(len(found) - 2, -1, -1):
        flag, value = found[index : index + 2]
        if flag.startswith("--") and "=" not in flag and re.match(r"-\d", value):
            found[index : index + 2] = [f"{flag}={value}"]
    return found
