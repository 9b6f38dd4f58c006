"""Puts a picture of an aligned face back into the photo it was cut from: the inverse of the alignment.

The seam is feathered; every pixel outside the square stays bit for bit as it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from PIL import Image

from utils.pictures.sheets import fit

FEATHER = 0.35  # of half the side: the width in which the pasted face fades out
ROUNDNESS = 2.5  # exponent of the superellipse that bounds the mask: 2 is a circle, more is squarer


@dataclass(frozen=True)
class FacePhoto:
    """An upright photo and where its face is.

    Attributes:
        pixels: uint8 RGB (H, W, 3).
        square: corners (4, 2) of the aligned square, see ``utils.faces.alignment.face_square``.
        metadata: of ``utils.pictures.reading.open_photo``, for the files that are made of the photo.
    """

    pixels: np.ndarray
    square: np.ndarray
    metadata: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.pixels.shape[:2]
        return width, height

    def reduced(self, side: int) -> "FacePhoto":
        """The photo with at most ``side`` pixels on its longer side."""
        smaller = fit(Image.fromarray(self.pixels), side)
        if smaller.size == self.size:
            return self
        zoom = np.array(smaller.size) / self.size
        return FacePhoto(np.asarray(smaller), (self.square + 0.5) * zoom - 0.5, self.metadata)

    def with_face(self, face: np.ndarray) -> Image.Image:
        """The photo with another picture of its aligned face, uint8 RGB (R, R, 3)."""
        return Image.fromarray(paste_square(self.pixels, self.square, face))


def paste_square(pixels: np.ndarray, square: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Lays a picture over the square of a photo that ``utils.faces.alignment.warp_square`` would cut out.

    Args:
        pixels: uint8 RGB (H, W, 3), the photo.
        square: corners (4, 2): top left, bottom left, bottom right, top right.
        picture: uint8 RGB (R, R, 3).

    Returns:
        uint8 (H, W, 3), a copy.
    """
    result = pixels.copy()
    height, width = pixels.shape[:2]
    left, top = np.clip(np.floor(square.min(0)).astype(int), 0, [width, height])
    right, bottom = np.clip(np.ceil(square.max(0)).astype(int) + 1, 0, [width, height])
    if left >= right or top >= bottom:
        return result
    side = float(np.hypot(*(square[3] - square[0])))
    samples = max(1, round(side))
    if samples < picture.shape[0]:
        smaller = Image.fromarray(picture).resize((samples, samples), Image.Resampling.LANCZOS)
        picture = np.asarray(smaller)
    matrix = _into_picture(square - [left, top], picture.shape[0])
    area = (int(right - left), int(bottom - top))
    face = cv2.warpAffine(
        picture.astype(np.float32),
        matrix,
        area,
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    weight = _feathered_mask(_into_picture(square - [left, top], 2), area)
    part = result[top:bottom, left:right]
    mixed = part + weight[:, :, None] * (face - part)
    part[weight > 0] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)[weight > 0]
    return result


def _into_picture(square: np.ndarray, size: int) -> np.ndarray:
    """The affine map (2, 3) from photo pixels to pixels of a picture of ``size`` that covers the square."""
    across, down = (square[3] - square[0]) / size, (square[1] - square[0]) / size
    first = square[0] + 0.5 * (across + down)
    inverse = np.linalg.inv(np.stack([across, down], axis=1))
    return np.concatenate([inverse, -(inverse @ first)[:, None]], axis=1)


def _feathered_mask(matrix: np.ndarray, area: tuple[int, int]) -> np.ndarray:
    """Weights (H, W) float32 of the pasted picture: 1 inside, 0 from the border of the square on.

    Args:
        matrix: from pixels of the area to a picture of 2 x 2 pixels, whose centre is (0.5, 0.5).
        area: width and height.
    """
    x, y = np.meshgrid(np.arange(area[0], dtype=np.float32), np.arange(area[1], dtype=np.float32))
    u, v = (np.abs(row[0] * x + row[1] * y + row[2] - 0.5) for row in matrix.astype(np.float32))
    radius = (u**ROUNDNESS + v**ROUNDNESS) ** (1 / ROUNDNESS)
    ramp = np.clip((1 - radius) / FEATHER, 0, 1)
    return ramp * ramp * (3 - 2 * ramp)
