"""Ages a folder of aligned photos: one strip a photo, the input and then every target age, left to right."""

import _bootstrap  # noqa: F401

from collections.abc import Sequence
from pathlib import Path

import _inference
import torch

from options.inference_options import parse_inference_options
from utils.errors import run_command
from utils.images import write_image


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes ``inference_side_by_side/NAME`` below ``exp_dir``."""
    opts, targets = parse_inference_options(arguments, __doc__ or "")
    model, photos = _inference.load(opts)
    folder = Path(opts.exp_dir) / "inference_side_by_side"
    written = 0
    for batch in _inference.age_batches(model, photos, targets, opts):
        for row, name in enumerate(batch.photos.names):
            strip = torch.cat([batch.inputs[row], *batch.results[row]], dim=2)
            write_image(strip, folder / name)
            written += 1
    _inference.report(photos, written, folder)


if __name__ == "__main__":
    run_command(main)
