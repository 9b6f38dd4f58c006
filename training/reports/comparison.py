"""Several runs side by side, as a page or as a picture of curves."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from options.report_options import CompareOptions
from training.reports.parts import saved_parts
from training.reports.record import RunRecord, run_in, understood
from training.reports.run_page import MOST_FILMS, MOST_PANELS, WHERE, curve_of, films, grouped, summary
from training.reports.sections import duration, shown, state_of
from utils.errors import InputError
from utils.files.outputs import distinct
from utils.pages.blocks import Block, Charts, Columns, Notes, Page, Section, Table, Text
from utils.pages.charts import log_helps, short_number
from utils.pages.page import write_page
from utils.pages.pictures import BUDGET, SIDE
from utils.pictures.curves import Curve, Panel, draw_panels
from utils.pictures.writing import save_pil

Runs = Mapping[str, RunRecord]


def compare(options: CompareOptions) -> Path:
    """Writes what the options ask for; returns the file.

    Raises:
        InputError: a folder is no run, or has no such figure; or the file cannot be written.
    """
    runs = read_runs(options.runs)
    found = all_panels(runs)
    if options.figures:
        found = [_wanted(runs, found, name, options.height) for name in options.figures]
    if options.is_picture:
        save_pil(draw_panels(found), options.output)
    else:
        with understood(Path(", ".join(options.runs))):
            page = comparison_page(runs, found)
        write_page(page, options.output)
    return Path(options.output)


def read_runs(folders: Sequence[str]) -> dict[str, RunRecord]:
    """The runs by short names that tell them apart.

    Raises:
        InputError: a folder is no run.
    """
    paths = [run_in(folder) for folder in folders]
    records = [RunRecord(path, SIDE // 2) for path in paths]
    for record in records:
        with understood(record.path):
            record.update()
    short = [Path(path.resolve().name) for path in paths]
    if len(set(short)) < len(short):
        short = [Path(f"{path.resolve().parent.name}/{path.resolve().name}") for path in paths]
    names = distinct(short, lambda _, name: [name])
    return dict(zip(map(str, names), records, strict=True))


# ---------------------------------------------------------------- curves


def all_panels(runs: Runs) -> list[Panel]:
    """A diagram of each figure of training or validation, with a curve for each run that has it."""
    curves: dict[str, list[Curve]] = {}
    for run, record in runs.items():
        for name, places in grouped(record.series).items():
            for place, series in places.items():
                tag = name if place == "train" else f"{WHERE.get(place, place)}: {name}"
                curves.setdefault(tag, []).append(curve_of(run, series))
    order = sorted(curves, key=lambda tag: (tag.rpartition(": ")[2] != "loss", -len(curves[tag])))
    return [Panel(tag, "step", "value", curves[tag], log_helps(curves[tag])) for tag in order]


def _wanted(runs: Runs, panels: Sequence[Panel], name: str, height: float | None) -> Panel:
    """The diagram of a figure that every run has, with a line at a height.

    Raises:
        InputError: a run has no such figure.
    """
    tag = name.removeprefix("train/")
    tag = f"{WHERE['test']}: {tag[5:]}" if tag.startswith("test/") else tag
    found = next((panel for panel in panels if panel.title == tag), None)
    known = {curve.label for curve in found.curves} if found else set()
    for run, record in runs.items():
        if run not in known:
            raise InputError(f"{record.path} has no figure {name}; it has {', '.join(sorted(record.series))}")
    assert found is not None
    curves = list(found.curves)
    if height is not None:
        ends = [min(min(curve.x) for curve in curves), max(max(curve.x) for curve in curves)]
        curves.append(Curve(f"{height:g}", ends, [height, height], style="k--"))
    return Panel(name, "step", name, curves, height is None and found.log)


# ---------------------------------------------------------------- the page


def comparison_page(runs: Runs, panels: Sequence[Panel]) -> Page:
    """The page."""
    parts = _parts(runs)
    problems = [problem for record in runs.values() for problem in record.problems]
    sheets = any(record.sheets for record in runs.values())
    return Page(
        title=f"{len(runs)} runs: {', '.join(runs)}",
        summary=[f"{name}: {' '.join(summary(record))}" for name, record in runs.items()],
        sections=[
            Section("At a glance", [glance(runs)]),
            Section("Options that differ", [different_options(runs)]),
            Section("Curves", [Charts(panels[:MOST_PANELS])] if panels else []),
            *parts,
            Section("Sheets", [_sheets(runs)] if sheets else []),
            Section("Warnings", [Notes(problems, warning=True)] if problems else []),
        ],
    )


def glance(runs: Runs) -> Table:
    """State, steps, time and best model of each run, and the versions in which they differ."""
    header = ["", *runs]
    rows = {
        "folder": [str(record.path) for record in runs.values()],
        "trains": [record.coach for record in runs.values()],
        "state": [state_of(record)[0] for record in runs.values()],
        "steps": [f"{record.step} of {record.value('max_steps', '?')}" for record in runs.values()],
        "begun": [record.begun for record in runs.values()],
        "time of training": [duration(record.seconds) for record in runs.values()],
        "a step": [duration(r.seconds / r.step) if r.step else "" for r in runs.values()],
        "best model": [f"step {r.best.step}: {r.best.figures}" if r.best else "" for r in runs.values()],
    }
    for name in dict.fromkeys(name for record in runs.values() for row in record.validation for name in row):
        if name != "step":
            rows[f"least {name} in validation"] = [_least(record, name) for record in runs.values()]
    for name in dict.fromkeys(name for record in runs.values() for name in record.environment):
        values = [str(record.environment.get(name, "")) for record in runs.values()]
        if len(set(values)) > 1:
            rows[name] = values
    return Table(header, [[name, *cells] for name, cells in rows.items() if any(cells)])


def different_options(runs: Runs) -> Block:
    """The options in which the runs differ."""
    rows = []
    for name in dict.fromkeys(name for record in runs.values() for name in record.options):
        cells = [shown(record.value(name)) for record in runs.values()]
        if len(set(cells)) > 1 and name != "exp_dir":
            rows.append([f"--{name}", *cells])
    return Table(["option", *runs], rows) if rows else Text("None.")


def _parts(runs: Runs) -> list[Section]:
    """What the coaches added to the reports of their runs, side by side."""
    columns: dict[str, list[tuple[str, Sequence[Block]]]] = {}
    for name, record in runs.items():
        sections, problems = saved_parts(record.logs, record.jpegs, BUDGET // 3 // len(runs))
        record.problems += problems
        for section in sections:
            columns.setdefault(section.title, []).append((name, section.blocks))
    return [Section(title, [Columns(found)]) for title, found in columns.items()]


def _sheets(runs: Runs) -> Block:
    budget = BUDGET * 2 // 3 // len(runs)
    most = max(1, MOST_FILMS // len(runs))
    return Columns([(name, list(films(record, budget, most, "sheets "))) for name, record in runs.items()])


def _least(record: RunRecord, name: str) -> str:
    values = [row[name] for row in record.validation if isinstance(row.get(name), (int, float))]
    return short_number(min(filter(math.isfinite, values), default=math.nan)) if values else ""
