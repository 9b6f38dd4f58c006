"""Turns ordinary photos into aligned face pictures, the input of every model here."""

import _bootstrap  # noqa: F401

import time
from collections.abc import Sequence

from tqdm import tqdm

from options.align_options import AlignOptions
from options.parser import parse_options
from utils.errors import run_command
from utils.faces.align_folder import Outcome, Settings, align_folder, plan, report


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the aligned faces and prints what became of each photo."""
    opts = parse_options(AlignOptions, arguments, __doc__ or "")
    started = time.perf_counter()
    pairs = plan(opts.input_dir, opts.output_dir, f".{opts.format}")
    settings = Settings(opts.size, opts.square, opts.all_faces, opts.overwrite)
    with tqdm(total=len(pairs), desc="aligning", unit="photo", disable=None) as bar:

        def show(outcome: Outcome) -> None:
            if not (opts.quiet and outcome.has_result):
                bar.write(str(outcome))
            bar.update()

        counts = align_folder(pairs, settings, opts.num_workers, show)
    report(counts, opts.input_dir, started)


if __name__ == "__main__":
    run_command(main)
