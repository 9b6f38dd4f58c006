"""What happened to a run: its starts, what was said, and how each of them ended, in `logs/journal.jsonl`."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from training.logs import LineLog
from utils.diary import data_since, notes_since
from utils.distributed import world_size
from utils.provenance import environment

START, NOTE, END, COST = "start", "note", "end", "reports"
RUNNING, FINISHED, STOPPED, FAILED = "running", "finished", "stopped", "failed"


class Journal:
    """Writes down one start of a run.

    Args:
        log: the file.
        begun: when the start began to be made, in seconds since 1970; what was noted since is its own.
    """

    def __init__(self, log: LineLog, begun: float) -> None:
        self._log, self._begun = log, begun
        self._said: set[tuple[str, str]] = set()

    def start(self, step: int, **facts: Any) -> None:
        """Begins: where the run stands, and what is known of this start."""
        self._write(
            START,
            step,
            processes=world_size(),
            environment=environment(),
            data=data_since(self._begun),
            **facts,
        )

    def notes(self, step: int) -> None:
        """Adds what was said since the last call."""
        for entry in notes_since(self._begun):
            if (entry.kind, entry.content) not in self._said:
                self._said.add((entry.kind, entry.content))
                self._write(NOTE, step, kind=entry.kind, text=entry.content)

    def end(self, step: int, state: str, text: str = "") -> None:
        """Ends: as one of :data:`FINISHED`, :data:`STOPPED` and :data:`FAILED`, and why."""
        self.notes(step)
        self._write(END, step, state=state, text=text)

    def cost(self, step: int, seconds: float) -> None:
        """Adds how long the start took for its reports."""
        self._write(COST, step, seconds=round(seconds, 3))

    def _write(self, event: str, step: int, **content: Any) -> None:
        self._log.append(json.dumps({"event": event, "step": step, "time": time.time(), **content}))


@dataclass
class Start:
    """A start of a run, as the journal tells it.

    Attributes:
        step: where it began.
        time: when, in seconds since 1970.
        facts: what :meth:`Journal.start` wrote.
        notes: what was said, with the step.
        ended: step, time, state and text of its end; empty while it runs, or where it was killed.
    """

    step: int
    time: float
    facts: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    ended: dict[str, Any] = field(default_factory=dict)


def starts_in(rows: list[dict[str, Any]]) -> list[Start]:
    """The starts that a journal tells of, in their order."""
    return list(_starts(rows))


def _starts(rows: list[dict[str, Any]]) -> Iterator[Start]:
    current: Start | None = None
    for row in rows:
        event = row.get("event")
        if event == START:
            if current is not None:
                yield current
            current = Start(int(row["step"]), _number(row.get("time")), row)
        elif event == NOTE and current is not None:
            current.notes.append(f"{row.get('kind', 'note')}: {row.get('text', '')} (step {row['step']})")
        elif event == END and current is not None:
            current.ended = row
    if current is not None:
        yield current


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
