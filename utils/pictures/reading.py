"""Picture files to pixels: upright 8-bit RGB, whatever the file; no other module opens a picture."""

import struct
from datetime import date, datetime
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from utils.errors import InputError
from utils.pictures.tensors import to_float

RESAMPLE = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_EXIF_LIMIT = 65_000  # bytes; what one JPEG segment holds
_EXIF_IFD, _DATE_TIME_ORIGINAL = 0x8769, 0x9003
_MAKER_NOTE, _EXIF_WIDTH, _EXIF_HEIGHT = 0x927C, 0xA002, 0xA003
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_DECODE_ERRORS = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)


class MissingReaderError(InputError):
    """A picture is in a format whose reader, an optional package, is not installed."""


def is_heif(path: str | Path) -> bool:
    """Whether the content of a file, whatever its name, is HEIC (phone photos) or another HEIF picture."""
    with open(path, "rb") as file:
        head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS


def _open(path: Path) -> Image.Image:
    """Opens a picture; Pillow learns of HEIF at the first such file."""
    try:
        return Image.open(path)
    except UnidentifiedImageError:
        if not is_heif(path):
            raise
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise MissingReaderError(
            f"{path}: HEIC photos need pillow-heif; run: pip install pillow-heif (or export it as JPEG)"
        ) from error
    register_heif_opener()
    return Image.open(path)


def open_rgb(path: str | Path) -> Image.Image:
    """Decodes a picture to 8-bit RGB, upright.

    EXIF rotation is applied, transparency laid over white; grey, palette, CMYK and 16-bit are converted.

    Raises:
        InputError: the file is missing, truncated or not a picture; the message names it and the remedy.
    """
    return _to_rgb_or_refuse(path, with_metadata=False)[0]


def open_photo(path: str | Path) -> tuple[Image.Image, dict[str, bytes]]:
    """Decodes a picture as :func:`open_rgb` does and keeps what the camera wrote beside it.

    Returns:
        The upright picture, and its ``exif`` (without the rotation, which is applied, and without the
        thumbnail, which shows the picture as it was) and ``icc_profile`` where there are any: the
        ``metadata`` of :func:`save_pil`.
    """
    return _to_rgb_or_refuse(path, with_metadata=True)


def _to_rgb_or_refuse(path: str | Path, with_metadata: bool) -> tuple[Image.Image, dict[str, bytes]]:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no such picture: {path}")
    try:
        with _open(path) as file:
            file.load()
            upright = ImageOps.exif_transpose(file)
            return _to_rgb(upright), _metadata(upright) if with_metadata else {}
    except _DECODE_ERRORS as error:
        reason = " ".join(str(error).split()).replace(f" '{path}'", "").replace(f" {str(path)!r}", "")
        raise InputError(
            f"cannot read {path} ({reason}); the file is damaged or no picture: replace or remove it"
        ) from error


def _metadata(upright: Image.Image) -> dict[str, bytes]:
    """EXIF and colour profile of an upright picture; a damaged EXIF block counts as none."""
    kept: dict[str, bytes] = {}
    if upright.mode in ("RGB", "RGBA") and upright.info.get("icc_profile"):
        kept["icc_profile"] = upright.info["icc_profile"]
    try:
        exif = upright.getexif()
        details = exif.get_ifd(_EXIF_IFD)
        if _EXIF_WIDTH in details:
            details[_EXIF_WIDTH], details[_EXIF_HEIGHT] = upright.size
        block = exif.tobytes() if len(exif) else b""
        if len(block) > _EXIF_LIMIT:
            details.pop(_MAKER_NOTE, None)
            block = exif.tobytes()
    except Exception:  # whatever Pillow makes of a block that some camera or program wrote wrongly
        return kept
    return {**kept, "exif": block} if 0 < len(block) <= _EXIF_LIMIT else kept


def capture_date(path: str | Path) -> date | None:
    """Returns the day on which a photo was taken, from its EXIF entry DateTimeOriginal; None without one.

    The dates of digitisation and of the last change are not used: for a scan they say nothing.
    """
    try:
        with _open(Path(path)) as file:
            text = str(file.getexif().get_ifd(_EXIF_IFD).get(_DATE_TIME_ORIGINAL, ""))
        return datetime.strptime(text[:10].replace("-", ":"), "%Y:%m:%d").date()
    except _DECODE_ERRORS:
        return None


def _to_rgb(image: Image.Image) -> Image.Image:
    """Converts any Pillow mode to RGB; 16-bit values do not wrap, hidden colours stay hidden."""
    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range; save it with 8 or 16 bits")
    if image.mode.startswith("I"):  # 16-bit grey
        values = np.asarray(image).astype(np.float64)
        return Image.fromarray(np.clip(values / 257.0 + 0.5, 0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def read_pixels(path: str | Path, size: int | None = None, resample: str = "bilinear") -> np.ndarray:
    """Reads a picture as uint8 ``(H, W, 3)``; with ``size`` resized to a square, with antialiasing.

    Bilinear is what the official transforms use; ``lanczos`` keeps more detail when training data is reduced.
    """
    image = open_rgb(path)
    if size is not None and image.size != (size, size):
        image = image.resize((size, size), RESAMPLE[resample])
    return np.array(image)


def read_image_uint8(path: str | Path, size: int | None = None, resample: str = "bilinear") -> Tensor:
    """Reads a picture as uint8 ``(3, H, W)``; see ``read_pixels``."""
    return torch.from_numpy(read_pixels(path, size, resample)).permute(2, 0, 1).contiguous()


def read_image(path: str | Path, size: int | None = None, resample: str = "bilinear") -> Tensor:
    """Reads a picture as float32 ``(3, H, W)`` in [-1, 1]; see ``read_pixels``."""
    return to_float(read_image_uint8(path, size, resample))
