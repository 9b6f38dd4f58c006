"""One report of an evaluation as text, Markdown and JSON."""

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from utils.files.writing import write_json, write_text


def command_and_date(script: str, arguments: Sequence[str] | None) -> dict[str, str]:
    """How a report was made, and when.

    Args:
        script: name of the command, without folder and suffix.
        arguments: its command line; None takes that of the process.
    """
    words = sys.argv[1:] if arguments is None else arguments
    return {
        "command": shlex.join(["python", f"scripts/{script}.py", *words]),
        "date": time.strftime("%Y-%m-%d"),
    }


def write_report(
    folder: str | Path, name: str, title: str, figures: Mapping[str, Any], table: str, notes: Sequence[str]
) -> None:
    """Prints the table and the notes; writes both to ``NAME.md`` and the figures to ``NAME.json``.

    Args:
        folder: for both files.
        name: of both, without suffix.
        title: heading of the text.
        figures: plain numbers and words, those of :func:`command_and_date` among them.
        table: Markdown.
        notes: sentences that stand below the table.

    Raises:
        InputError: nothing can be written there.
    """
    listed = "\n".join(f"- {note}" for note in notes)
    print(f"\n{table}\n\n{listed}\n")
    text = f"# {title}\n\n{figures['date']}, `{figures['command']}`\n\n{table}\n\n{listed}\n"
    write_text(text, Path(folder) / f"{name}.md")
    write_json({**figures, "notes": list(notes)}, Path(folder) / f"{name}.json")
