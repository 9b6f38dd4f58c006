"""Cuts the accepted faces out of their photos, enhanced if wished, into a cache under what they depend on."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datasets.personal.verdicts import Verdict
from utils.faces.alignment import CROPS, Crop, align_face, face_square, warp_square
from utils.parallel import parallel_map
from utils.pictures.reading import read_pixels
from utils.pictures.tensors import to_float, to_pil
from utils.pictures.writing import save_pil


class FaceRestorer(Protocol):
    """What enhancement needs of a network, see ``models.restorer.Restorer``."""

    def input_size(self, side: float) -> int: ...

    def __call__(self, image: Tensor) -> Tensor: ...


def face_key(verdict: Verdict, size: int, crop: Crop, weights_sha256: str) -> str:
    """Names the aligned face: a checksum of all that it depends on."""
    points = np.round(verdict.measure.landmarks, 3).tolist()
    parts = [verdict.photo.sha256, points, size, crop.s, crop.k, crop.fade, weights_sha256]
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


def make_face(job: tuple[Verdict, Path], size: int, crop: Crop, restorer: FaceRestorer | None = None) -> None:
    """Writes one aligned face unless its file is there."""
    verdict, path = job
    if path.is_file():
        return
    pixels, landmarks = read_pixels(verdict.photo.path), verdict.measure.landmarks
    if restorer is not None:
        pixels, landmarks = enhance_face(pixels, landmarks, restorer, crop.fade)
        crop = Crop(crop.s, crop.k)  # what lay beyond the photo is in the enhanced picture
    save_pil(Image.fromarray(align_face(pixels, landmarks, size, crop)), path)


def make_faces(
    jobs: Sequence[tuple[Verdict, Path]],
    size: int,
    crop: Crop,
    workers: int,
    restorer: FaceRestorer | None = None,
) -> Iterator[None]:
    """Writes the aligned faces, yielding after each; with a restorer in this process alone.

    Raises:
        InputError: a photo vanished, or a file cannot be written.
    """
    work: Callable[[tuple[Verdict, Path]], None] = partial(make_face, size=size, crop=crop, restorer=restorer)
    return parallel_map(work, jobs, 1 if restorer is not None else workers)
