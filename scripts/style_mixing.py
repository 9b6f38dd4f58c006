"""Mixes random styles into aged photos: one row a photo, the input and then its random mixtures."""

import _bootstrap  # noqa: F401

from collections.abc import Sequence
from pathlib import Path

import torch
from inference.run import InferenceRun

from models.psp import mix_styles
from options.inference_options import parse_inference_options
from utils.errors import InputError, run_command
from utils.pictures.sheets import tile


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes ``style_mixing/AGE/NAME`` below ``exp_dir``."""
    opts, targets = parse_inference_options(arguments, __doc__ or "", uses=("style_mixing", "mixing"))
    if len(targets) != 1:
        raise InputError("style mixing makes one target age; give one, such as --target_age=50")
    if opts.latent_mask is None:
        raise InputError("--latent_mask is needed: the styles to mix in, such as --latent_mask=8,9")
    run = InferenceRun(opts, targets)
    folder = Path(opts.exp_dir) / "style_mixing" / targets[0].label
    count = opts.n_outputs_to_generate
    for batch, ages in run.batches():
        codes = run.style_model.codes(batch.images, ages.to(run.device))
        for row in range(len(batch.names)):
            with torch.inference_mode():
                random = run.style_model.random_codes(count, run.generator)
                mixed = mix_styles(codes[row].expand(count, -1, -1), opts.latent_mask, random, opts.mix_alpha)
                results = run.style_model.render(mixed)
            photo = run.show(batch, row, ages[row], results).for_sheet()
            photo.save(tile([[photo.original(), *photo.pictures()]]), folder / photo.name)
    run.report(folder)


if __name__ == "__main__":
    run_command(main)
