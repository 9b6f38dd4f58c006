"""Parts of aligned faces as fractions of the picture, so that one rule serves every image size."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class FractionalCrop:
    """A rectangle in fractions of height (top, bottom) and width (left, right)."""

    top: float
    bottom: float
    left: float
    right: float

    def __post_init__(self) -> None:
        """Raises ``ValueError`` for an empty rectangle or one that leaves the picture."""
        if not (0 <= self.top < self.bottom <= 1 and 0 <= self.left < self.right <= 1):
            raise ValueError(f"not a rectangle inside the unit square: {self}")

    def __call__(self, images: Tensor) -> Tensor:
        """Cuts the rectangle out of ``(..., H, W)``; edges are rounded to whole pixels."""
        height, width = images.shape[-2:]
        rows = slice(round(self.top * height), round(self.bottom * height))
        columns = slice(round(self.left * width), round(self.right * width))
        return images[..., rows, columns]

    def edges(self) -> list[float]:
        """Top, bottom, left and right, as files record them."""
        return [self.top, self.bottom, self.left, self.right]


# Rows 35..222 and columns 32..219 of a 256-pixel aligned face: the face without hair and background.
FACE_CROP = FractionalCrop(35 / 256, 223 / 256, 32 / 256, 220 / 256)
# Where the tight square (s 0.58, k 0.5) of a typical face lies in its FFHQ square (s 1, k 0.1). Eyes and
# mouth are a quarter of the FFHQ side apart.
TIGHT_IN_FFHQ = FractionalCrop(0.31, 0.89, 0.21, 0.79)
