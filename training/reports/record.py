"""What the folder of a run tells: options, figures, validation, sheets, weights, and what happened."""

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from options.given import Option
from training.logs import RunLogs, step_of_note
from training.reports.events import EventReader, Series
from training.reports.journal import Start, starts_in
from training.reports.run_options import ENVIRONMENT, OPTIONS, command_of, known_options, options_in
from training.run_lock import NAME as LOCK
from training.run_lock import STALE
from utils.errors import InputError
from utils.pages.pictures import SIDE, PageJPEGs

SHEET = re.compile(r"(.*?)_?(\d{4,})\.(?:jpg|png)")
BEST = re.compile(r"^(\S+ \S+) best_model: step (\d+),? ?(.*)$")


@dataclass(frozen=True)
class Best:
    """The best model: when it was written, its step, and the figures of the validation."""

    time: str
    step: int
    figures: str


@dataclass
class RunRecord:
    """A run, read from its folder; :meth:`update` reads what is new.

    Attributes:
        path: the folder.
        side: pixels of its pictures on a page, at most.
        options: in the order of the command.
        environment: versions and machine of the newest start.
        starts: what happened, since there are journals.
        validation: figures by step.
        sheets: step and file of each sheet, by name.
        notes: lines of `timestamp.txt`.
        skipped: steps that were left out, with their pictures.
        problems: what could not be read.
    """

    path: Path
    side: int = SIDE
    options: dict[str, Option] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    starts: list[Start] = field(default_factory=list)
    validation: list[dict[str, Any]] = field(default_factory=list)
    sheets: dict[str, list[tuple[int, Path]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.logs = self.path / "logs"
        self.checkpoints = self.path / "checkpoints"
        self.jpegs = PageJPEGs(self.side)
        self._events = EventReader(self.logs)

    def update(self) -> None:
        """Reads the folder.

        Raises:
            InputError: it is not that of a run, or its options cannot be read.
        """
        self.jpegs.trim()
        content = options_in(self.path)
        self.environment = content.get(ENVIRONMENT) or {}
        self.options = known_options(content)
        self._events.update()
        logs, self.problems = RunLogs(self.logs, self.checkpoints), []
        self.validation, self.skipped, journal = (
            self._rows(log) for log in (logs.validation, logs.skipped, logs.journal)
        )
        self.starts = starts_in(journal)
        try:
            lines = logs.weights.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        self.notes = [line for line in lines if _is_note(line)]
        self.sheets = _sheets(self.logs / "images")
        self.problems += self._events.problems.values()

    def _rows(self, log: Any) -> list[dict[str, Any]]:
        rows, others = log.rows()
        if others:
            lines = "1 line" if others == 1 else f"{others} lines"
            self.problems.append(f"{log.path}: {lines} cannot be read and are left out")
        return rows

    # ---------------------------------------------------------------- what follows from it

    @property
    def coach(self) -> str:
        """What is trained."""
        return str(self.value("coach", "a network"))

    def value(self, name: str, otherwise: Any = None) -> Any:
        """The value of an option."""
        option = self.options.get(name)
        return otherwise if option is None else option.value

    @property
    def series(self) -> dict[str, Series]:
        """The figures in TensorBoard's files."""
        return self._events.series

    @property
    def step(self) -> int:
        """The newest step of which anything is known."""
        steps = [series.steps[-1] for series in self.series.values() if series.steps]
        steps += [int(row["step"]) for row in self.validation]
        steps += [step_of_note(line) for line in self.notes]
        steps += [int(start.ended.get("step", start.step)) for start in self.starts]
        return max(steps, default=0)

    @property
    def is_in_use(self) -> bool:
        """Whether a training shows signs of life."""
        try:
            return time.time() - (self.path / LOCK).stat().st_mtime < STALE
        except OSError:
            return False

    @property
    def weights(self) -> list[Path]:
        """The files of weights, the one to use last: the best model, else the newest."""
        found = [path for path in self.checkpoints.glob("*.pt") if not path.name.startswith("resume_state")]
        return sorted(found, key=lambda path: (path.name == "best_model.pt", path.stat().st_mtime))

    @property
    def best(self) -> Best | None:
        """The newest best model, as it was first written: it may have been made again."""
        lines = [match for line in self.notes if (match := BEST.match(line))]
        first = next((line for line in lines if line[2] == lines[-1][2]), None)
        return None if first is None else Best(first[1], int(first[2]), first[3])

    @property
    def seconds(self) -> float:
        """Time that was trained, without pauses, as far as the logs tell."""
        clocks: dict[int, list[float]] = {}
        for series in self.series.values():
            for start, moment in zip(series.starts, series.times, strict=True):
                clocks.setdefault(start, []).append(moment)
        spans = [(min(times), max(times)) for times in clocks.values()]
        if len(self.starts) == len(spans):  # they begin before the first figure is logged
            spans = [
                (min(begin, start.time or begin), max(end, float(start.ended.get("time", end))))
                for (begin, end), start in zip(spans, self.starts, strict=True)
            ]
        return sum(end - begin for begin, end in spans)

    @property
    def begun(self) -> str:
        """When it began."""
        times = [series.times[0] for series in self.series.values() if series.times]
        times += [start.time for start in self.starts if start.time]
        return clock(min(times)) if times else ""

    @property
    def command(self) -> str:
        """The command line as it was given, else one that says the same."""
        given = self.starts[-1].facts.get("command") if self.starts else None
        if isinstance(given, str):
            return given
        return command_of(self.options, self.path)


def clock(seconds: float) -> str:
    """A time since 1970 as date and time of day."""
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def _is_note(line: str) -> bool:
    try:
        step_of_note(line)
    except ValueError:
        return False
    return True


def _sheets(folder: Path) -> dict[str, list[tuple[int, Path]]]:
    """Step and file of every sheet, by the name of the sheet."""
    found: dict[str, list[tuple[int, Path]]] = {}
    for path in sorted(folder.rglob("*")):
        match = SHEET.fullmatch(path.name)
        if match and path.is_file():
            name = (path.parent.relative_to(folder) / match[1]).as_posix()
            found.setdefault(name, []).append((int(match[2]), path))
    return {name: sorted(files) for name, files in found.items()}


@contextlib.contextmanager
def understood(path: Path) -> Iterator[None]:
    """Within it a record that no training wrote ends in a sentence.

    Raises:
        InputError: there is one.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"a record in {path} is damaged ({type(error).__name__}: {error}); remove the file that holds it"
        ) from error


def run_in(folder: str | Path) -> Path:
    """The folder of a run; of a folder with numbered runs the newest of them."""
    path = Path(folder)
    numbered = sorted(path.glob("[0-9]" * 5))
    return numbered[-1] if numbered and not (path / OPTIONS).exists() else path
