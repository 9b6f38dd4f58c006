"""Turns ordinary photos into aligned face pictures, the input of every model here."""

import argparse
import dataclasses
import os
import time
from pathlib import Path

import _bootstrap  # noqa: F401
from tqdm import tqdm

from utils.faces.align_folder import ALIGNED, EXISTS, Settings, Verdict, align_folder, plan, summary
from utils.faces.alignment import CROPS
from utils.errors import InputError, run_command


def build_parser() -> argparse.ArgumentParser:
    """Describes the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    files = parser.add_argument_group("files")
    files.add_argument("--input_dir", required=True, metavar="DIR", help="photos, searched recursively")
    files.add_argument("--output_dir", required=True, metavar="DIR", help="results: same tree, same names")
    files.add_argument("--format", choices=("png", "jpg"), default="png", help="of the results")
    files.add_argument("--overwrite", action="store_true", help="align again where a result exists")
    square = parser.add_argument_group("the square")
    square.add_argument("--size", type=int, default=128, metavar="PIXELS", help="side of the results")
    square.add_argument(
        "--crop", choices=tuple(CROPS), default="tight", help="tight: the demo models; ffhq: 1024"
    )
    square.add_argument("--s", type=float, metavar="FACTOR", help="size of the square instead of the crop's")
    square.add_argument("--k", type=float, metavar="FRACTION", help="centre, 0 eyes to 1 mouth, likewise")
    square.add_argument("--all_faces", action="store_true", help="write every face, not only the main one")
    work = parser.add_argument_group("work")
    work.add_argument("--num_workers", type=int, default=os.cpu_count() or 1, metavar="N", help="processes")
    work.add_argument("--quiet", action="store_true", help="name only the photos without a result")
    return parser


def main() -> int:
    args = build_parser().parse_args()
    if not 16 <= args.size <= 4096:
        raise InputError(f"--size={args.size} is out of range; use 16 to 4096 pixels")
    if args.num_workers < 1:
        raise InputError(f"--num_workers={args.num_workers} is too small; use 1 or more")
    crop = CROPS[args.crop]
    given = {name: getattr(args, name) for name in ("s", "k") if getattr(args, name) is not None}
    crop = dataclasses.replace(crop, **given)
    if not 0 < crop.s <= 10 or not -10 <= crop.k <= 10:
        raise InputError(f"--s={crop.s} --k={crop.k}: s must lie in 0..10 (not 0), k in -10..10")
    started = time.perf_counter()
    pairs = plan(args.input_dir, args.output_dir, f".{args.format}")
    settings = Settings(args.size, crop, args.all_faces, args.overwrite)
    with tqdm(total=len(pairs), desc="aligning", unit="photo", disable=None) as bar:

        def report(verdict: Verdict) -> None:
            if not (args.quiet and verdict.status in (ALIGNED, EXISTS)):
                bar.write(str(verdict))
            bar.update()

        counts = align_folder(pairs, settings, args.num_workers, report)
    print(summary(counts, started))
    if not counts[ALIGNED] and not counts[EXISTS]:
        raise InputError(f"no photo in {Path(args.input_dir)} could be aligned")
    return 0


if __name__ == "__main__":
    run_command(main)
