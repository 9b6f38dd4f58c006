"""The life span of every photo of a folder, personalised or global (MyTimeMachine's `helper.py`)."""

import io
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from configs.paths_config import model_paths
from datasets.photos import result_stems
from inference.aged_photo import AgedPhoto
from inference.loading import load_as_it_is, load_model, with_styles
from inference.run import InferenceRun
from models.aging_model import HasAdapter, StyleModel
from models.kinds import KINDS
from options.lifespan_options import LifespanOptions
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint
from utils.files.writing import written_atomically
from utils.pictures.reading import open_rgb
from utils.pictures.sheets import tile

GAP = 2  # pixels around each picture of a strip, as officially


def write_life_spans(run: InferenceRun[StyleModel], opts: LifespanOptions) -> None:
    """Writes strips, latent codes, single pictures and ``opt.json`` to the folder of the results.

    Raises:
        InputError: not one photo can be used, or a file cannot be written.
    """
    folder = opts.folder
    stems = dict(zip(run.photos.names, result_stems(run.photos.names, official=True), strict=True))
    for batch, ages in run.batches():
        codes = run.model.codes(batch.images.to(run.device), ages.to(run.device))
        for row, (name, path) in enumerate(zip(batch.names, batch.paths, strict=True)):
            with torch.inference_mode():
                photo = run.show(batch, row, ages[row], run.model.render(codes[row]))
            write_latents(codes[row], run.labels, folder / stems[name])
            write_pictures(photo, path, run.labels, folder, stems[name])
    copy_training_options(opts.checkpoint, folder)
    run.report(folder)


def load_chosen_model(opts: LifespanOptions) -> StyleModel:
    """Loads the model; without ``--blender`` the global one inside a personalised file, as officially.

    Raises:
        InputError: ``--blender`` was given and the model has no adapter, or it cannot be used at all.
    """
    model = with_styles(load_model(opts) if opts.blender else load_as_it_is(opts), opts.checkpoint)
    if opts.blender and not isinstance(model, HasAdapter):
        raise InputError(
            f"--blender needs a personalised checkpoint; {opts.checkpoint} is {KINDS[model.kind].title}"
        )
    if not opts.blender and isinstance(model, HasAdapter):
        note = f"note: without --blender the personalisation in {opts.checkpoint} is left out"
        print(note, file=sys.stderr)
        model.switch_off_adapter()
    return model


def write_latents(codes: Tensor, labels: Sequence[str], stem: Path) -> None:
    """Writes ``latent_STEM_AGE.npy``, (1, n_styles, style_dim), for codes (A, n_styles, style_dim)."""
    for label, code in zip(labels, codes.float().cpu().numpy(), strict=True):
        content = io.BytesIO()
        np.save(content, code[None])
        with written_atomically(stem.with_name(f"latent_{stem.name}_{label}.npy")) as temporary:
            temporary.write_bytes(content.getvalue())


def write_pictures(photo: AgedPhoto, path: Path, labels: Sequence[str], folder: Path, stem: Path) -> None:
    """Writes the strip, the inversion, and the single pictures with a copy of the input.

    Args:
        photo: with its results.
        path: its file.
        labels: of the results.
        folder: of all results.
        stem: names the single pictures, below the folder.
    """
    singles, inversion = folder / "single_img", photo.name.with_name(f"inversion_{photo.name.name}")
    _copy(path, singles / photo.name.with_name(path.name))
    pictures = photo.pictures()
    for label, picture in zip(labels, pictures, strict=True):
        photo.save(picture, singles / stem.with_name(f"{stem.name}_{label}.jpg"))
    photo.save(pictures[-1], singles / inversion)
    shown = photo.for_sheet()
    first = (
        shown.original()
        if shown.photo
        else open_rgb(path).resize((shown.face.shape[-1],) * 2, Image.Resampling.BICUBIC)
    )
    reduced = shown.pictures()
    shown.save(tile([[first, reduced[-1]]], GAP), folder / inversion)
    shown.save(tile([[first, *reduced]], GAP), folder / photo.name)


def copy_training_options(checkpoint: str, folder: Path) -> None:
    """Copies ``opt.json`` of the run that made the checkpoint, from beside it or from where it was made."""
    if checkpoint == model_paths["demo_sam"]:
        return
    searched = []
    for place in _run_folders(checkpoint):
        if (place / "opt.json").is_file():
            _copy(place / "opt.json", folder / "opt.json")
            return
        searched.append(str(place))
    print(f"note: no opt.json in {' or '.join(searched)}", file=sys.stderr)


def _run_folders(checkpoint: str) -> Iterator[Path]:
    """Where the run of a checkpoint may lie: about the file, and where the file says it was made."""
    yield Path(checkpoint).parent.parent
    made_in = (load_checkpoint(checkpoint).get("opts") or {}).get("exp_dir")
    if made_in:
        yield Path(made_in)


def _copy(source: Path, target: Path) -> None:
    with written_atomically(target) as temporary:
        shutil.copyfile(source, temporary)
