"""Which cases a command line asks for: chosen works at one size, or a suite made for the machine."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from evaluation.benchmark.networks import (
    Setting,
    Sizes,
    demo_sizes,
    narrowed,
    official_sizes,
)
from evaluation.benchmark.suite import Case, Effort
from evaluation.benchmark.works import WORKS
from options.benchmark_options import DEMO_LARGEST, BenchmarkOptions
from utils.device import select_precision

USUAL = Effort(rounds=5, steps=4)
# By suite and whether a processor computes. A quick one ends within four minutes, 10 cases on a GPU.
EFFORTS = {
    ("quick", False): Effort(rounds=3, steps=4, seconds=4),
    ("quick", True): Effort(rounds=2, steps=2, seconds=5),
    ("full", False): Effort(rounds=5, steps=10, seconds=60),
    ("full", True): Effort(rounds=3, steps=1),
}
_GAN = ("stylegan2", "generator")
_LARGEST_ON_CPU = ("sam", "mytimemachine", "ages")  # what a processor is asked for at 1024 pixels
_SMALL_BATCH_FROM = 512  # pixels: below, four times as many pictures of a GAN at a time


def precisions_of(opts: BenchmarkOptions, device: torch.device) -> list[torch.dtype]:
    """float32, and bfloat16 where it is asked for or fast."""
    fast = select_precision(opts.mixed_precision, device)
    return list(dict.fromkeys([torch.float32, fast]))


def effort_of(opts: BenchmarkOptions, device: torch.device) -> Effort:
    """How long each case is measured."""
    usual = EFFORTS[opts.suite, device.type == "cpu"] if opts.suite else USUAL
    return Effort(
        opts.rounds or usual.rounds,
        opts.steps or usual.steps,
        usual.seconds if opts.seconds is None else opts.seconds,
    )


def cases_of(opts: BenchmarkOptions, device: torch.device, folder: Path) -> list[Case]:
    """The cases in their order.

    Args:
        opts: the command line.
        device: where they compute.
        folder: for files.
    """
    cases = []
    for pixels in _pixels(opts, device):
        sizes = sizes_of(opts, pixels)
        for name in opts.work:
            if opts.suite and not _is_in_suite(name, pixels, opts.suite, device):
                continue
            batch = opts.batch_size or _batch(name, sizes, device)
            cases.append(Case(name, Setting(sizes, batch, device, folder, opts.ops, opts.workers)))
    return cases


def sizes_of(opts: BenchmarkOptions, pixels: int) -> Sizes:
    """The networks at one size."""
    demo = opts.networks == "demo" or (opts.networks == "auto" and pixels <= DEMO_LARGEST)
    sizes = demo_sizes(pixels) if demo else official_sizes(pixels)
    given: dict[str, Any] = {"style_dim": opts.style_dim, "n_mlp": opts.n_mlp, "channels": opts.channel_table}
    generator = replace(sizes.generator, **{name: value for name, value in given.items() if value})
    return narrowed(replace(sizes, generator=generator), opts.narrow)


def _pixels(opts: BenchmarkOptions, device: torch.device) -> tuple[int, ...]:
    if not opts.suite:
        return (opts.output_size or 64,)
    if opts.suite == "full":
        return (64, 256, 1024)
    return (64,) if device.type == "cpu" else (256, 1024)


def _is_in_suite(work: str, pixels: int, suite: str, device: torch.device) -> bool:
    if device.type == "cpu":
        return pixels < 1024 or work in _LARGEST_ON_CPU
    return suite == "full" or pixels == 1024 or work in _GAN


def _batch(work: str, sizes: Sizes, device: torch.device) -> int:
    batches = WORKS[work].batches
    if not sizes.lpips:
        return batches.demo
    if device.type == "cpu":
        return batches.slow
    return batches.official * (4 if work in _GAN and sizes.pixels < _SMALL_BATCH_FROM else 1)
