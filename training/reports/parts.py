"""What a coach adds to the report of its run, kept in the run folder so that the report can be made again."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from utils.errors import InputError
from utils.files.text import read_text
from utils.files.writing import write_json
from utils.pages.blocks import Block, Charts, Section, Table, Text
from utils.pages.pictures import PageJPEGs
from utils.pictures.curves import Curve, Panel
from utils.pictures.writing import save_pil

FOLDER = "report"  # below `logs`


@dataclass(frozen=True)
class Part:
    """A section of a report.

    Attributes:
        title: its heading.
        text: what it shows and how it was made, a paragraph each.
        header, rows: of a table.
        panels: diagrams.
        pictures: by their titles.
    """

    title: str
    text: Sequence[str] = ()
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    panels: Sequence[Panel] = ()
    pictures: Mapping[str, Image.Image] = field(default_factory=dict)


def save_parts(parts: Sequence[Part], logs: Path) -> None:
    """Writes the parts below the folder ``logs`` of a run, in the place of earlier ones.

    Raises:
        InputError: they cannot be written.
    """
    folder = logs / FOLDER
    for old in folder.glob("*.*"):
        old.unlink()
    for number, part in enumerate(parts):
        names = {title: f"{number}_{index}.jpg" for index, title in enumerate(part.pictures)}
        for title, name in names.items():
            save_pil(part.pictures[title], folder / name)
        panels = [asdict(panel) for panel in part.panels]
        content = {"title": part.title, "text": part.text, "header": part.header, "rows": part.rows}
        write_json({**content, "panels": panels, "pictures": names}, folder / f"{number}.json")


def saved_parts(logs: Path, jpegs: PageJPEGs, budget: int) -> tuple[list[Section], list[str]]:
    """The sections of the parts of a run, and a sentence for each that cannot be read."""
    sections, problems = [], []
    for path in sorted((logs / FOLDER).glob("*.json")):
        try:
            sections.append(_section(json.loads(read_text(path)), path.parent, jpegs, budget))
        except (InputError, ValueError, KeyError, TypeError, AttributeError) as error:
            problems.append(f"{path} is damaged and left out ({type(error).__name__})")
    return sections, problems


def _section(content: dict[str, Any], folder: Path, jpegs: PageJPEGs, budget: int) -> Section:
    blocks: list[Block] = [Text(text) for text in content["text"]]
    blocks += [
        jpegs.film(title, [(title, folder / Path(name).name)], budget)
        for title, name in content["pictures"].items()
    ]
    if content["rows"]:
        blocks.append(Table(content["header"], content["rows"]))
    if content["panels"]:
        blocks.append(Charts([_panel(panel) for panel in content["panels"]]))
    return Section(content["title"], blocks)


def _panel(panel: dict[str, Any]) -> Panel:
    return Panel(**{**panel, "curves": [_curve(curve) for curve in panel["curves"]]})


def _curve(curve: dict[str, Any]) -> Curve:
    """A curve whose values were kept as JSON, which has null for what is no number."""

    def numbers(name: str) -> list[float]:
        return [math.nan if number is None else float(number) for number in curve[name]]

    low, high = (numbers(name) if curve[name] else None for name in ("low", "high"))
    return Curve(str(curve["label"]), numbers("x"), numbers("y"), low, high, str(curve["style"]))
