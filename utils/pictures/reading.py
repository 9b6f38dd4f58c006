"""Picture files to pixels: upright 8-bit RGB, whatever the file."""

from datetime import date, datetime
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from utils.pictures.colour import to_srgb
from utils.pictures.opening import (
    UnsupportedPixelsError,
    date_time_original,
    with_picture,
)
from utils.pictures.tensors import to_float

RESAMPLE = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_BAND = 2**22  # pixels that are copied at a time


def open_rgb(path: str | Path) -> Image.Image:
    """Decodes a picture to 8-bit sRGB, upright.

    EXIF rotation is applied, the colour profile too, transparency laid over white; grey, palette, CMYK and
    16-bit are converted. Of several pictures in a file it is the first.

    Raises:
        InputError: see :func:`utils.pictures.opening.with_picture`.
    """
    image = with_picture(path, _srgb)
    image.info = {}  # no profile or rotation counts any more
    return image


def _profile(image: Image.Image) -> bytes | None:
    profile = image.info.get("icc_profile")
    return profile if isinstance(profile, bytes) else None


def _srgb(image: Image.Image) -> Image.Image:
    return _over_white(image, _profile(image))


def _over_white(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Converts any Pillow mode to RGB; 16-bit values do not wrap, hidden colours stay hidden."""
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bit(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if profile is not None:
            colours = to_srgb(image.convert("RGB"), profile)
            colours.putalpha(image.getchannel("A"))
            image = colours
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "RGB", "CMYK", "LAB"):
        image = image.convert("RGB")
    return to_srgb(image, profile)


def _eight_bit(image: Image.Image) -> Image.Image:
    """Reduces grey of 16 bits to 8; hidden values become white."""
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 65535:
        raise UnsupportedPixelsError(
            "its floating-point or 32-bit values have no fixed range; save it with 8 or 16 bits"
        )
    grey = (values / np.float32(257) + np.float32(0.5)).astype(np.uint8)
    hidden = image.info.get("transparency")
    if isinstance(hidden, int):
        grey[values == hidden] = 255
    result = Image.fromarray(grey)
    result.info = {name: value for name, value in image.info.items() if name != "transparency"}
    return result


def capture_date(path: str | Path) -> date | None:
    """Returns the day on which a photo was taken, from its EXIF entry DateTimeOriginal; None without one.

    The dates of digitisation and of the last change are not used: for a scan they say nothing.
    """
    try:
        return datetime.strptime(date_time_original(path)[:10].replace("-", ":"), "%Y:%m:%d").date()
    except ValueError:
        return None


def read_pixels(path: str | Path, size: int | None = None, resample: str = "bilinear") -> np.ndarray:
    """Reads a picture as uint8 sRGB ``(H, W, 3)``; with ``size`` resized to a square, with antialiasing.

    Bilinear is what the official transforms use; ``lanczos`` keeps more detail when training data is reduced.

    Raises:
        InputError: see :func:`utils.pictures.opening.with_picture`.
    """

    def pixels(image: Image.Image) -> np.ndarray:
        image = _srgb(image)
        if size is not None and image.size != (size, size):
            image = image.resize((size, size), RESAMPLE[resample])
        return _array(image)

    return with_picture(path, pixels, at_least=size)


def _array(image: Image.Image) -> np.ndarray:
    """The values of an RGB picture; of a large one band by band, to have them in memory only twice."""
    if image.width * image.height <= _BAND:
        return np.array(image)
    result = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        result[top : box[3]] = np.asarray(image.crop(box))
    return result


def read_image_uint8(path: str | Path, size: int | None = None, resample: str = "bilinear") -> Tensor:
    """Reads a picture as uint8 ``(3, H, W)``; see ``read_pixels``."""
    return torch.from_numpy(read_pixels(path, size, resample)).permute(2, 0, 1).contiguous()


def read_image(path: str | Path, size: int | None = None, resample: str = "bilinear") -> Tensor:
    """Reads a picture as float32 ``(3, H, W)`` in [-1, 1]; see ``read_pixels``."""
    return to_float(read_image_uint8(path, size, resample))
