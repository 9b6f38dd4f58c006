"""Labelled faces with masks of the face region: from landmarks, which are kept in a file, or from files."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from datasets.faces import FaceFolder, Item
from datasets.labels import LabelledFaces, names_in
from utils.errors import InputError
from utils.faces.masks import aligned_landmarks, as_tensor, landmark_mask
from utils.files.checkpoints import load_checkpoint, save_checkpoint
from utils.notes import listed
from utils.pictures.reading import read_pixels

KIND = "face_landmarks"
_BAR_FROM = 500  # pictures
MaskOf = Callable[[int], np.ndarray]


class MaskedFaces(LabelledFaces):
    """As :class:`LabelledFaces`; samples and batches also have ``mask``, float32 (B, 1, S, S) in [0, 1].

    Attributes:
        mask_of: gives the mask, uint8 (S, S), of a picture by its number; None for no ``mask`` at all.
    """

    mask_of: MaskOf | None = None

    def __getitem__(self, item: Item) -> dict[str, Any]:
        sample = super().__getitem__(item)
        masks = self._masks([sample["index"]], [sample["flip"]])
        return sample if masks is None else {**sample, "mask": masks[0]}

    def batch(self, items: Sequence[Item]) -> dict[str, Tensor]:
        """As in :class:`LabelledFaces`, with ``mask``."""
        batch = super().batch(items)
        masks = self._masks(batch["index"].tolist(), batch["flip"].tolist())
        return batch if masks is None else {**batch, "mask": masks}

    def _masks(self, numbers: Sequence[int], flips: Sequence[bool]) -> Tensor | None:
        if self.mask_of is None:
            return None
        masks = [self.mask_of(number) for number in numbers]
        turned = [mask[:, ::-1] if flip else mask for mask, flip in zip(masks, flips, strict=True)]
        return as_tensor(np.stack(turned))


def landmark_masks(landmarks: Tensor, size: int) -> MaskOf:
    """Masks of the outlines of faces by their landmarks (N, 68, 2) in fractions of the side."""
    points = landmarks.numpy()
    return lambda number: landmark_mask(points[number], size)


def landmarks_of(faces: FaceFolder, crop: str, cache: Path, pictures: Mapping[str, Any]) -> Tensor:
    """Landmarks (N, 68, 2) of all faces of a folder, found once and kept in a file.

    Args:
        faces: aligned.
        crop: how they were cut, a key of ``utils.faces.alignment.CROPS``.
        cache: the file.
        pictures: what tells these pictures from others; a file of others is written anew.

    Raises:
        InputError: dlib is missing, or the file cannot be written.
    """
    wanted = {"kind": KIND, "crop": crop, "pictures": dict(pictures)}
    if cache.is_file():
        known = load_checkpoint(cache)
        landmarks = known.get("landmarks")
        same = all(known.get(name) == value for name, value in wanted.items())
        if same and isinstance(landmarks, Tensor) and landmarks.shape == (len(faces), 68, 2):
            return landmarks
    quiet = len(faces) < _BAR_FROM
    bar = tqdm(faces.paths, "landmarks", leave=False, disable=quiet, unit="picture")
    found = np.stack([aligned_landmarks(read_pixels(path), crop) for path in bar])
    landmarks = torch.from_numpy(found).float()
    save_checkpoint({**wanted, "landmarks": landmarks}, cache)
    return landmarks


def file_masks(faces: FaceFolder, folder: str | Path) -> MaskOf:
    """Masks from a folder that has a ``.png`` for each face, under the same name: white is the face.

    Raises:
        InputError: some are missing; later, one that cannot be read.
    """
    root, size = Path(folder), faces.size
    paths = [(root / name).with_suffix(".png") for name in names_in(faces.folder, faces.paths)]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(paths)} masks are missing in {root}: {listed(missing[:3])}; give each "
            "face a mask of its name with .png, or use --masks=landmarks"
        )
    return lambda number: read_pixels(paths[number], size)[..., 0]
