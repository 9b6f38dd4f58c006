"""Cuts the accepted faces out of their photos, enhanced if wished, into a cache under what they depend on."""

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from datasets.personal.verdicts import Verdict
from utils.errors import InputError
from utils.faces.alignment import CROPS, Crop, align_face, face_square, warp_square
from utils.parallel import parallel_map
from utils.pictures.reading import open_rgb, read_pixels
from utils.pictures.tensors import to_float, to_pil
from utils.pictures.writing import save_pil


class FaceRestorer(Protocol):
    """What enhancement needs of a network, see ``models.restorer.Restorer``."""

    def input_size(self, side: float) -> int:
        """Side in pixels of the crop to take of a square that is ``side`` pixels wide in the photo."""
        ...

    def __call__(self, image: Tensor) -> Tensor:
        """Enhances one picture (1, 3, S, S) in [-1, 1] to (1, 3, R, R)."""
        ...


@dataclass(frozen=True)
class FaceFormat:
    """What is made of every accepted face.

    Attributes:
        size: side in pixels.
        crop: constants of the square.
        restorer: enhances the faces before they are cut to size, or None.
        weights_sha256: checksum of the restorer's weights, by which the cache tells its faces from others.
    """

    size: int
    crop: Crop
    restorer: FaceRestorer | None = None
    weights_sha256: str = ""


def face_key(verdict: Verdict, form: FaceFormat) -> str:
    """Names the aligned face: a checksum of all that it depends on."""
    points = np.round(verdict.measure.landmarks, 3).tolist()
    crop = form.crop
    parts = [verdict.photo.sha256, points, form.size, crop.s, crop.k, crop.fade, form.weights_sha256]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def enhance_face(
    pixels: np.ndarray, landmarks: np.ndarray, restorer: FaceRestorer, fade: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Enhances the FFHQ square about a face, the view that face restorers were trained on.

    Args:
        pixels: the photo, uint8 RGB (H, W, 3).
        landmarks: (68, 2) in pixels.
        restorer: the network.
        fade: treat what lies beyond the photo as FFHQ does.

    Returns:
        the enhanced square, uint8 (R, R, 3), and the landmarks in it.
    """
    square = face_square(landmarks, CROPS["ffhq"].s, CROPS["ffhq"].k)
    across, down = square[3] - square[0], square[1] - square[0]
    side = float(np.hypot(*across))
    crop = warp_square(pixels, square, restorer.input_size(side), fade)
    image = to_float(torch.from_numpy(crop.copy()).permute(2, 0, 1))[None]
    enhanced = np.asarray(to_pil(restorer(image)))
    share = (landmarks - square[0]) @ np.stack([across, down], axis=1) / side**2
    return enhanced, share * enhanced.shape[0] - 0.5


def make_face(job: tuple[Verdict, Path], form: FaceFormat) -> None:
    """Writes one aligned face unless its file is there and sound.

    Raises:
        InputError: the photo vanished, or the file cannot be written.
    """
    verdict, path = job
    with contextlib.suppress(InputError):
        if open_rgb(path).size == (form.size, form.size):
            return
    pixels, landmarks, crop = read_pixels(verdict.photo.path), verdict.measure.landmarks, form.crop
    if form.restorer is not None:
        pixels, landmarks = enhance_face(pixels, landmarks, form.restorer, crop.fade)
        crop = Crop(crop.s, crop.k)  # what lay beyond the photo is in the enhanced picture
    save_pil(Image.fromarray(align_face(pixels, landmarks, form.size, crop)), path)


def cut_faces(verdicts: Sequence[Verdict], form: FaceFormat, cache: Path, workers: int) -> dict[str, Path]:
    """Writes the aligned faces of the accepted photos; a bar shows how far it is.

    Args:
        verdicts: on all photos.
        form: what is made of each face.
        cache: folder of the faces; those that are there are kept.
        workers: processes; with a restorer it is this one alone.

    Returns:
        name of each accepted photo -> file of its face.

    Raises:
        InputError: a photo vanished, or a file cannot be written.
    """
    jobs = [(verdict, cache / f"{face_key(verdict, form)}.png") for verdict in verdicts if verdict.accepted]
    done = parallel_map(partial(make_face, form=form), jobs, 1 if form.restorer is not None else workers)
    what = "aligning" if form.restorer is None else "enhancing"
    for _ in tqdm(done, what, len(jobs), unit="face", disable=not jobs):
        pass
    return {verdict.photo.name: path for verdict, path in jobs}
