"""What a step of a training will need of memory, told before the first one is made."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from models.stylegan2.op import choose_ops
from training.guard import Guard
from training.randomness import random_state, set_random_state
from training.rehearsal import Rehearsal
from training.state import TrainingState
from utils import memory
from utils.compilation import eagerly
from utils.distributed import alone, is_main, world_size
from utils.notes import note

LARGE = 10_000_000  # weights: below that a forecast says little and costs as much as some steps
# Of a CPU, measured: libraries that are loaded at their first use, and what the allocator keeps in advance.
CPU_EXTRA = 130_000_000


class Rehearsed(Protocol):
    """What is needed of a coach, see ``training.coach.Coach``."""

    opts: Any
    device: torch.device
    precision: torch.dtype
    state: TrainingState
    batches: Any
    guard: Guard

    def training_step(self) -> dict[str, Tensor]: ...


@dataclass(frozen=True)
class Forecast:
    """What a step needs.

    Attributes:
        needed: bytes that the process will hold at the most.
        there: bytes that it could hold.
    """

    needed: int
    there: int

    @property
    def fits(self) -> bool:
        """Whether there is as much as is needed."""
        return self.needed <= self.there


def tell_forecast(coach: Rehearsed) -> None:
    """Says what a step of a coach will need, if `--memory_forecast` asks for it."""
    wanted = coach.opts.memory_forecast
    if not is_main() or wanted == "no" or (wanted == "auto" and not _is_large(coach)):
        return
    try:
        with eagerly():
            expected = forecast(coach)
    except Exception as error:  # whatever a rehearsal cannot do, the training itself may
        note(f"no forecast of memory: {type(error).__name__}: {error}")
        return
    note(sentence(expected, coach), "memory" if expected.fits else "warning")


def _is_large(coach: Rehearsed) -> bool:
    networks = coach.state.networks.values()
    return sum(value.numel() for network in networks for value in network.parameters()) >= LARGE


def forecast(coach: Rehearsed) -> Forecast:
    """Rehearses a step of a coach, which afterwards is what it was before."""
    held, room = memory.held(coach.device), memory.free(coach.device)
    rehearsal = Rehearsal(coach.device.type)
    with _unchanged(coach), rehearsal:
        coach.batches = _Blank(rehearsal, coach)
        coach.training_step()
    extra = CPU_EXTRA if coach.device.type == "cpu" else 0
    return Forecast(held + rehearsal.peak + extra, held + room)


class _Blank:
    """Batches of pictures that hold nothing."""

    def __init__(self, rehearsal: Rehearsal, coach: Rehearsed) -> None:
        self._rehearsal, self._device = rehearsal, coach.device
        self._pictures, self._size = coach.opts.batch_size // world_size(), coach.batches.dataset.size

    def next(self) -> dict[str, Tensor]:
        """As of ``training.batches.BatchSource``."""
        count = self._pictures
        batch = {
            "age": torch.full((count,), 40.0),
            "index": torch.zeros(count, dtype=torch.long),
            "flip": torch.zeros(count, dtype=torch.bool),
            "label": torch.zeros(count, dtype=torch.long),  # of data with classes
        }
        image = self._rehearsal.blank((count, 3, self._size, self._size), self._device)
        return {"image": image, **{name: value.to(self._device) for name, value in batch.items()}}


@contextlib.contextmanager
def _unchanged(coach: Rehearsed) -> Iterator[None]:
    """Afterwards a coach, its optimisers and all random numbers are what they were."""
    optimizers = coach.state.optimizers.values()
    moments = [{parameter: dict(state) for parameter, state in o.state.items()} for o in optimizers]
    groups = [[{**group} for group in optimizer.param_groups] for optimizer in optimizers]
    random, step, batches, opts = random_state(), coach.state.step, coach.batches, coach.opts
    parts = min(2, opts.gradient_accumulation_steps)  # further ones need what the second does
    pictures = opts.batch_size // opts.gradient_accumulation_steps * parts
    coach.opts = replace(opts, batch_size=pictures, gradient_accumulation_steps=parts)
    if coach.device.type == "cuda":
        choose_ops("native")  # those that are compiled want numbers
    coach.state.step = 0  # at which everything is due
    coach.guard.blind = True
    try:
        with alone():
            yield
    finally:
        coach.state.step, coach.batches, coach.opts, coach.guard.blind = step, batches, opts, False
        choose_ops(coach.opts.ops, coach.device)
        set_random_state(random)
        for optimizer, known, earlier in zip(optimizers, moments, groups, strict=True):
            optimizer.zero_grad(set_to_none=True)
            optimizer.state.clear()
            optimizer.state.update(known)
            for group, settings in zip(optimizer.param_groups, earlier, strict=True):
                group.clear()
                group.update(settings)


def sentence(expected: Forecast, coach: Rehearsed) -> str:
    """What to say about it; where it does not fit, with the flags that help."""
    needed, there = expected.needed / 1e9, expected.there / 1e9
    text = f"a step needs about {needed:.1f} GB of memory, {there:.1f} GB are there"
    if expected.fits:
        return text
    opts = coach.opts
    ways = ["raise --gradient_accumulation_steps", "lower --batch_size"]
    if not getattr(opts, "activation_checkpointing", True):
        ways.insert(0, "add --activation_checkpointing")
    if coach.precision == torch.float32 and coach.device.type != "mps":
        ways.append("use --mixed_precision=bf16")
    return f"{text}: it may end for lack of memory; {', '.join(ways[:-1])} or {ways[-1]}"
