"""Ages a folder of photos: one strip a photo, the input and then every target age, left to right."""

import _bootstrap  # noqa: F401

from collections.abc import Sequence
from pathlib import Path

from inference.run import AgedPhoto, InferenceRun

from options.inference_options import parse_inference_options
from utils.errors import run_command
from utils.pictures.sheets import tile


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes ``inference_side_by_side/NAME`` below ``exp_dir``."""
    opts, targets = parse_inference_options(arguments, __doc__ or "")
    run = InferenceRun(opts, targets)
    folder = Path(opts.exp_dir) / "inference_side_by_side"
    for photo in map(AgedPhoto.for_sheet, run.aged()):
        photo.save(tile([[photo.original(), *photo.pictures()]]), folder / photo.name)
    run.report(folder)


if __name__ == "__main__":
    run_command(main)
