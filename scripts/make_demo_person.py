"""Makes the fictional person of `make demo`: pictures `{age}_{idx}.png` along an ageing path of their own."""

import _bootstrap  # noqa: F401

from collections.abc import Sequence
from pathlib import Path

from inference.invented_person import HELD_OUT_AGES, TRAIN_AGES, invent_person, spaced_ages, write_album
from options.invented_person_options import InventedPersonOptions
from options.parser import parse_options
from utils.errors import run_command
from utils.files.outputs import require_writable


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes ``train/`` and ``held_out/`` below ``output_dir``."""
    opts = parse_options(InventedPersonOptions, arguments, __doc__ or "")
    folder = Path(opts.output_dir)
    require_writable([folder])
    person = invent_person(opts)
    write_album(person, spaced_ages(opts.train, TRAIN_AGES), folder / "train")
    write_album(person, spaced_ages(opts.held_out, HELD_OUT_AGES), folder / "held_out")
    print(f"wrote {opts.train + opts.held_out} pictures to {opts.output_dir}")


if __name__ == "__main__":
    run_command(main)
