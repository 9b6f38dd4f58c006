"""Runs pieces of work in turn: every round gives each variant its turn, so that a slow minute meets all."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from tqdm import tqdm

from evaluation.benchmark import memory
from evaluation.benchmark.machine import named
from evaluation.benchmark.networks import Setting
from evaluation.benchmark.operations import Operations, count_operations
from evaluation.benchmark.timing import median, seconds
from evaluation.benchmark.training_steps import Built
from evaluation.benchmark.works import WORKS, Work
from utils.compilation import eagerly
from utils.memory import free
from utils.notes import note
from utils.recordings import WANTED_FROM

REFERENCE = "reference"
_WARM_UP = 2  # steps: the first makes the state of an optimiser, the second is like all others
_TURNS = 3  # in a round: as many as there are variants
_SPARE = 1.2  # a variant stays in memory while so many times the largest peak is left

Variants = Mapping[str, Callable[[], Built]]


@dataclass(frozen=True)
class Case:
    """One piece of work at one size.

    Attributes:
        work: a key of ``WORKS``.
        setting: what it is measured with.
    """

    work: str
    setting: Setting

    @property
    def name(self) -> str:
        """For messages."""
        return f"{WORKS[self.work].title}, {self.setting.sizes.pixels} px, batch {self.setting.batch}"


@dataclass(frozen=True)
class Effort:
    """How long a case is measured.

    Attributes:
        rounds: turns of each variant.
        steps: steps in a turn, at most.
        seconds: no further round begins after these; 0 for no limit.
    """

    rounds: int
    steps: int
    seconds: float = 0.0

    def steps_in_turn(self, seconds: float) -> int:
        """Steps in a turn of what takes so long: fewer where all rounds would not end in time."""
        fair = self.seconds / self.rounds / _TURNS / max(seconds, 1e-6)
        return min(self.steps, max(1, int(fair))) if self.seconds else self.steps


@dataclass
class Row:
    """Figures of one variant of one step.

    Attributes:
        case: what it is.
        variant: ``reference``, or a precision.
        images: pictures for each one of a batch.
        step: which step, where there are several.
        seconds: a step, in each round.
        first_seconds: of the last step before these.
        peak: bytes, None where they are unknown.
        operations: a step.
        parts: share of each part.
        ratio: how many times as fast it is as the first variant, in the same round.
    """

    case: Case
    variant: str
    images: int = 1
    step: str = ""
    seconds: list[float] = field(default_factory=list)
    first_seconds: float = 0.0
    peak: int | None = None
    operations: Operations = field(default_factory=lambda: Operations(0, 0))
    parts: dict[str, float] = field(default_factory=dict)
    ratio: float = 1.0

    @property
    def title(self) -> str:
        """For tables."""
        work = WORKS[self.case.work].title
        return f"{work}, {self.step}" if self.step else work

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        setting, middle = self.case.setting, median(self.seconds)
        return {
            "work": self.case.work,
            "step": self.step,
            "pixels": setting.sizes.pixels,
            "batch": setting.batch,
            "variant": self.variant,
            "seconds": middle,
            "quickest": min(self.seconds),
            "slowest": max(self.seconds),
            "images_per_second": setting.batch * self.images / middle,
            "peak_memory_bytes": self.peak,
            "operations": self.operations.dispatched,
            "operations_with_kernel": self.operations.with_kernel,
            "parts": self.parts,
            "ratio": self.ratio,
        }


def variants_of(
    case: Case, precisions: Sequence[torch.dtype], reference: bool, compiles: Sequence[str] = ("auto",)
) -> Variants:
    """What makes each variant of a case, by name; with the reference first, where it has one."""
    work, setting = WORKS[case.work], case.setting
    found: dict[str, Callable[[], Built]] = {}
    published = work.published
    if reference and published is not None:
        found[REFERENCE] = partial(published, setting)
    for precision in precisions if work.computes else [torch.float32]:
        for way in compiles if work.compiles else compiles[:1]:
            name = named(precision) if len(compiles) == 1 else f"{named(precision)}, {way}"
            found[name] = partial(work.build, replace(setting, compile=way), precision)
    return found


def run_cases(
    cases: Sequence[Case],
    precisions: Sequence[torch.dtype],
    reference: bool,
    effort: Effort,
    compiles: Sequence[str] = ("auto",),
) -> Iterator[list[Row]]:
    """Yields the rows of each case; one that does not fit in memory is named and left out."""
    with tqdm(total=len(cases) * (1 + effort.rounds), unit="turn") as bar:
        for number, case in enumerate(cases, start=1):
            bar.set_description(case.name)
            try:
                variants = variants_of(case, precisions, reference, compiles)
                yield measure(WORKS[case.work], case, variants, effort, bar.update)
            except torch.cuda.OutOfMemoryError:
                note(f"{case.name}: not enough memory on {case.setting.device}; give a smaller --batch_size")
            bar.n = number * (1 + effort.rounds)
            bar.refresh()


def measure(
    work: Work, case: Case, variants: Variants, effort: Effort, advance: Callable[[], object] = lambda: None
) -> list[Row]:
    """Figures of all variants of a case.

    Each is built and looked at by itself first. Then they take turns; where memory does not hold all of them
    they are built anew in each turn.

    Args:
        work: what it is.
        case: which it is.
        variants: what makes each of them, by name.
        effort: how long.
        advance: called after the first look, and after each round.
    """
    device = case.setting.device
    rows: list[Row] = []
    kept: dict[str, Built] = {}
    for name, build in variants.items():
        built, found = _first_look(build, Row(case, name, work.images))
        rows += found
        memory.give_back()
        if free(device) > _SPARE * max(row.peak or 0 for row in rows):
            kept[name] = built
        del built
    advance()
    begin = time.monotonic()
    for _ in range(effort.rounds):
        for name, build in variants.items():
            current = kept.get(name) or _warmed(build(), device)
            for row in rows:
                if row.variant == name:
                    count = effort.steps_in_turn(row.first_seconds)
                    row.seconds.append(seconds(current.steps[row.step], count, device))
            del current
        advance()
        if effort.seconds and time.monotonic() - begin > effort.seconds:
            break
    return _compared(_summarized(work, rows))


def _first_look(build: Callable[[], Built], blank: Row) -> tuple[Built, list[Row]]:
    """Builds a variant and warms it up; a row for each of its steps, without times."""
    device = blank.case.setting.device
    meter = memory.PeakMemory(device)
    built, rows = build(), []
    for step, run in built.steps.items():
        meter.begin_again()
        first = [
            seconds(run, 1, blank.case.setting.device) for _ in range(_warm_up(blank.case.setting.device))
        ]
        row = replace(blank, step=step, peak=meter.peak(), first_seconds=first[-1], seconds=[])
        with eagerly():  # a recording hides them
            operations = count_operations(run)
        rows.append(replace(row, operations=operations, parts=built.parts.shares(run)))
    return built, rows


def _warm_up(device: torch.device) -> int:
    """Steps before the first one that is like all others: a GPU records some."""
    return _WARM_UP + (WANTED_FROM if device.type == "cuda" else 0)


def _warmed(built: Built, device: torch.device) -> Built:
    """The same after some steps of every kind."""
    for step in built.steps.values():
        for _ in range(_warm_up(device)):
            step()
    return built


def _summarized(work: Work, rows: list[Row]) -> list[Row]:
    """The rows, all variants of a step together, and those that sum up a piece of work."""
    found = sorted(rows, key=lambda row: list(dict.fromkeys(row.step for row in rows)).index(row.step))
    if work.summary is None:
        return found
    name, counts = work.summary
    for variant in dict.fromkeys(row.variant for row in rows):
        own = [row for row in rows if row.variant == variant]
        found.append(_weighted_sum(name, own, [counts[row.step] for row in own]))
    return found


def _weighted_sum(name: str, rows: Sequence[Row], counts: Sequence[float]) -> Row:
    def add(values: Iterable[float]) -> float:
        return sum(count * value for count, value in zip(counts, values, strict=True))

    return replace(
        rows[0],
        step=name,
        seconds=[add(values) for values in zip(*(row.seconds for row in rows), strict=True)],
        peak=max((row.peak for row in rows if row.peak is not None), default=None),
        operations=Operations(
            round(add(row.operations.dispatched for row in rows)),
            round(add(row.operations.with_kernel for row in rows)),
        ),
        parts={},
    )


def _compared(rows: list[Row]) -> list[Row]:
    """The rows with their ratios to the first variant of the same step, round by round."""
    first: dict[str, Row] = {}
    for row in rows:
        base = first.setdefault(row.step, row)
        row.ratio = median([theirs / own for theirs, own in zip(base.seconds, row.seconds, strict=True)])
    return rows
