"""Downloads official weights into the folder where everything looks for them: resumed, checked, whole."""

import _bootstrap  # noqa: F401

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from configs.paths_config import WEIGHTS_FOLDER, WEIGHTS_VARIABLE
from configs.weights import WEIGHTS, Weight
from utils.files.download import Expected, difference
from utils.errors import InputError, run_command
from utils.files.weight_sources import fetch

OFFICIAL = {name: weight for name, weight in WEIGHTS.items() if not weight.bundled}


def build_parser() -> argparse.ArgumentParser:
    """Describes the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"names: {', '.join(OFFICIAL)}",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to download (names: see below)")
    parser.add_argument("--all", action="store_true", help="download every file of the table")
    parser.add_argument("--list", action="store_true", help="show the table and which files are there")
    parser.add_argument(
        "--root",
        default=str(WEIGHTS_FOLDER),
        metavar="DIR",
        help=f"folder of the weights; set {WEIGHTS_VARIABLE} to it so that all commands look there",
    )
    parser.add_argument("--mirror", metavar="URL", help="take every file from URL/FILE instead of its source")
    parser.add_argument("--force", action="store_true", help="download again what is there")
    parser.add_argument(
        "--no_check", action="store_true", help="accept a file of another size or checksum than in the table"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    args = build_parser().parse_args(arguments)
    root = Path(args.root).expanduser().absolute()
    if args.list:
        print(table(root))
        return 0
    names = list(OFFICIAL) if args.all else list(dict.fromkeys(args.names))
    unknown = [name for name in names if name not in OFFICIAL]
    if unknown or not names:
        problem = (
            f"there are no weights called {unknown[0]!r}" if unknown else "name the weights, or say --all"
        )
        raise InputError(f"{problem}; there are {', '.join(OFFICIAL)}")
    failed = []
    for name in names:
        try:
            bring(OFFICIAL[name], root, args.mirror, args.force, check=not args.no_check)
        except InputError as error:
            failed.append(name)
            print(f"error: {name}: {error}", file=sys.stderr)
    if failed:
        raise InputError(f"{len(failed)} of {len(names)} files are missing: {', '.join(failed)}")
    return 0


def bring(weight: Weight, root: Path, mirror: str | None, force: bool, check: bool) -> None:
    """Downloads one file unless it is there.

    Raises:
        InputError: it cannot be had, or what is there is another file.
    """
    target = root / weight.name
    expected = Expected(weight.size, weight.sha256) if check else Expected()
    if target.exists() and not force:
        if problem := difference(target, expected):
            raise InputError(f"{target} is not the expected file: {problem}; --force downloads it again")
        print(f"{target}: is there ({known(expected)})")
        return
    addresses = [f"{mirror.rstrip('/')}/{weight.name}"] if mirror else [weight.source, *weight.mirrors]
    address = fetch(addresses, target, expected)
    print(f"{target}: {target.stat().st_size} bytes from {address} ({known(expected)})")
    print(f"  licence: {weight.licence}")


def known(expected: Expected) -> str:
    """Which checks a file has passed."""
    if expected.sha256:
        return "checksum is right"
    return "size is right, checksum unknown" if expected.size else "size and checksum unknown, not checked"


def table(root: Path) -> str:
    """The table of official weights, and which of them lie in a folder."""
    lines = [f"folder: {root}"]
    for name, weight in OFFICIAL.items():
        there = "here" if (root / weight.name).exists() else "not here"
        size = f"{weight.size} bytes" if weight.size else f"about {weight.megabytes} MB"
        lines += [
            f"\n{name}: {there}",
            f"  file      {weight.name}, {size}",
            f"  sha256    {weight.sha256 or 'unknown'}",
            f"  source    {weight.source}",
            *(f"  mirror    {address}" for address in weight.mirrors),
            f"  licence   {weight.licence}",
            f"  input     {weight.normalisation}"
            + (f", {weight.input_size} px" if weight.input_size else ""),
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
