"""What a page is made of, as plain data: `utils/pages/page.html` lays it out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from utils.pictures.curves import Panel


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Facts:
    """Names and values, such as versions; values that are empty are left out."""

    kind: ClassVar[str] = "facts"
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Command:
    """A command line to copy, and what it is for."""

    kind: ClassVar[str] = "command"
    what: str
    command: str


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        header: of the columns.
        rows: the cells.
        marked: numbers of rows that stand out.
    """

    kind: ClassVar[str] = "table"
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: Sequence[int] = ()


@dataclass(frozen=True)
class Notes:
    """A list of sentences; those that begin with ``warning`` or ``skipped`` may stand out."""

    kind: ClassVar[str] = "notes"
    lines: Sequence[str]
    warning: bool = False


@dataclass(frozen=True)
class Charts:
    """Diagrams beside one another."""

    kind: ClassVar[str] = "charts"
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Bars:
    """Counts as bars.

    Attributes:
        title: what is counted.
        bars: name and count of each.
    """

    kind: ClassVar[str] = "bars"
    title: str
    bars: Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Frame:
    """A picture.

    Attributes:
        label: what it shows.
        jpeg: the content of a JPEG file.
    """

    label: str
    jpeg: bytes


@dataclass(frozen=True)
class Film:
    """Pictures of which one is shown, chosen by a slider; of a single one there is no slider.

    Attributes:
        title: of all of them.
        frames: the pictures; the last one is shown first, and on paper.
        note: what was left out.
        group: films of one group move together.
    """

    kind: ClassVar[str] = "film"
    title: str
    frames: Sequence[Frame]
    note: str = ""
    group: str = ""


@dataclass(frozen=True)
class Links:
    """Pages nearby: title and address, relative to the page."""

    kind: ClassVar[str] = "links"
    links: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Folded:
    """What is shown on demand."""

    kind: ClassVar[str] = "folded"
    title: str
    blocks: Sequence["Block"]


@dataclass(frozen=True)
class Columns:
    """Titles with blocks below, side by side."""

    kind: ClassVar[str] = "columns"
    columns: Sequence[tuple[str, Sequence["Block"]]]


Block: TypeAlias = (
    Text | Heading | Facts | Command | Table | Notes | Charts | Bars | Film | Links | Folded | Columns
)


@dataclass(frozen=True)
class Section:
    """A part of a page; one without blocks is left out."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: its heading.
        state: a word that stands out beside it.
        summary: the most important, in a few sentences.
        sections: its parts.
    """

    title: str
    sections: Sequence[Section]
    state: str = ""
    summary: Sequence[str] = field(default_factory=tuple)
