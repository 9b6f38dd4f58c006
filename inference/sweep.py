"""One photo's way through the target ages as a file: looping GIF, MP4 film, or grid."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from inference.aged_photo import AgedPhoto
from inference.run import InferenceRun
from models.aging_model import AgingModel
from utils.distributed import is_main
from utils.pictures.animation import labelled_grid, there_and_back, write_gif, write_mp4
from utils.pictures.sheets import fit
from utils.pictures.writing import save_pil

GRID_SIDE, FILM_SIDES = 512, {"gif": 512, "mp4": 1024}  # pixels of the longer side of a cell or frame


def sweep_file(stem: Path, kind: str) -> Path:
    """The file of a sweep: of a grid a PNG."""
    return stem.with_name(f"{stem.name}.{'png' if kind == 'grid' else kind}")


def write_sweep(run: InferenceRun[AgingModel], photo: AgedPhoto, stem: Path, kind: str, count: int) -> None:
    """Makes the sweep of one photo, and has it written while the next one is computed.

    Args:
        run: renders the ages between the target ages.
        photo: with its results.
        stem: path of the file without suffix.
        kind: ``grid``, ``gif`` or ``mp4``.
        count: frames of a film from the first to the last target age.

    Raises:
        InputError: the photo cannot be read any more.
    """
    file = sweep_file(stem, kind)
    if kind == "grid":
        run.write(photo.path, lambda: save_pil(age_grid(run, photo), file), photo.results.nbytes)
        return
    frames = film(run, photo, count, FILM_SIDES[kind])
    encode = write_gif if kind == "gif" else write_mp4
    run.write(photo.path, partial(encode, frames, file), 3 * count * math.prod(frames[0].size))


def age_grid(run: InferenceRun[AgingModel], photo: AgedPhoto) -> Image.Image:
    """The input and the target ages, each with its age below; of several faces all ages."""
    shown = photo.for_sheet(GRID_SIDE)
    labels = [
        ", ".join(f"{age:.0f}" for age in ages) + f" ({target.label})"
        if target.relative
        else ", ".join(dict.fromkeys(f"{age:.3g}" for age in ages))
        for ages, target in zip(photo.ages.T.tolist(), run.targets, strict=True)
    ]
    pictures = [fit(picture, GRID_SIDE) for picture in (shown.original(), *shown.pictures())]
    return labelled_grid(pictures, ["input", *labels])


def film(run: InferenceRun[AgingModel], photo: AgedPhoto, count: int, side: int) -> list[Image.Image]:
    """Frames of at most ``side`` pixels: ``count`` ages from the first to the last target age, and back."""
    shown = photo.for_sheet(side)
    rendered = [
        run.faces(image, frame_ages(ages, count))
        for image, ages in zip(photo.images, photo.ages, strict=True)
    ]
    pictures = zip(*rendered, strict=True)
    what = f"film of {photo.name}"
    bar = tqdm(pictures, what, count, unit="frame", leave=False, disable=not is_main())
    return there_and_back([fit(shown.picture(torch.stack(faces)), side) for faces in bar])


def frame_ages(targets: Tensor, count: int) -> list[float]:
    """``count`` ages on the way from target age to target age, in their order."""
    positions = np.linspace(0, len(targets) - 1, count)
    return np.interp(positions, np.arange(len(targets)), targets.numpy()).tolist()
