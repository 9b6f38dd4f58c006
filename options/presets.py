"""``@file`` on a command line: presets, one or more flags a line, ``#`` starts a comment."""

import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from utils.errors import InputError

LARGEST = 1_000_000  # bytes


def with_presets(words: Sequence[str], inside: tuple[Path, ...] = ()) -> list[str]:
    """The words of a command line with those of its presets in their places.

    A preset may name others, by a path from the working directory or from its own folder. Words in quotes
    stay together.

    Args:
        words: a word such as ``@configs/demo/sam.args`` stands for the words in that file.
        inside: the files that are being read.

    Raises:
        InputError: a file is missing, no text in UTF-8, or includes itself.
    """
    found: list[str] = []
    for word in words:
        if not word.startswith("@"):
            found.append(word)
            continue
        preset = _preset(word, inside)
        found += with_presets(list(_words_of(preset)), (*inside, preset))
    return found


def _preset(word: str, inside: tuple[Path, ...]) -> Path:
    named = Path(os.path.expanduser(word[1:]))
    choices = [named, *(outer.parent / named for outer in inside[-1:])]
    path = next((choice for choice in choices if choice.is_file()), None)
    if path is None:
        raise InputError(f"{word}: no such preset; name a text file of flags")
    path = path.resolve()
    if path in inside:
        raise InputError(f"{word}: the preset {path} includes itself; remove that line")
    return path


def _words_of(path: Path) -> Iterator[str]:
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"{path} is too large for a preset; name a text file of flags")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"the preset {path} is no text in UTF-8; save it as such") from None
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            yield from shlex.split(line, comments=True)
        except ValueError as error:
            reason = str(error).lower()
            raise InputError(f"the preset {path}, line {number}: {reason}; close the quotes") from None
