"""The official SAM command line for alignment: ROOT becomes ROOT_crops, every face a 256-pixel FFHQ crop."""

import _bootstrap  # noqa: F401

import time
from collections.abc import Sequence
from pathlib import Path

from options.align_options import AlignAllOptions
from options.parser import parse_options
from utils.errors import run_command
from utils.faces.align_folder import Settings, align_folder, plan, report
from utils.faces.alignment import CROPS


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the aligned faces and prints what became of each photo."""
    opts = parse_options(AlignAllOptions, arguments, __doc__ or "")
    root = Path(opts.root_path).resolve()
    started = time.perf_counter()
    pairs = plan(root, root.with_name(f"{root.name}_crops"), ".jpg")
    counts = align_folder(pairs, Settings(256, CROPS["ffhq"]), opts.num_threads)
    report(counts, root, started)


if __name__ == "__main__":
    run_command(main)
