"""The page of an evaluation, made of the reports and pictures in its folder alone."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.curves import ageing_panels, classifier_panels, methods_panels, personal_panels
from options.given import Option
from training.reports.record import RunRecord, run_in, understood
from training.reports.run_options import OPTIONS
from training.reports.run_page import PAGE_FILE, run_page
from training.reports.sections import data_blocks, notes_blocks, options_table
from utils.errors import InputError
from utils.files.text import read_text
from utils.pages.blocks import Block, Charts, Command, Facts, Film, Heading, Links, Page, Section, Text
from utils.pages.markdown import markdown_blocks
from utils.pages.page import write_page
from utils.pages.pictures import BUDGET, PageJPEGs
from utils.pictures.curves import Panel

Figures = Mapping[str, Any]
MOST_LINKS = 200


@dataclass(frozen=True)
class Shown:
    """What a page shows of a kind of report besides its table.

    Attributes:
        panels: diagrams, from the figures.
        picture: name of a file in the folder, or in those of the people.
    """

    panels: Callable[[Any], Sequence[Panel]] = lambda figures: ()
    picture: str = ""


# By the names of reports; others show their tables.
REPORTS = {
    "evaluation": Shown(ageing_panels, "examples.png"),
    "methods": Shown(methods_panels, "methods.png"),
    "personalization": Shown(personal_panels, "life_span.png"),
    "age_classifiers": Shown(classifier_panels),
    "people": Shown(picture="life_span.png"),
    "generator": Shown(picture="generator.png"),
    "flicker": Shown(picture="flicker.png"),
}


def report_of(folder: str | Path, output: str | Path | None = None) -> Path:
    """Makes the page of a training or an evaluation from its folder.

    Args:
        folder: of the run, of numbered runs, or of the evaluation.
        output: the page; None: ``report.html`` in the folder.

    Raises:
        InputError: it is no such folder, or the page cannot be written.
    """
    path = run_in(folder)
    if not (path / OPTIONS).exists():
        if reports_in(path):
            return write_evaluation_page(path, output)
        raise InputError(
            f"{path} is neither a folder of a training (there is no {OPTIONS}) nor of an evaluation; "
            f"name the --exp_dir of one"
        )
    record = RunRecord(path)
    with understood(path):
        record.update()
        page = run_page(record)
    return write_page(page, output or path / PAGE_FILE)


def write_evaluation_page(folder: str | Path, output: str | Path | None = None) -> Path:
    """Makes the page of an evaluation; arguments as of :func:`report_of`.

    Raises:
        InputError: a report is damaged, or the page cannot be written.
    """
    path = Path(folder)
    reports = reports_in(path)
    with understood(path):
        page = _page(path, reports)
    return write_page(page, output or path / PAGE_FILE)


def _page(path: Path, reports: Mapping[str, Figures]) -> Page:
    jpegs, sections = PageJPEGs(), []
    for name, figures in reports.items():
        sections += _sections(path, name, figures, jpegs, BUDGET // len(reports))
    newest = reports[max(reports, key=lambda name: (path / f"{name}.json").stat().st_mtime)]
    sections += [_made(newest), _data(newest), Section("Warnings and notes", notes_blocks(_said(newest)))]
    below = [folder for figures in reports.values() for folder in _folders(path, figures)]
    sections.append(Section("Reports below", _links(path, below)))
    return Page(f"Evaluation: {path}", sections, summary=_summary(newest))


def reports_in(folder: Path) -> dict[str, dict[str, Any]]:
    """The figures of every report in a folder, by its name: JSON with Markdown beside it.

    Raises:
        InputError: one is damaged.
    """
    found = {}
    for path in sorted(folder.glob("*.json")):
        if path.with_suffix(".md").is_file():
            try:
                content = json.loads(read_text(path, "the figures of an evaluation"))
            except ValueError as error:
                raise InputError(f"{path} is damaged ({error}); run the evaluation again") from error
            if isinstance(content, dict) and "command" in content:
                found[path.stem] = content
    return found


def _sections(folder: Path, name: str, figures: Figures, jpegs: PageJPEGs, budget: int) -> list[Section]:
    """What a report says, its diagrams and its pictures."""
    blocks = markdown_blocks(read_text(folder / f"{name}.md", "the table of an evaluation"))
    title = blocks[0].text if blocks and isinstance(blocks[0], Heading) else name
    kind = REPORTS.get(name, Shown())
    films = _films(folder, figures, kind.picture, jpegs, budget) if kind.picture else []
    panels = list(kind.panels(figures))
    charts: list[Block] = [Charts(panels)] if panels else []
    return [Section(title, [*films, *blocks[2:], *charts])]  # after title and command


def _films(folder: Path, figures: Figures, name: str, jpegs: PageJPEGs, budget: int) -> list[Film]:
    files = [path for place in _folders(folder, figures) for path in sorted(place.rglob(name))]
    files = [folder / name] if (folder / name).is_file() else files
    pictures = [(str(path.relative_to(folder).with_suffix("")), path) for path in files]
    return [jpegs.film("Pictures", pictures, budget)] if pictures else []


def _folders(folder: Path, figures: Figures) -> list[Path]:
    """The sub-folders with results of their own: of methods, of people, of ways to personalise."""
    names = [name for key in ("methods", "people", "variants") for name in figures.get(key) or ()]
    return [folder / name for name in names if (folder / name).is_dir()]


def _summary(figures: Figures) -> list[str]:
    named = (figures.get(name) for name in ("date", "checkpoint", "personalized_checkpoint", "data"))
    return [str(text) for text in named if text]


def _made(figures: Figures) -> Section:
    """Command, options, versions and machine."""
    options = [Option(**option) for option in figures.get("options", ())]
    blocks: list[Block] = [Command("Command", str(figures["command"]))]
    if options:
        blocks += [Heading("Options that differ from the defaults"), options_table(options)]
    facts = [(name, str(value)) for name, value in sorted((figures.get("environment") or {}).items())]
    if facts:
        blocks += [Heading("Versions and machine"), Facts(facts)]
    return Section("How it was made", blocks)


def _data(figures: Figures) -> Section:
    cards = figures.get("pictures_read") or []
    return Section("Data", [block for card in cards for block in data_blocks(card)])


def _said(figures: Figures) -> list[str]:
    skipped = [f"skipped: {name}" for name in figures.get("skipped") or ()] if "said" not in figures else []
    return [*figures.get("said", ()), *skipped]


def _links(folder: Path, below: Sequence[Path]) -> list[Block]:
    """The pages below, such as those of the trainings of an evaluation."""
    pages = sorted(path.relative_to(folder) for place in below for path in place.rglob(PAGE_FILE))
    if not pages:
        return []
    more: list[Block] = [Text(f"The first {MOST_LINKS} of {len(pages)}.")] if len(pages) > MOST_LINKS else []
    return [Links([(str(page.parent), page.as_posix()) for page in pages[:MOST_LINKS]]), *more]
