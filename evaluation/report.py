"""One report of an evaluation as text, Markdown, JSON and a page."""

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation.page import write_evaluation_page
from options.given import given_options
from training.reports.run_page import PAGE_FILE
from utils.diary import begin_anew, data_since, notes_since
from utils.files.writing import write_json, write_text
from utils.notes import note
from utils.provenance import environment
from utils.typed_options import Options


def how_made(script: str, options: Options, arguments: Sequence[str] | None) -> dict[str, Any]:
    """How a report was made, and when: what its figures begin with. The command begins here.

    Args:
        script: name of the command, without folder and suffix.
        options: that were read.
        arguments: its command line; None takes that of the process.
    """
    begin_anew()
    words = sys.argv[1:] if arguments is None else arguments
    return {
        "command": shlex.join(["python", f"scripts/{script}.py", *words]),
        "date": time.strftime("%Y-%m-%d"),
        "options": [asdict(option) for option in given_options(options)],
    }


def write_report(
    folder: str | Path, name: str, title: str, figures: Mapping[str, Any], table: str, notes: Sequence[str]
) -> None:
    """Prints the table and the notes; writes both to ``NAME.md``, the figures to ``NAME.json``, and the page.

    The page, ``report.html``, shows all reports in the folder; trouble with it is a note.

    Args:
        folder: for all files.
        name: of the first two, without suffix.
        title: heading of the text.
        figures: plain numbers and words, those of :func:`how_made` among them.
        table: Markdown.
        notes: sentences that stand below the table.

    Raises:
        InputError: nothing can be written there.
    """
    listed = "\n".join(f"- {note}" for note in notes)
    print(f"\n{table}\n\n{listed}\n")
    text = f"# {title}\n\n{figures['date']}, `{figures['command']}`\n\n{table}\n\n{listed}\n"
    write_text(text, Path(folder) / f"{name}.md")
    said = [f"{entry.kind}: {entry.content}" for entry in notes_since()]
    more = {"notes": list(notes), "said": said, "pictures_read": data_since(), "environment": environment()}
    write_json({**figures, **more}, Path(folder) / f"{name}.json")
    try:
        write_evaluation_page(folder)
    except Exception as error:
        note(f"{Path(folder) / PAGE_FILE} was not written: {error}")
