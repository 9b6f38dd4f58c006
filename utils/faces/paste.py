"""Puts pictures of aligned faces back into the photo they were cut from: the inverse of the alignment.

The seam is feathered; every pixel outside the square stays bit for bit as it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from utils.pictures.originals import Original
from utils.pictures.sheets import fit

FEATHER = 0.35  # of half the side: the width in which the pasted face fades out
ROUNDNESS = 2.5  # exponent of the superellipse that bounds the mask: 2 is a circle, more is squarer
_CONTEST = 4  # exponent: how sharply two squares that overlap part what they share


@dataclass(frozen=True)
class FacePhoto:
    """An upright photo and where its faces are.

    Attributes:
        pixels: uint8 sRGB (H, W, 3).
        squares: corners (4, 2) of each aligned square, see ``utils.faces.alignment.face_square``.
        original: the photo in the values of its file, for the files that are made of it.
        masks: where the picture of each face may change, uint8 (R, R); None for everywhere.
    """

    pixels: np.ndarray
    squares: Sequence[np.ndarray]
    original: Original | None = None
    masks: Sequence[np.ndarray] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.pixels.shape[:2]
        return width, height

    def reduced(self, side: int) -> "FacePhoto":
        """The photo with at most ``side`` pixels on its longer side, for sheets: without its original."""
        smaller = fit(Image.fromarray(self.pixels), side)
        if smaller.size == self.size:
            return self
        zoom = np.array(smaller.size) / self.size
        squares = [(square + 0.5) * zoom - 0.5 for square in self.squares]
        return FacePhoto(np.asarray(smaller), squares, masks=self.masks)

    def with_faces(self, faces: Sequence[np.ndarray]) -> Image.Image:
        """The photo in sRGB with other pictures of its aligned faces, each uint8 RGB (R, R, 3)."""
        fitted = [fit_square(face, square) for face, square in zip(faces, self.squares, strict=True)]
        return Image.fromarray(paste_squares(self.pixels, self.squares, fitted, masks=self.masks))

    def original_with(self, faces: Sequence[np.ndarray]) -> np.ndarray:
        """The values of :attr:`original`, outside the faces to the bit, with other pictures of the faces.

        Args:
            faces: each uint8 sRGB (R, R, 3).
        """
        assert self.original is not None
        own = [
            self.original.in_own_colours(fit_square(face, square))
            for face, square in zip(faces, self.squares, strict=True)
        ]
        return paste_squares(self.original.values, self.squares, own, self.original.opacity, self.masks)


def fit_square(picture: np.ndarray, square: np.ndarray) -> np.ndarray:
    """Reduces a picture, uint8 RGB (R, R, 3), that is larger than the square it will be laid over."""
    samples = max(1, round(float(np.hypot(*(square[3] - square[0])))))
    if samples >= picture.shape[0]:
        return picture
    return np.asarray(Image.fromarray(picture).resize((samples, samples), Image.Resampling.LANCZOS))


def paste_square(pixels: np.ndarray, square: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Lays one picture, uint8 RGB (R, R, 3), over the square of a photo; see :func:`paste_squares`."""
    return paste_squares(pixels, [square], [fit_square(picture, square)])


def paste_squares(
    values: np.ndarray,
    squares: Sequence[np.ndarray],
    pictures: Sequence[np.ndarray],
    opacity: np.ndarray | None = None,
    masks: Sequence[np.ndarray] | None = None,
) -> np.ndarray:
    """Lays pictures over the squares of a photo that ``utils.faces.alignment.warp_square`` would cut out.

    Where squares overlap, each picture counts the more the nearer its middle is.

    Args:
        values: (H, W) or (H, W, C), uint8 or uint16, the photo; channels beyond those of the pictures stay.
        squares: corners (4, 2) of each: top left, bottom left, bottom right, top right.
        pictures: (R, R, C) of the same type, a square each.
        opacity: (H, W); where the photo is transparent it stays as it is.
        masks: uint8 (R, R), one a square; where they are 0 the photo stays as it is.

    Returns:
        A copy.
    """
    result = values.copy()
    for number, (square, picture) in enumerate(zip(squares, pictures, strict=True)):
        area = _Area.around(square, values.shape)
        if area is None:
            continue
        inside = (slice(area.top, area.bottom), slice(area.left, area.right))
        radius = area.radius(square)
        weight = _feathered(radius)
        others = [area.radius(other) for other in (*squares[:number], *squares[number + 1 :])]
        rivals = sum(((1 - other).clip(0) ** _CONTEST for other in others), np.float32(0))
        if np.any(rivals):
            own = (1 - radius).clip(0) ** _CONTEST
            weight *= own / np.maximum(own + rivals, np.float32(1e-12))
        if opacity is not None:
            weight *= opacity[inside] / np.float32(np.iinfo(opacity.dtype).max)
        if masks is not None:
            weight *= area.warped(masks[number], square)[..., 0].clip(0, 255) / 255
        face = area.warped(picture, square)
        part = result[inside].reshape(*weight.shape, -1)[..., : face.shape[2]]
        base = values[inside].reshape(*weight.shape, -1)[..., : face.shape[2]]
        mixed = part + weight[:, :, None] * (face - base)
        changed = np.clip(np.rint(mixed), 0, np.iinfo(values.dtype).max).astype(values.dtype)
        part[weight > 0] = changed[weight > 0]
        result[inside].reshape(*weight.shape, -1)[..., : face.shape[2]] = part
    return result


@dataclass(frozen=True)
class _Area:
    """The part of a photo that a square covers, in whole pixels."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def around(cls, square: np.ndarray, shape: tuple[int, ...]) -> "_Area | None":
        height, width = shape[:2]
        left, top = np.clip(np.floor(square.min(0)).astype(int), 0, [width, height]).tolist()
        right, bottom = np.clip(np.ceil(square.max(0)).astype(int) + 1, 0, [width, height]).tolist()
        return None if left >= right or top >= bottom else cls(left, top, right, bottom)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top

    def warped(self, picture: np.ndarray, square: np.ndarray) -> np.ndarray:
        """The picture (R, R, C) as it lies in the area, float32 (H, W, C)."""
        face = cv2.warpAffine(
            picture.astype(np.float32),
            _into_picture(square - [self.left, self.top], picture.shape[0]),
            self.size,
            flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return face.reshape(self.size[1], self.size[0], -1)

    def radius(self, square: np.ndarray) -> np.ndarray:
        """Float32 (H, W): 0 in the middle of a square, 1 where its picture has faded out."""
        matrix = _into_picture(square - [self.left, self.top], 2)
        x, y = np.meshgrid(*(np.arange(side, dtype=np.float32) for side in self.size))
        u, v = (np.abs(row[0] * x + row[1] * y + row[2] - 0.5) for row in matrix.astype(np.float32))
        return (u**ROUNDNESS + v**ROUNDNESS) ** (1 / ROUNDNESS)


def _into_picture(square: np.ndarray, size: int) -> np.ndarray:
    """The affine map (2, 3) from photo pixels to pixels of a picture of ``size`` that covers the square."""
    across, down = (square[3] - square[0]) / size, (square[1] - square[0]) / size
    first = square[0] + 0.5 * (across + down)
    inverse = np.linalg.inv(np.stack([across, down], axis=1))
    return np.concatenate([inverse, -(inverse @ first)[:, None]], axis=1)


def _feathered(radius: np.ndarray) -> np.ndarray:
    """Weights of a pasted picture: 1 inside, 0 from the border of the square on."""
    ramp = np.clip((1 - radius) / FEATHER, 0, 1)
    return ramp * ramp * (3 - 2 * ramp)
