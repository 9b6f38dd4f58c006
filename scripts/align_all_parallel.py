"""The official SAM command line for alignment: ROOT becomes ROOT_crops, every face a 256-pixel FFHQ crop."""

import argparse
import time
from pathlib import Path

import _bootstrap  # noqa: F401

from utils.faces.align_folder import ALIGNED, EXISTS, Settings, align_folder, plan, summary
from utils.faces.alignment import CROPS
from utils.errors import InputError, run_command


def build_parser() -> argparse.ArgumentParser:
    """Describes the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--num_threads", type=int, default=1, metavar="N", help="processes")
    parser.add_argument("--root_path", default="", metavar="DIR", help="photos, searched recursively")
    return parser


def main() -> int:
    args = build_parser().parse_args()
    if not args.root_path:
        raise InputError("--root_path is missing; name the folder with the photos")
    if args.num_threads < 1:
        raise InputError(f"--num_threads={args.num_threads} is too small; use 1 or more")
    root = Path(args.root_path).resolve()
    started = time.perf_counter()
    pairs = plan(root, root.with_name(f"{root.name}_crops"), ".jpg")
    counts = align_folder(pairs, Settings(256, CROPS["ffhq"]), args.num_threads)
    print(summary(counts, started))
    if not counts[ALIGNED] and not counts[EXISTS]:
        raise InputError(f"no photo in {root} could be aligned")
    return 0


if __name__ == "__main__":
    run_command(main)
