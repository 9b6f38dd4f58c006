"""The life span of every photo of a folder, personalised or global (MyTimeMachine's `helper.py`)."""

import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from configs.paths_config import model_paths
from inference.aged_photo import AgedPhoto
from inference.loading import given_codes, load_as_it_is, replace_drifted_encoder, with_codes
from inference.run import InferenceRun
from models.aging_model import HasAdapter, LatentModel
from models.kinds import KINDS
from options.ageing_options import SINGLES
from options.lifespan_options import LifespanOptions
from utils.distributed import is_main
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint
from utils.files.writing import written_atomically
from utils.notes import note
from utils.pictures.archives import open_file
from utils.pictures.reading import open_rgb
from utils.pictures.sheets import tile
from utils.pictures.writing import save_pil

OPTIONS_FILE = "opt.json"
GAP = 2  # pixels around each picture of a strip, as officially


def write_life_spans(run: InferenceRun[LatentModel], opts: LifespanOptions) -> None:
    """Writes strips, latent codes, single pictures and ``opt.json`` to the folder of the results.

    Raises:
        InputError: not one photo can be used, or a file cannot be written.
    """
    folder = opts.folder

    def files(name: Path, stem: Path, path: Path) -> list[Path]:
        top = [name, inversion_name(name), *(latent_name(stem, label) for label in run.labels)]
        singles = [
            copy_name(name, path),
            inversion_name(name),
            *(single_name(stem, label) for label in run.labels),
        ]
        return [folder / file for file in top] + [folder / SINGLES / file for file in singles]

    run.will_write(files, [folder / OPTIONS_FILE], official_stems=True)
    with run.background:
        for batch, ages in run.batches():
            codes = run.model.codes(batch.images.to(run.device), ages.to(run.device))
            for index, rows in enumerate(batch.faces):
                with torch.inference_mode():
                    photo = run.show(batch, index, ages[rows], run.model.render(codes[rows]))
                latents = codes[rows].float().cpu().numpy()
                run.write(photo.path, partial(write_latents, latents, run.labels, folder / photo.stem), 0)
                write_pictures(run, photo, folder)
    if is_main():
        copy_training_options(opts.checkpoint, folder)
    run.report(folder)


def load_chosen_model(opts: LifespanOptions) -> LatentModel:
    """Loads the model; without ``--blender`` the global one inside a personalised file, as officially.

    Raises:
        InputError: ``--blender`` was given and the model has no adapter, or it cannot be used at all.
    """
    model = with_codes(load_as_it_is(opts), opts.checkpoint)
    if opts.blender and opts.global_checkpoint is None:
        replace_drifted_encoder(model, opts.checkpoint)
    if opts.blender and not isinstance(model, HasAdapter):
        raise InputError(
            f"--blender needs a personalised checkpoint; {opts.checkpoint} is {KINDS[model.kind].title}"
        )
    if not opts.blender and isinstance(model, HasAdapter):
        model.switch_off_adapter()
        note(f"without --blender the personalisation in {opts.checkpoint} is left out")
    return with_codes(given_codes(model, opts), opts.checkpoint)


def inversion_name(name: Path) -> Path:
    """What the inversion of a photo is called."""
    return name.with_name(f"inversion_{name.name}")


def latent_name(stem: Path, label: str) -> Path:
    """What the codes of a photo at one age are called."""
    return stem.with_name(f"latent_{stem.name}_{label}.npy")


def single_name(stem: Path, label: str) -> Path:
    """What the single picture of a photo at one age is called."""
    return stem.with_name(f"{stem.name}_{label}.jpg")


def copy_name(name: Path, path: Path) -> Path:
    """What the copy of a photo is called, whose format may be one that results are not written in."""
    bare = name if name.suffix.lower() == path.suffix.lower() else name.with_suffix("")
    return bare if bare.suffix.lower() == path.suffix.lower() else bare.with_name(bare.name + path.suffix)


def write_latents(codes: np.ndarray, labels: Sequence[str], stem: Path) -> None:
    """Writes ``latent_STEM_AGE.npy``, (F, n_styles, style_dim), for codes (F, A, n_styles, style_dim)."""
    for label, code in zip(labels, codes.swapaxes(0, 1), strict=True):
        with written_atomically(latent_name(stem, label)) as temporary:
            np.save(temporary, code)


def write_pictures(run: InferenceRun[LatentModel], photo: AgedPhoto, folder: Path) -> None:
    """Has the strip, the inversion, and the single pictures with a copy of the input written.

    Args:
        run: writes, see :meth:`InferenceRun.write`.
        photo: with its results.
        folder: of all results.
    """
    singles, ages = folder / SINGLES, photo.results.unbind(1)
    names = [*(single_name(photo.stem, label) for label in run.labels), inversion_name(photo.name)]
    run.write(photo.path, partial(_copy, photo.path, singles / copy_name(photo.name, photo.path)), 0)
    for faces, name in zip((*ages, ages[-1]), names, strict=True):
        run.write(photo.path, partial(photo.save, faces, singles / name), faces.nbytes)
    run.write(photo.path, partial(write_strips, photo, folder), photo.results.nbytes)


def write_strips(photo: AgedPhoto, folder: Path) -> None:
    """Writes the input beside its inversion, and beside all ages."""
    shown = photo.for_sheet()
    first = (
        shown.original()
        if shown.photo
        else open_rgb(photo.path).resize((shown.faces.shape[-1],) * 2, Image.Resampling.BICUBIC)
    )
    reduced = shown.pictures()
    save_pil(tile([[first, reduced[-1]]], GAP), folder / inversion_name(photo.name))
    save_pil(tile([[first, *reduced]], GAP), folder / photo.name)


def copy_training_options(checkpoint: str, folder: Path) -> None:
    """Copies ``opt.json`` of the run that made the checkpoint, from beside it or from where it was made."""
    if checkpoint == model_paths["demo_sam"]:
        return
    searched = []
    for place in _run_folders(checkpoint):
        if (place / OPTIONS_FILE).is_file():
            _copy(place / OPTIONS_FILE, folder / OPTIONS_FILE)
            return
        searched.append(str(place))
    note(f"no {OPTIONS_FILE} in {' or '.join(searched)}")


def _run_folders(checkpoint: str) -> Iterator[Path]:
    """Where the run of a checkpoint may lie: about the file, and where the file says it was made."""
    yield Path(checkpoint).parent.parent
    made_in = (load_checkpoint(checkpoint).get("opts") or {}).get("exp_dir")
    if made_in:
        yield Path(made_in)


def _copy(source: Path, target: Path) -> None:
    with written_atomically(target) as temporary, open_file(source) as read, temporary.open("wb") as write:
        shutil.copyfileobj(read, write)
