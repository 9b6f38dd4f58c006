"""Times the StyleGAN2 training step: grouped float32 convolutions in NCHW against what training uses.

python scripts/benchmark.py --output_size=64 --batch_size=16
"""

import _bootstrap  # noqa: F401

import json
from collections.abc import Sequence

import torch

from evaluation.benchmark import make_variants, speeds, time_in_turn
from models.stylegan2.model import StyleGAN2Config
from models.stylegan2.op import choose_ops
from options.benchmark_options import BenchmarkOptions
from options.parser import parse_options
from utils.device import keep_freed_memory, select_device
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a line for each variant, and all figures as one line of JSON."""
    options = parse_options(BenchmarkOptions, arguments, __doc__ or "")
    device = select_device(options.device)
    choose_ops(options.ops, device)
    if options.threads:
        torch.set_num_threads(options.threads)
    if device.type == "cpu":
        keep_freed_memory()
    config = StyleGAN2Config(
        options.output_size,
        options.style_dim,
        options.n_mlp,
        options.channel_multiplier,
        options.channel_table,
    )
    variants = make_variants(config, options.batch_size, device)
    rows = speeds(time_in_turn(variants, options.rounds, options.steps, device), options.batch_size)
    threads = torch.get_num_threads()
    print(f"StyleGAN2 step, {config.size} px, batch {options.batch_size}, {device}, {threads} threads")
    for name, row in rows.items():
        print(f"{name:24s} {row['images_per_second']:8.1f} images/s   {row['ratio']:5.2f} x")
    print(json.dumps(rows))


if __name__ == "__main__":
    run_command(main)
