"""Runs pieces of work in turn: every round gives each variant its turn, so that a slow minute meets all."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from tqdm import tqdm

from evaluation.benchmark import memory
from evaluation.benchmark.networks import Setting
from evaluation.benchmark.operations import Operations, count_operations
from evaluation.benchmark.timing import median, seconds
from evaluation.benchmark.training_steps import Built
from evaluation.benchmark.works import WORKS, Work
from utils.notes import note

REFERENCE = "reference"
_WARM_UP = 2  # steps: the first makes the state of an optimiser, the second is like all others
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
        steps: steps in a turn.
        seconds: no further round begins after these; 0 for no limit.
    """

    rounds: int
    steps: int
    seconds: float = 0.0


@dataclass
class Row:
    """Figures of one variant of one step.

    Attributes:
        seconds: a step, in each round.
        images: pictures a step.
        peak: bytes, None where they are unknown.
        operations: a step.
        parts: share of each part.
        ratio: how many times as fast it is as the first variant, in the same round.
    """

    work: str
    step: str
    pixels: int
    batch: int
    variant: str
    images: int
    seconds: list[float] = field(default_factory=list)
    peak: int | None = None
    operations: Operations = field(default_factory=lambda: Operations(0, 0))
    parts: dict[str, float] = field(default_factory=dict)
    ratio: float = 1.0

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            **{name: getattr(self, name) for name in ("work", "step", "pixels", "batch", "variant")},
            "seconds": median(self.seconds),
            "quickest": min(self.seconds),
            "slowest": max(self.seconds),
            "images_per_second": self.images / median(self.seconds),
            "peak_memory_bytes": self.peak,
            "operations": self.operations.dispatched,
            "operations_with_kernel": self.operations.with_kernel,
            "parts": self.parts,
            "ratio": self.ratio,
        }


def variants_of(case: Case, precisions: Sequence[torch.dtype], reference: bool) -> Variants:
    """What makes each variant of a case, by name; with the reference first, where it has one."""
    work, setting = WORKS[case.work], case.setting
    found: dict[str, Callable[[], Built]] = {}
    published = work.published
    if reference and published is not None:
        found[REFERENCE] = lambda: published(setting)
    for precision in precisions if work.computes else [torch.float32]:
        name = str(precision).removeprefix("torch.")
        found[name] = lambda precision=precision: work.build(setting, precision)
    return found


def run_cases(
    cases: Sequence[Case], precisions: Sequence[torch.dtype], reference: bool, effort: Effort
) -> Iterator[list[Row]]:
    """Yields the rows of each case; one that does not fit in memory is named and left out."""
    with tqdm(total=len(cases) * (1 + effort.rounds), unit="turn") as bar:
        for number, case in enumerate(cases, start=1):
            bar.set_description(case.name)
            try:
                variants = variants_of(case, precisions, reference)
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
    device, rows = case.setting.device, dict[tuple[str, str], Row]()
    kept: dict[str, Built] = {}
    largest = 0
    for name, build in variants.items():
        meter = memory.PeakMemory(device)
        built = _warmed(build())
        peak = meter.peak()
        largest = max(largest, peak or 0)
        images = case.setting.batch * work.images
        for step, run in built.steps.items():
            row = Row(case.work, step, case.setting.sizes.pixels, case.setting.batch, name, images, peak=peak)
            row.operations, row.parts = count_operations(run), built.parts.shares(run)
            rows[name, step] = row
        memory.give_back()
        left = memory.available(device)
        if left is None or left > _SPARE * largest:
            kept[name] = built
        del built, run
    advance()
    begin = time.monotonic()
    for _ in range(effort.rounds):
        for name, build in variants.items():
            current = kept.get(name) or _warmed(build())
            for step, run in current.steps.items():
                rows[name, step].seconds.append(seconds(run, effort.steps, device))
            del current, run
        advance()
        if effort.seconds and time.monotonic() - begin > effort.seconds:
            break
    return _compared(_summarized(work, list(rows.values())), next(iter(variants)))


def _warmed(built: Built) -> Built:
    """The same after some steps of every kind."""
    for step in built.steps.values():
        for _ in range(_WARM_UP):
            step()
    return built


def _summarized(work: Work, rows: list[Row]) -> list[Row]:
    """The rows of a piece of work with the row that sums them up, for each variant."""
    if work.summary is None:
        return rows
    name, counts = work.summary
    found = list(rows)
    for variant in dict.fromkeys(row.variant for row in rows):
        own = [row for row in rows if row.variant == variant]
        found.append(_weighted_sum(name, own, [counts[row.step] for row in own]))
    return found


def _weighted_sum(name: str, rows: Sequence[Row], counts: Sequence[float]) -> Row:
    first = rows[0]
    total = Row(first.work, name, first.pixels, first.batch, first.variant, first.images, peak=first.peak)

    def add(values: Iterable[float]) -> float:
        return sum(count * value for count, value in zip(counts, values, strict=True))

    total.seconds = [add(values) for values in zip(*(row.seconds for row in rows), strict=True)]
    total.operations = Operations(
        round(add(row.operations.dispatched for row in rows)),
        round(add(row.operations.with_kernel for row in rows)),
    )
    return total


def _compared(rows: list[Row], base: str) -> list[Row]:
    """The rows with their ratios to one variant, round by round."""
    for row in rows:
        (other,) = (found for found in rows if (found.variant, found.step) == (base, row.step))
        row.ratio = median([theirs / own for theirs, own in zip(other.seconds, row.seconds, strict=True)])
    return rows
