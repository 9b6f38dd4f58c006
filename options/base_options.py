"""Options that every training shares: run folder, data, machine, logging and saving."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from criteria.objective import TermGroup
from options.machine_options import CompileOptions, MachineOptions
from utils.distributed import launcher
from utils.errors import InputError
from utils.typed_options import Options, Unread, count, group, option, path, positive, processes, weight


@dataclass(frozen=True, kw_only=True)
class RunOptions(Options):
    """What is trained, where, and for how long."""

    title = "run"

    coach: str = option("", str, "what to train (see above)")
    exp_dir: str = option(kind=path, help="run folder; the same command continues it", metavar="DIR")
    max_steps: int = option(500_000, positive, "steps in all")
    seed: int = option(0, count, "seed of weights, data order and ages")
    deterministic: bool = option(
        False,
        bool,
        "only operations with the same result in every run: two runs of a command write the same bytes",
    )
    max_skipped: int = option(
        10,
        positive,
        "stop after so many steps in a row whose loss or gradient is not finite; each of them is left out",
    )
    dry_run: bool = option(False, bool, "print the options and stop")


@dataclass(frozen=True, kw_only=True)
class DataOptions(Options):
    """How many pictures at a time, and who reads them."""

    title = "data"

    batch_size: int = option(4, group, "pictures a step, of all processes together")
    gradient_accumulation_steps: int = option(
        1, positive, "make each step in so many parts, one after the other: less memory, the same step"
    )
    workers: int = option(4, processes, "processes that decode, for folders larger than memory")


@dataclass(frozen=True, kw_only=True)
class CheckpointingOptions(Options):
    """Time for memory, where large networks are trained."""

    title = "machine"

    activation_checkpointing: bool = option(
        False,
        bool,
        "compute activations of generator, discriminator and encoder again in the backward pass: less "
        "memory, more time, the same numbers",
    )


@dataclass(frozen=True, kw_only=True)
class LogOptions(Options):
    """When something is shown or written."""

    title = "logging and saving, in steps (0: never)"

    image_interval: int | None = option(100, count, "write sheets of pictures")
    board_interval: int = option(50, count, "write the mean losses to TensorBoard")
    val_interval: int = option(1000, count, "validate, and keep the best model")
    save_interval: int | None = option(None, count, "write iteration_N.pt")
    save_minutes: float = option(5, weight, "write the resume state this often; 0: never")
    keep_checkpoints: int = option(0, count, "so many iteration_N.pt stay, the newest; 0: all")
    keep_sheets: int = option(
        0, count, "so many sheets of pictures stay, the newest, and none goes to TensorBoard; 0: all"
    )


@dataclass(frozen=True, kw_only=True)
class TrainOptions(RunOptions, DataOptions, CompileOptions, MachineOptions, LogOptions):
    """What the engine of every training reads.

    Attributes:
        objective: the groups of terms whose weights belong to this command, see ``criteria.objective``.
        arguments: the command line that they were read from; it is no part of their record.
    """

    objective: ClassVar[Sequence[TermGroup]] = ()
    unread: ClassVar[Sequence[Unread]] = (
        Unread("test_batch_size", positive, 2, official=False),
        Unread("test_workers", count, 2, official=False),
    )

    title = "machine"
    arguments: Sequence[str] = field(default=(), repr=False, compare=False)

    @property
    def command_line(self) -> str:
        """The command that they were read from."""
        return shlex.join([*launcher(), "scripts/train.py", *self.arguments])

    @property
    def own_output(self) -> list[Path]:
        """Folders with results of this training, whose pictures are no input."""
        root = Path(self.exp_dir)
        logs = [run / "logs" for run in (root, *root.glob("[0-9]" * 5))]
        return [root, *logs, *(folder / "images" for folder in logs)]

    mixed_precision: str = option("auto", str, "auto: bf16 where it is fast", choices=("auto", "bf16", "no"))
    threads: int = option(0, processes, "CPU threads; 0 leaves torch's choice")
    memory_forecast: str = option(
        "auto",
        str,
        "say before the first step how much memory one needs; auto: of networks with 10 million weights",
        choices=("auto", "yes", "no"),
    )


def parse_numbers(text: str | None, flag: str, length: int | None = None) -> list[int] | None:
    """Reads positive integers such as `1,2,3`; None or nothing gives None.

    Raises:
        InputError: not such a list, or not of that length.
    """
    if not text:
        return None
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"{flag}={text}: give integers separated by commas") from error
    if min(numbers) < 1:
        raise InputError(f"{flag}={text}: the numbers must be at least 1")
    if length is not None and len(numbers) != length:
        raise InputError(f"{flag}={text}: give {length} numbers, not {len(numbers)}")
    return numbers


def parse_share(text: str) -> tuple[float, float]:
    """Reads `A-B`, two percentages.

    Raises:
        InputError: not two rising numbers within 0-100.
    """
    try:
        start, end = (float(part) for part in text.split("-"))
    except ValueError as error:
        raise InputError(f"--data_share={text}: give two percentages such as 0-60") from error
    if not 0 <= start < end <= 100:
        raise InputError(f"--data_share={text}: the percentages must rise within 0-100")
    return start, end
