"""The life span of every photo of a folder, personalised or global (MyTimeMachine's `helper.py`)."""

import _bootstrap  # noqa: F401

import argparse
import io
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from inference.run import AgedPhoto, InferenceRun, chosen_device, load_model
from PIL import Image

from configs.paths_config import model_paths
from datasets.photos import result_stems
from models.aging_model import AgingModel, PSPAgingModel, load_aging_model
from options.lifespan_options import parse_lifespan_options
from utils.files.checkpoints import load_checkpoint
from utils.errors import InputError, run_command
from utils.pictures.reading import open_rgb
from utils.pictures.sheets import tile
from utils.files.writing import written_atomically

GAP = 2  # pixels around each picture of a strip, as officially


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes strips, latent codes, single pictures and ``opt.json`` to ``OUTPUT_DIR/DESC``."""
    opts, targets = parse_lifespan_options(arguments, __doc__ or "")
    run = InferenceRun(opts, targets, load_chosen_model(opts))
    folder = Path(opts.output_dir) / opts.desc
    labels = [target.label for target in targets]
    stems = result_stems(run.photos.names, official=True)
    stem_of = dict(zip(run.photos.names, stems, strict=True))
    for batch, ages in run.batches():
        codes = run.style_model.codes(batch.images, ages.to(run.device))
        for row, (name, path) in enumerate(zip(batch.names, batch.paths, strict=True)):
            with torch.inference_mode():
                photo = run.show(batch, row, ages[row], run.style_model.render(codes[row]))
            write_latents(codes[row], labels, folder / stem_of[name])
            write_pictures(photo, path, labels, folder, stem_of[name])
    copy_options(opts.model_path, folder)
    run.report(folder)


def load_chosen_model(opts: argparse.Namespace) -> AgingModel:
    """Loads the model; without ``--blender`` the global one inside a personalised file, as officially.

    Raises:
        InputError: ``--blender`` was given and the file has no adapter, or it cannot be used at all.
    """
    if opts.blender:
        model = load_model(opts.model_path, opts)
    else:
        device = chosen_device(opts)
        model = load_aging_model(opts.model_path, device, opts.global_checkpoint, opts.mixed_precision)
    if not isinstance(model, PSPAgingModel):
        raise InputError(f"{opts.model_path} is a model without styles; use scripts/inference.py")
    if opts.blender and model.network.blender is None:
        raise InputError(f"--blender needs a personalised checkpoint; {opts.model_path} is a SAM one")
    if not opts.blender and model.network.blender is not None:
        print(
            f"note: without --blender the personalisation in {opts.model_path} is left out", file=sys.stderr
        )
        model.network.blender = None
    return model


def write_latents(codes: torch.Tensor, labels: Sequence[str], stem: Path) -> None:
    """Writes ``latent_STEM_AGE.npy``, (1, n_styles, style_dim), for codes (A, n_styles, style_dim)."""
    for label, code in zip(labels, codes.float().cpu().numpy(), strict=True):
        content = io.BytesIO()
        np.save(content, code[None])
        with written_atomically(stem.with_name(f"latent_{stem.name}_{label}.npy")) as temporary:
            temporary.write_bytes(content.getvalue())


def write_pictures(photo: AgedPhoto, path: Path, labels: Sequence[str], folder: Path, stem: Path) -> None:
    """Writes the strip, the inversion, and the single pictures with a copy of the input."""
    singles, inversion = folder / "single_img", photo.name.with_name(f"inversion_{photo.name.name}")
    with written_atomically(singles / photo.name.with_name(path.name)) as temporary:
        shutil.copyfile(path, temporary)
    for label, result in zip(labels, photo.results, strict=True):
        picture = photo.picture(result)
        photo.save(picture, singles / stem.with_name(f"{stem.name}_{label}.jpg"))
    photo.save(picture, singles / inversion)
    shown = photo.for_sheet()
    first = (
        shown.original()
        if shown.photo
        else open_rgb(path).resize((shown.face.shape[-1],) * 2, Image.Resampling.BICUBIC)
    )
    pictures = shown.pictures()
    shown.save(tile([[first, pictures[-1]]], GAP), folder / inversion)
    shown.save(tile([[first, *pictures]], GAP), folder / photo.name)


def copy_options(model_path: str, folder: Path) -> None:
    """Copies ``opt.json`` of the run that made the checkpoint, from beside it or from where it was made."""
    if model_path == model_paths["demo_sam"]:
        return
    made_in = (load_checkpoint(model_path).get("opts") or {}).get("exp_dir")
    places = [Path(model_path).parent.parent, *([Path(made_in)] if made_in else [])]
    for place in places:
        if (place / "opt.json").is_file():
            with written_atomically(folder / "opt.json") as temporary:
                shutil.copyfile(place / "opt.json", temporary)
            return
    print(f"note: no opt.json in {' or '.join(map(str, places))}", file=sys.stderr)


if __name__ == "__main__":
    run_command(main)
