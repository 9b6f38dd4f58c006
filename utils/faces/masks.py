"""Masks of faces in aligned pictures: 1 on the face, 0 beside it, feathered in between.

A method that changes the face alone lays its picture over the input with them; where a mask is 0, the input
stays to the bit.
"""

import cv2
import numpy as np
import torch
from torch import Tensor

from utils.errors import InputError
from utils.faces.alignment import landmarks_in
from utils.notes import note
from utils.pictures.tensors import to_uint8

# Where the detector's box lies in an aligned square, left, top, right, bottom in fractions of its side: the
# median of 145 faces. Landmarks from this box differ from those of the detector's own by 1.1% of the side.
FACE_BOXES = {"tight": (-0.055, 0.059, 0.953, 0.953), "ffhq": (0.178, 0.344, 0.763, 0.863)}
_SEEN_AT = 256  # pixels at which landmarks are looked for
_FOREHEAD = 0.4  # from the brows upwards, as a fraction of the way from the chin to the brows
_FEATHER = 0.25  # width in which a mask rises to 1, as a fraction of the distance of the eyes
_SUBPIXEL = 4  # bits of the corners of a hull


def aligned_landmarks(pixels: np.ndarray, crop: str) -> np.ndarray:
    """Landmarks (68, 2) of an aligned face in fractions of its side, x and y.

    The detector is not asked: where the face lies is known.

    Args:
        pixels: uint8 RGB (S, S, 3).
        crop: how it was cut, a key of ``utils.faces.alignment.CROPS``.

    Raises:
        InputError: dlib or its landmark file is missing.
    """
    seen = cv2.resize(pixels, (_SEEN_AT, _SEEN_AT), interpolation=cv2.INTER_CUBIC)
    box = np.array(FACE_BOXES[crop]) * _SEEN_AT
    return (landmarks_in(seen, box) + 0.5) / _SEEN_AT


def landmark_mask(landmarks: np.ndarray, size: int) -> np.ndarray:
    """The mask, uint8 (size, size), of the hull of landmarks (68, 2) in fractions, with the forehead."""
    brows = landmarks[17:27]
    forehead = brows + _FOREHEAD * (brows.mean(0) - landmarks[8])
    hull = cv2.convexHull(np.concatenate([landmarks, forehead]).astype(np.float32))[:, 0]
    corners = np.rint((hull * size - 0.5) * 2**_SUBPIXEL).astype(np.int32)
    inside = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(inside, corners, 255, shift=_SUBPIXEL)
    eyes = landmarks[42:48].mean(0) - landmarks[36:42].mean(0)
    return _feathered(inside, _FEATHER * float(np.hypot(*eyes)) * size)


def oval_mask(crop: str, size: int) -> np.ndarray:
    """The mask, uint8 (size, size), of where a face lies in any aligned square."""
    left, top, right, bottom = FACE_BOXES[crop]
    top -= 0.5 * _FOREHEAD * (bottom - top)
    steps = (np.arange(size) + 0.5) / size
    x = (steps - (left + right) / 2) / ((right - left) / 2)
    y = (steps - (top + bottom) / 2) / ((bottom - top) / 2)
    inside = (np.hypot(x[None, :], y[:, None]) < 1).astype(np.uint8)
    return _feathered(255 * inside, 0.5 * _FEATHER * (right - left) * size)


def _feathered(inside: np.ndarray, width: float) -> np.ndarray:
    """Rises smoothly from 0 at the border of an area to 255 that many pixels inside it.

    At the border of the picture it does not fall.
    """
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    ramp = np.clip(depth / max(width, 1.0), 0, 1)
    return np.rint(255 * ramp * ramp * (3 - 2 * ramp)).astype(np.uint8)


def as_tensor(masks: np.ndarray) -> Tensor:
    """Masks, uint8 (B, S, S), as float32 (B, 1, S, S) in [0, 1]."""
    return torch.from_numpy(masks)[:, None].float() / 255


def face_only(images: Tensor, masks: Tensor | None) -> Tensor:
    """Pictures (B, 3, S, S) that are grey where masks (B, 1, S, S) are 0; without masks as they are."""
    return images if masks is None else torch.where(masks > 0, images, 0)


def blended(inputs: Tensor, pictures: Tensor, masks: Tensor | None) -> Tensor:
    """Pictures (..., 3, S, S) on the face, the inputs beside it; without masks the pictures alone."""
    return pictures if masks is None else torch.lerp(inputs, pictures, masks)


class FaceMasks:
    """Makes masks of aligned faces; without dlib an oval, which is said once.

    Args:
        crop: how the faces are cut.
    """

    def __init__(self, crop: str) -> None:
        self.crop = crop
        self._oval = False

    def __call__(self, images: Tensor, size: int) -> Tensor:
        """Masks (B, 1, size, size), on the device of faces (B, 3, S, S) in [-1, 1]."""
        faces = to_uint8(images).permute(0, 2, 3, 1).cpu().contiguous().numpy()
        return as_tensor(np.stack([self._mask(face, size) for face in faces])).to(images.device)

    def _mask(self, pixels: np.ndarray, size: int) -> np.ndarray:
        if not self._oval:
            try:
                return landmark_mask(aligned_landmarks(pixels, self.crop), size)
            except InputError as error:
                note(f"the face is masked by an oval, not by its outline: {error}")
                self._oval = True
        return oval_mask(self.crop, size)
