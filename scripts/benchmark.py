"""Times training steps, inference and data loading on networks with random weights; no file is needed.

python scripts/benchmark.py --suite=quick --reference
"""

import _bootstrap  # noqa: F401

import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from evaluation.benchmark.machine import ceilings, describe_machine
from evaluation.benchmark.plan import cases_of, effort_of, precisions_of
from evaluation.benchmark.report import as_json, header, parts_table, speed_table
from evaluation.benchmark.suite import Row, run_cases
from models.stylegan2.op import choose_ops
from options.benchmark_options import BenchmarkOptions
from options.parser import parse_options
from utils.device import keep_freed_memory, select_device
from utils.errors import run_command
from utils.files.outputs import require_writable
from utils.files.writing import write_text


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the machine, a table of speeds, one of their parts, and all figures as one line of JSON."""
    options = parse_options(BenchmarkOptions, arguments, __doc__ or "")
    if options.json:
        require_writable([Path(options.json).absolute().parent])
    device = select_device(options.device)
    choose_ops(options.ops, device)
    if options.threads:
        torch.set_num_threads(options.threads)
    if device.type == "cpu":
        keep_freed_memory()
    precisions = precisions_of(options, device)
    machine = describe_machine(device, options.ops, precisions)
    ceiling = ceilings(device, precisions)
    print(header(machine, ceiling), flush=True)
    rows: list[Row] = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            cases = cases_of(options, device, Path(folder))
            effort = effort_of(options, device)
            ways = (options.compile, options.exported)
            for found in run_cases(cases, precisions, options.reference, effort, *ways):
                rows += found
                if options.json:
                    write_text(as_json(machine, ceiling, rows) + "\n", options.json)
    finally:  # what was measured before somebody stopped it
        if rows:
            print(f"\n{speed_table(rows)}\n\n{parts_table(rows)}\n")
            print(as_json(machine, ceiling, rows))


if __name__ == "__main__":
    run_command(main)
