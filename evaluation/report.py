"""What the evaluation scripts share: judges with their provenance, one report as text, Markdown and JSON."""

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from evaluation.judges import Judges, independence, load_judges, loss_network_cards
from utils.device import select_device
from utils.files.checkpoints import load_checkpoint
from utils.files.writing import write_json, write_text


def judges_and_notes(opts: argparse.Namespace) -> tuple[Judges, list[str]]:
    """Loads both judges and says how independent they are of the losses behind ``checkpoint_path``.

    Raises:
        InputError: device or a file cannot be used.
    """
    judges = load_judges(opts.judge_age, opts.judge_identity, select_device(opts.device))
    trained_with = loss_network_cards(load_checkpoint(opts.checkpoint_path).get("opts") or {})
    notes = [f"age judge: {judges.age_card.sentence()}", f"identity judge: {judges.identity_card.sentence()}"]
    notes += independence(judges.age_card, trained_with["age"])
    notes += independence(judges.identity_card, trained_with["identity"])
    return judges, notes


def header(script: str, arguments: list[str] | None) -> dict[str, str]:
    """Command and date of a report."""
    words = sys.argv[1:] if arguments is None else arguments
    return {
        "command": shlex.join(["python", f"scripts/{script}.py", *words]),
        "date": time.strftime("%Y-%m-%d"),
    }


def write_report(
    folder: Path, name: str, title: str, figures: dict[str, Any], table: str, notes: list[str]
) -> None:
    """Prints the table and the notes; writes both to ``NAME.md`` and the figures to ``NAME.json``."""
    listed = "\n".join(f"- {note}" for note in notes)
    print(f"\n{table}\n\n{listed}\n")
    text = f"# {title}\n\n{figures['date']}, `{figures['command']}`\n\n{table}\n\n{listed}\n"
    write_text(text, folder / f"{name}.md")
    write_json({**figures, "notes": notes}, folder / f"{name}.json")
