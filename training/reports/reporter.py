"""Writes the report of a training while it runs and when it ends; that never makes the training fail."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol

import torch

from training.reports.journal import FAILED, FINISHED, STOPPED, Journal
from training.reports.parts import Part, save_parts
from training.reports.record import RunRecord
from training.reports.run_page import PAGE_FILE, run_page
from training.run_folder import RunFolder
from utils.distributed import is_main
from utils.errors import InputError, StoppedError
from utils.notes import note
from utils.pages.page import write_page

SHARE = 0.01  # of the time, at the most, for reports while the training runs
FIRST = 0.5  # seconds that the first one may take: nobody knows before


class Reported(Protocol):
    """What is needed of a coach, see ``training.coach.Coach``."""

    opts: Any
    run: RunFolder
    device: torch.device
    precision: torch.dtype

    @property
    def step(self) -> int: ...

    def report_parts(self) -> Sequence[Part]: ...


class Reporter:
    """Within it, a context, a training is written down: its start, its saves, and how it ended.

    Only the first process writes. Trouble with a report is one note.

    Args:
        coach: the training; this is made before its networks and data are.
    """

    def __init__(self, coach: Reported) -> None:
        self._coach = coach
        self._begun = time.time()
        self._cost, self._written = FIRST, time.monotonic()
        self._spent = 0.0  # seconds, for all that is written here
        self._is_told = False

    def __enter__(self) -> "Reporter":
        if is_main():
            self._try(self._begin)
        return self

    def _begin(self) -> None:
        coach, opts = self._coach, self._coach.opts
        self._record = RunRecord(coach.run.path)
        self._journal = Journal(coach.run.logs.journal, self._begun)
        facts = {"device": str(coach.device), "precision": str(coach.precision).removeprefix("torch.")}
        self._journal.start(coach.step, command=opts.command_line, **facts)
        self._journal.notes(coach.step)

    def saved(self) -> None:
        """Writes the report after a save, where it costs no more than a small share of the time."""
        if is_main() and self._cost <= SHARE * (time.monotonic() - self._written):
            self._cost = self._try(self._write)
            self._written = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not is_main():
            return
        done = error is None and self._coach.step >= self._coach.opts.max_steps
        if done:
            self._try(self._add_parts)
        state = FINISHED if done else STOPPED if _is_stop(error) else FAILED
        self._try(lambda: self._journal.end(self._coach.step, state, "" if error is None else _words(error)))
        self._try(self._write)
        self._try(lambda: self._journal.cost(self._coach.step, self._spent))

    def _add_parts(self) -> None:
        save_parts(self._coach.report_parts(), self._coach.run.path / "logs")

    def _write(self) -> None:
        self._coach.run.logs.events.flush()
        self._journal.notes(self._coach.step)
        self._record.update()
        write_page(run_page(self._record), self._coach.run.path / PAGE_FILE)

    def _try(self, work: Callable[[], None]) -> float:
        """Does something for the report; what goes wrong is said once. Returns the seconds that it took."""
        begin = time.monotonic()
        try:
            work()
        except Exception as error:
            if not self._is_told:
                note(f"{self._coach.run.path / PAGE_FILE} is not up to date: {_words(error)}")
            self._is_told = True
        took = time.monotonic() - begin
        self._spent += took
        return took


def _is_stop(error: BaseException | None) -> bool:
    return error is None or isinstance(error, (StoppedError, KeyboardInterrupt))


def _words(error: BaseException) -> str:
    """What an error says, with its kind where it is not meant for users."""
    expected = isinstance(error, (InputError, StoppedError))
    return str(error) if expected else f"{type(error).__name__}: {error}"
