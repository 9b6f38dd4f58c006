"""One photo's way through the target ages as a file: looping GIF, MP4 film, or grid."""

from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from inference.run import AgedPhoto, InferenceRun
from utils.pictures.animation import labelled_grid, there_and_back, write_gif, write_mp4
from utils.pictures.sheets import fit
from utils.pictures.writing import save_pil

SIDES = {"gif": 512, "mp4": 1024, "grid": 512}  # longest side of a frame or cell in pixels
SUFFIXES = {"gif": ".gif", "mp4": ".mp4", "grid": ".png"}


def frame_ages(targets: torch.Tensor, count: int) -> list[float]:
    """``count`` ages on the way from target age to target age, in their order."""
    positions = np.linspace(0, len(targets) - 1, count)
    return np.interp(positions, np.arange(len(targets)), targets.numpy()).tolist()


def write_sweep(run: InferenceRun, photo: AgedPhoto, stem: Path, kind: str, count: int) -> None:
    """Writes the sweep of one photo.

    Args:
        run: renders the ages between the target ages.
        photo: with its results.
        stem: path of the file without suffix.
        kind: a key of :data:`SIDES`.
        count: frames of a film from the first to the last target age.
    """
    path, side = stem.with_name(stem.name + SUFFIXES[kind]), SIDES[kind]
    shown = photo.for_sheet(side)
    if kind == "grid":
        labels = [
            f"{age:.0f} ({target.label})" if target.relative else f"{age:.3g}"
            for age, target in zip(photo.ages.tolist(), run.targets, strict=True)
        ]
        pictures = [fit(picture, side) for picture in (shown.original(), *shown.pictures())]
        save_pil(labelled_grid(pictures, ["input", *labels]), path)
        return
    faces = run.faces(photo.image, frame_ages(photo.ages, count))
    bar = tqdm(faces, desc=f"film of {photo.name}", total=count, unit="frame", leave=False)
    frames = there_and_back([fit(shown.picture(face), side) for face in bar])
    (write_gif if kind == "gif" else write_mp4)(frames, path)
