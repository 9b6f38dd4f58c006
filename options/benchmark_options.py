"""The command line of `scripts/benchmark.py`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from models.exported.card import PRECISIONS
from options.machine_options import MachineOptions
from options.stylegan2_options import GeneratorSizes, check_discriminator_batch, parse_channels
from utils.compilation import CHOICES
from utils.errors import InputError
from utils.typed_options import depth, group, option, path, pixels, positive, processes, weight, width

WORK_NAMES = ("sam", "mytimemachine", "psp", "stylegan2", "generator", "ages", "folder", "data")
DEMO_LARGEST = 128  # pixels of the demonstration networks
OF_A_CASE = ("output_size", "batch_size", "networks", "style_dim", "n_mlp", "channels")  # not of a suite


def works(text: str) -> tuple[str, ...]:
    """Pieces of work, separated by commas."""
    return _several(text, WORK_NAMES)


def ways_to_compile(text: str) -> tuple[str, ...]:
    """Choices of ``--compile``, separated by commas."""
    return _several(text, CHOICES)


def stored_precisions(text: str) -> tuple[str, ...]:
    """Precisions of exported models, separated by commas."""
    return _several(text, PRECISIONS)


def _several(text: str, known: Sequence[str]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is unknown; choose among {', '.join(known)}")
    return names


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(MachineOptions):
    """Options of `scripts/benchmark.py`; all networks have random weights, no file is needed."""

    title = "what is timed"

    work: tuple[str, ...] = option(
        WORK_NAMES, works, f"what is timed, separated by commas: {', '.join(WORK_NAMES)}", metavar="NAME,..."
    )
    suite: str | None = option(
        None,
        str,
        "quick: what this machine does, in four minutes on a GPU; full: all sizes. With sizes of its own",
        choices=("quick", "full"),
    )
    exported: tuple[str, ...] = option(
        (),
        stored_precisions,
        f"also exported models in ONNX Runtime, of these precisions: {', '.join(PRECISIONS)} (ages)",
        metavar="PRECISION,...",
    )
    reference: bool = option(False, bool, "also the official way of doing it; ratios are to that")
    json: str | None = option(
        None, path, "also write all figures here, after each piece of work", metavar="FILE"
    )
    output_size: int | None = option(None, pixels, "side of the generator's pictures; without it 64")
    batch_size: int | None = option(
        None, group, "pictures at a time; without it as published, fewer on a CPU, 16 of small StyleGAN2s"
    )
    networks: str = option(
        "auto",
        str,
        "official ones, or those of the demonstration; auto: these up to 128 pixels",
        choices=("auto", "official", "demo"),
    )
    style_dim: int | None = option(None, width, "length of a style, in place of that of the networks")
    n_mlp: int | None = option(None, depth, "layers of the mapping network, likewise")
    channels: str | None = option(
        None, str, "channels of the generator by resolution, likewise", metavar="4:N,8:N,..."
    )
    narrow: int = option(
        1, positive, "divide the width of every layer by this: the same operations with little arithmetic"
    )
    mixed_precision: str = option(
        "auto",
        str,
        "float32 is always timed, bf16 beside it where it is fast (auto) or anyway (bf16)",
        choices=("auto", "bf16", "no"),
    )
    compile: tuple[str, ...] = option(
        ("auto",),
        ways_to_compile,
        f"ways to run the networks of steps that are timed beside each other: {', '.join(CHOICES)}",
        metavar="CHOICE,...",
    )
    rounds: int | None = option(
        None, positive, "the variants are timed in turn, this many times; without it 5, or as a suite says"
    )
    steps: int | None = option(None, positive, "steps a turn, at most; without it 4, or as a suite says")
    seconds: float | None = option(
        None, weight, "no further round of a piece of work after these; 0 or without a suite: no limit"
    )
    threads: int = option(0, processes, "CPU threads; 0 leaves torch's choice")
    workers: int = option(4, processes, "processes that read pictures")

    @property
    def channel_table(self) -> dict[int, int] | None:
        """Channels by resolution, None for those of the networks."""
        return parse_channels(self.channels)

    def check(self) -> None:
        """Raises ``InputError`` for sizes that make no network, or that a suite has of its own."""
        if self.suite:
            usual = {name: type(self).__dataclass_fields__[name].default for name in OF_A_CASE}
            given = [f"--{name}" for name, value in usual.items() if getattr(self, name) != value]
            if given:
                raise InputError(f"--suite={self.suite} has sizes of its own; leave out {', '.join(given)}")
        size = self.output_size or 64
        if self.networks == "demo" and size > DEMO_LARGEST and not self.channels:
            raise InputError(
                f"--output_size={size}: the networks of the demonstration end at {DEMO_LARGEST} pixels; "
                "use --networks=official"
            )
        GeneratorSizes(output_size=size, channels=self.channels)
        if self.batch_size and "stylegan2" in self.work:
            check_discriminator_batch(self.batch_size)
