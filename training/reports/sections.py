"""The parts of a report that tell what was run: command, options, versions, data, starts, files."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from configs.paths_config import REPOSITORY
from datasets.age_parsing import age_or_nan
from options.given import Option
from options.train_options import COACHES
from training.reports.journal import FAILED, FINISHED, RUNNING, STOPPED
from training.reports.record import RunRecord, clock
from utils.ages import counted_by_year
from utils.errors import InputError
from utils.pages.blocks import Bars, Block, Command, Facts, Folded, Heading, Notes, Section, Table, Text
from utils.pictures.listing import find_pictures

KILLED = "ended without a word: it was killed, or the machine went down"
LISTED = 100  # files or notes that are named
FINE = 25  # years; ages that lie further apart are counted by five years
FOLDERS = ("train_dataset", "test_dataset")


def duration(seconds: float) -> str:
    """A time for people."""
    minutes, hours = round(seconds / 60), round(seconds / 3600, 1)
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"
    return f"{minutes} min" if minutes < 120 else f"{hours:g} h"


def state_of(record: RunRecord) -> tuple[str, str]:
    """How a run stands: a word, and what there is to say about it."""
    ended = record.starts[-1].ended if record.starts else {}
    last, wanted = record.step, record.value("max_steps", 0)
    if ended:
        return str(ended.get("state", FAILED)), str(ended.get("text", ""))
    if record.is_in_use:
        return RUNNING, ""
    if isinstance(wanted, int) and last >= wanted > 0:
        return FINISHED, ""
    return STOPPED, KILLED if record.starts else ""


# ---------------------------------------------------------------- what to do next


def how_to_continue(record: RunRecord) -> Section:
    """Commands that go on with the run, and that use its weights."""
    state, _ = state_of(record)
    blocks: list[Block] = []
    if state == FINISHED:
        more = f"{record.command} --max_steps={2 * int(record.value('max_steps', record.step) or 1)}"
        blocks.append(Command("Train on, for instance twice as long:", more))
    else:
        blocks.append(Command("The same command goes on where the run stands:", record.command))
    weights, coach = record.weights, COACHES.get(record.coach)
    if weights and coach and coach.use:
        blocks.append(Command("Use the weights:", f"python scripts/{coach.use.format(weights=weights[-1])}"))
    blocks.append(Command("Watch the curves in TensorBoard:", f"tensorboard --logdir={record.logs}"))
    blocks.append(Command("Make this page again:", f"python scripts/report.py {record.path}"))
    return Section("How to continue", blocks)


# ---------------------------------------------------------------- what was run


def what_was_run(record: RunRecord) -> Section:
    """Command, options that differ from the defaults, versions, machine, starts and files."""
    options = list(record.options.values())
    chosen, rest = ([o for o in options if o.differs is differs] for differs in (True, False))
    blocks: list[Block] = [
        Command("Command", record.command),
        Heading("Options that differ from the defaults"),
        options_table(chosen),
        Folded(f"{len(rest)} options as by default", [options_table(rest)]),
        Heading("Versions and machine"),
        Facts([(name, str(value)) for name, value in sorted(record.environment.items())]),
    ]
    if record.starts:
        blocks += [Heading("Starts"), _starts(record)]
    files = [[path.name, f"{path.stat().st_size / 1e6:.1f} MB"] for path in record.weights]
    if files:
        blocks += [Heading("Weights"), Table(("file in checkpoints/", "size"), files)]
    return Section("What was run", blocks)


def options_table(options: Iterable[Option]) -> Table:
    """Values, defaults and meanings of some options."""
    rows = [[f"--{o.name}", shown(o.value), shown(o.default), o.help] for o in options]
    return Table(("option", "value", "default", "meaning"), rows)


def shown(value: Any) -> str:
    """A value of an option for people; files of the repository without its place."""
    if value is None:
        return ""
    return value.removeprefix(f"{REPOSITORY}{os.sep}") if isinstance(value, str) else json.dumps(value)


def _starts(record: RunRecord) -> Table:
    rows = []
    for number, start in enumerate(record.starts, start=1):
        state, text = start.ended.get("state", ""), start.ended.get("text", "")
        if not start.ended:
            state, text = state_of(record) if number == len(record.starts) else (STOPPED, KILLED)
        facts = [str(start.facts.get(name, "")) for name in ("processes", "device", "precision")]
        rows.append(
            [clock(start.time), str(start.step), str(start.ended.get("step", "")), *facts, state, text]
        )
    header = ("begun", "from step", "to step", "processes", "device", "precision", "ended", "")
    return Table(header, rows)


# ---------------------------------------------------------------- data


def data_section(record: RunRecord) -> Section:
    """The pictures with their counts by age; of a run that kept no record of them as they lie there now."""
    cards = record.starts[-1].facts.get("data") if record.starts else None
    blocks: list[Block] = []
    if cards is None:
        cards = list(_counted_now(record))
        blocks += [Text("The run kept no record of its pictures; they were counted when this page was made.")]
    flags = {
        Path(option.value): f"--{option.name}"
        for option in reversed(record.options.values())
        if isinstance(option.value, str) and option.value
    }
    found = [block for card in cards for block in data_blocks(card, flags.get(Path(card["folder"]), ""))]
    return Section("Data", [*blocks, *found] if found else [])


def data_blocks(card: dict[str, Any], flag: str = "") -> list[Block]:
    """What there is to show of a data set, see ``datasets.faces.FaceFolder.card``."""
    ages, skipped = card.get("ages") or {}, card.get("skipped") or 0
    years = sorted(int(age) for age in ages if age != "unknown")
    facts = [
        ("option", flag),
        ("pictures", str(card.get("pictures", ""))),
        ("ages", f"{years[0]} to {years[-1]}" if years else "none in the names"),
        ("without an age", str(ages.get("unknown", "")) if years else ""),
        ("skipped", str(skipped or "")),
    ]
    blocks: list[Block] = [Heading(str(card["folder"])), Facts(facts)]
    if years:
        width = 1 if years[-1] - years[0] <= FINE else 5
        first = years[0] // width
        counts = [0] * (years[-1] // width - first + 1)
        for age in years:
            counts[age // width - first] += ages[str(age)]
        title = "pictures by age" + (", five years in each bar from" if width > 1 else "")
        blocks.append(Bars(title, [(str((first + i) * width), count) for i, count in enumerate(counts)]))
    if card.get("classes"):
        blocks.append(Bars("pictures by class", list(card["classes"].items())))
    if skipped:
        reasons = list(card.get("reasons") or ())
        blocks.append(Folded(f"skipped: {skipped}", [Notes(reasons)]))
    return blocks


def _counted_now(record: RunRecord) -> Iterable[dict[str, Any]]:
    for name in FOLDERS:
        folder = record.value(name)
        if isinstance(folder, str) and folder:
            try:
                pictures = find_pictures(folder).pictures
            except InputError:
                continue
            ages = counted_by_year(map(age_or_nan, pictures))
            yield {"folder": folder, "pictures": len(pictures), "ages": ages}


# ---------------------------------------------------------------- warnings


def warnings_section(record: RunRecord) -> Section:
    """What was said, what was skipped and what cannot be read."""
    notes = [line for start in record.starts for line in start.notes]
    for row in record.skipped:
        files = ", ".join(row.get("files", ()))
        notes.append(f"step {row['step']} was skipped, its loss or gradient was not finite: {files}")
    return Section("Warnings, skipped files and notes", notes_blocks(notes, record.problems))


def notes_blocks(lines: Sequence[str], problems: Sequence[str] = ()) -> list[Block]:
    """What was said: warnings and what was skipped first, so that they stand out.

    Args:
        lines: each begins with its kind.
        problems: further warnings.
    """
    quiet = [line for line in lines if line.startswith(("note:", "memory:"))]
    loud = [*problems, *(line for line in lines if line not in quiet)]
    blocks: list[Block] = []
    for some, warning in ((loud, True), (quiet, False)):
        if some:
            left = [f"... and {len(some) - LISTED} more"] if len(some) > LISTED else []
            blocks.append(Notes([*some[:LISTED], *left], warning))
    return blocks
