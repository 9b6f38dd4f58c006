"""Notes to the user: a line of its own on stderr, above the progress bar if one runs."""

import sys
from collections.abc import Sequence
from typing import TextIO

from tqdm import tqdm

from utils.diary import enter
from utils.distributed import is_main
from utils.errors import one_line

NAMED = 10  # things that a note names before it only counts


def note(text: str, kind: str = "note") -> None:
    """Says something that does not end the work, and keeps it for a report; ``kind`` begins the line."""
    enter(kind, one_line(text))
    above_bars(one_line(f"{kind}: {text}"), sys.stderr)


def above_bars(line: str, stream: TextIO) -> None:
    """Writes a line above the progress bars; over those that another process draws."""
    tqdm.write(line if is_main() else f"\r{line}", file=stream)


def listed(things: Sequence[object]) -> str:
    """The names of some things, the first of many."""
    more = f" and {len(things) - NAMED} more" if len(things) > NAMED else ""
    return ", ".join(map(str, things[:NAMED])) + more
