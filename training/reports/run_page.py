"""The report of a run: a page made of its folder alone, so that it can be made at any time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from options.train_options import COACHES
from training.reports.events import Series
from training.reports.parts import saved_parts
from training.reports.record import RunRecord
from training.reports.sections import (
    data_section,
    duration,
    how_to_continue,
    state_of,
    warnings_section,
    what_was_run,
)
from utils.pages.blocks import Block, Charts, Folded, Page, Section, Table, Text
from utils.pages.charts import log_helps, short_number
from utils.pages.pictures import BUDGET
from utils.pictures.curves import Curve, Panel
from utils.spacing import evenly

PAGE_FILE = "report.html"
MOST_PANELS = 100
MOST_FILMS = 12
MOST_ROWS = 12  # of the validation that are shown at once
FEW = 30  # points that are shown as dots
WHERE = {"train": "training", "test": "validation"}


def run_page(record: RunRecord) -> Page:
    """The report of a run.

    Args:
        record: of it, after ``update``.
    """
    parts, problems = saved_parts(record.logs, record.jpegs, BUDGET // 3)
    record.problems += problems
    warnings = warnings_section(record)
    return Page(
        title=f"{record.coach}: {record.path}",
        state=state_of(record)[0],
        summary=summary(record),
        sections=[
            *parts,
            Section("Curves", [Charts(panels(record))] if record.series else []),
            Section("Sheets", list(films(record, BUDGET * 2 // 3 if parts else BUDGET))),
            validation_section(record),
            how_to_continue(record),
            what_was_run(record),
            data_section(record),
            warnings,
        ],
    )


def summary(record: RunRecord) -> list[str]:
    """The most important of a run, in a few sentences."""
    entry, (_, text) = COACHES.get(record.coach), state_of(record)
    lines = [f"{entry.summary[0].upper()}{entry.summary[1:]}."] if entry else []
    steps = f"Step {record.step} of {record.value('max_steps', '?')}"
    if record.seconds and record.step:
        steps += f"; {duration(record.seconds)} of training, {duration(record.seconds / record.step)} a step"
    lines.append(steps + (f"; begun {record.begun}." if record.begun else "."))
    if text:
        lines.append(text)
    best = record.best
    if best is not None:
        lines.append(f"Best model: step {best.step}, {best.figures}.")
    if record.problems:
        lines.append("Some files of this run could not be read; see the warnings.")
    return lines


# ---------------------------------------------------------------- curves


def panels(record: RunRecord) -> list[Panel]:
    """A diagram of each figure, in training and in validation, and one of the speed."""
    found = []
    for name, places in grouped(record.series).items():
        curves = [curve_of(WHERE.get(place, place), series) for place, series in places.items()]
        found.append(Panel(name, "step", "value", curves, log_helps(curves)))
    speed = [curve for curve in [speed_of(record.series)] if curve]
    found = found[:MOST_PANELS]
    return [*found, Panel("seconds a step", "step", "seconds", speed, log_helps(speed))] if speed else found


def grouped(series: dict[str, Series]) -> dict[str, dict[str, Series]]:
    """Figures by their names without ``train/`` and ``test/``: the loss first, then those validated."""
    found: dict[str, dict[str, Series]] = {}
    for tag, values in series.items():
        place, slash, name = tag.partition("/")
        if not slash or place not in WHERE:
            place, name = "train", tag
        found.setdefault(name, {})[place] = values
    order = sorted(found, key=lambda name: (name != "loss", "test" not in found[name]))
    return {name: dict(sorted(found[name].items(), reverse=True)) for name in order}


def curve_of(label: str, series: Series) -> Curve:
    """A figure as a curve."""
    style = "-o" if len(series.steps) <= FEW else "-"
    return Curve(label, [float(step) for step in series.steps], list(series.values), style=style)


def speed_of(series: dict[str, Series]) -> Curve | None:
    """Seconds a step between two times at which a figure was logged, by the figure with most of them."""
    longest = max(series.values(), key=lambda one: len(one.steps), default=None)
    if longest is None:
        return None
    steps, values = [], []
    points = list(zip(longest.steps, longest.times, longest.starts, strict=True))
    for (step, time, start), (later, then, same) in zip(points, points[1:], strict=False):
        if start == same and later > step:
            steps.append(float(later))
            values.append((then - time) / (later - step))
    return Curve("seconds", steps, values, style="-") if len(steps) > 1 else None


# ---------------------------------------------------------------- sheets


def films(record: RunRecord, budget: int, most: int = MOST_FILMS, group: str = "") -> Iterator[Block]:
    """A film of every sheet over time.

    Args:
        record: of the run.
        budget: bytes that they may take together.
        most: so many films.
        group: see ``utils.pages.blocks.Film``.
    """
    sheets = list(record.sheets.items())
    for name, files in sheets[:most]:
        pictures: list[tuple[str, Path]] = [(f"step {step}", path) for step, path in files]
        part = budget // min(most, len(sheets))
        yield record.jpegs.film(name, pictures, part, group and f"{group}{name}")
    if len(sheets) > most:
        yield Text(f"The first {most} of {len(sheets)} kinds of sheets; all are in {record.logs / 'images'}.")


# ---------------------------------------------------------------- validation


def validation_section(record: RunRecord) -> Section:
    """The figures of the validation by step; the best model stands out."""
    rows, best = record.validation, record.best
    if not rows and best is None:
        return Section("Validation and best model", [])
    blocks: list[Block] = []
    if best is not None:
        where = record.checkpoints / "best_model.pt"
        blocks.append(Text(f"Best model: step {best.step} ({best.figures}), written {best.time} to {where}."))
    some = set(evenly(len(rows), MOST_ROWS)) | {len(rows) - 1}
    kept = [row for i, row in enumerate(rows) if i in some or (best and row["step"] == best.step)]
    if rows:
        blocks.append(_figures(kept, best.step if best else None))
    if len(kept) < len(rows):
        blocks.append(Folded(f"all {len(rows)} validations", [_figures(rows, best.step if best else None)]))
    return Section("Validation and best model", blocks)


def _figures(rows: list[dict[str, Any]], best: int | None) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    return Table(names, cells, [i for i, row in enumerate(rows) if row["step"] == best])


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return short_number(value)
    return "" if value is None else str(value)
