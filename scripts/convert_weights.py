"""Converts weights: NVIDIA's StyleGAN2 layout to rosinality's and back, ours to the official files.

The suffix of the new file gives its format: .pt, .pth or .safetensors.
"""

import _bootstrap  # noqa: F401

from collections.abc import Sequence
from pathlib import Path

from models.conversion import SAMPLES, convert, random_faces, require_stylegan2
from models.kinds import what_is
from options.parser import parse_options
from options.weights_options import ConvertOptions
from utils.errors import run_command
from utils.files.checkpoints import load_checkpoint
from utils.files.outputs import refuse_overwriting
from utils.pictures.writing import save_pil


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the converted file and, if wished, a sheet of samples."""
    opts = parse_options(ConvertOptions, arguments, __doc__ or "")
    refuse_overwriting([opts.output, *([opts.samples] if opts.samples else [])], [opts.input])
    before = load_checkpoint(opts.input)
    print(f"{opts.input}: {what_is(before)}")
    if opts.samples:
        require_stylegan2(before, opts.input)
    after = convert(before, Path(opts.input), Path(opts.output), opts.to, opts.groups)
    if opts.samples:
        save_pil(random_faces(after, opts.output), opts.samples)
        print(f"{opts.samples}: {SAMPLES} random pictures")


if __name__ == "__main__":
    run_command(main)
