"""Image files to tensors and back: float32 RGB, NCHW, [-1, 1]; no other module opens or writes a picture."""

import os
import struct
import tempfile
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from utils.errors import InputError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".tif", ".tiff", ".webp"})
RESAMPLE = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_EXIF_IFD, _DATE_TIME_ORIGINAL = 0x8769, 0x9003
_DECODE_ERRORS = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)


def list_images(folder: str | Path) -> list[Path]:
    """Lists the pictures below a folder, recursively, by folder and then by name (the official order).

    Hidden files are left out; extensions count in either case.

    Raises:
        InputError: there is no such folder, or no picture in it.
    """
    root = Path(folder)
    if not root.exists():
        raise InputError(f"no such folder: {root}")
    if not root.is_dir():
        raise InputError(f"{root} is a file; a folder of pictures is needed")
    found = [
        Path(parent) / name
        for parent, _, names in os.walk(root)
        for name in names
        if Path(name).suffix.lower() in EXTENSIONS and not name.startswith(".")
    ]
    if not found:
        kinds = " ".join(sorted(extension[1:] for extension in EXTENSIONS))
        raise InputError(f"no pictures in {root} (looked for {kinds}, in sub-folders too)")
    return sorted(found, key=lambda path: (str(path.parent), path.name))


def open_rgb(path: str | Path) -> Image.Image:
    """Decodes a picture to 8-bit RGB, upright.

    EXIF rotation is applied, transparency laid over white; grey, palette, CMYK and 16-bit are converted.

    Raises:
        InputError: the file is missing, truncated or not a picture; the message names it and the remedy.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no such picture: {path}")
    try:
        with Image.open(path) as file:
            file.load()
            return _to_rgb(ImageOps.exif_transpose(file))
    except _DECODE_ERRORS as error:
        reason = " ".join(str(error).split()).replace(f" '{path}'", "").replace(f" {str(path)!r}", "")
        raise InputError(
            f"cannot read {path} ({reason}); the file is damaged or no picture: replace or remove it"
        ) from error


def capture_date(path: str | Path) -> date | None:
    """Returns the day on which a photo was taken, from its EXIF entry DateTimeOriginal; None without one.

    The dates of digitisation and of the last change are not used: for a scan they say nothing.
    """
    try:
        with Image.open(path) as file:
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


def to_float(pixels: Tensor) -> Tensor:
    """Maps uint8 values 0..255 to float32 -1..1; shape and memory format stay."""
    return pixels.float().div_(127.5).sub_(1.0)


def to_uint8(images: Tensor) -> Tensor:
    """Maps float values -1..1 to uint8 0..255, rounded and clamped; the inverse of ``to_float``."""
    if images.dtype == torch.uint8:
        return images
    return images.detach().float().nan_to_num(-1.0).add(1.0).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def to_pil(image: Tensor) -> Image.Image:
    """Converts one picture, ``(3, H, W)`` or ``(1, 3, H, W)``, float in [-1, 1] or uint8, to Pillow."""
    if image.dim() == 4 and image.shape[0] == 1:
        image = image[0]
    if image.dim() != 3 or image.shape[0] not in (1, 3):
        raise ValueError(f"one picture (3, H, W) is needed, not {tuple(image.shape)}")
    return Image.fromarray(to_uint8(image).expand(3, -1, -1).permute(1, 2, 0).cpu().contiguous().numpy())


def save_pil(image: Image.Image, path: str | Path) -> None:
    """Writes a picture under a temporary name, then renames it: a killed run leaves no half picture."""
    path = Path(path)
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None:
        raise InputError(f"cannot write {path}: unknown picture format {path.suffix!r}; use .png or .jpg")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another folder") from error
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    try:
        with os.fdopen(handle, "wb") as file:
            image.save(file, format=kind, **options)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_image(image: Tensor, path: str | Path) -> None:
    """Writes one picture, ``(3, H, W)`` in [-1, 1] or uint8, atomically; the suffix gives the format."""
    save_pil(to_pil(image), path)


def image_sheet(
    rows: Sequence[Iterable[Tensor | None]],
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    gap: int = 2,
) -> Image.Image:
    """Lays pictures out in a grid.

    Args:
        rows: pictures ``(3, H, W)`` in [-1, 1] row by row (a batch tensor is a row); None leaves a cell
            white. Smaller pictures are enlarged to the largest; rows may differ in length.
        row_labels: text left of each row.
        column_labels: text above each column.
        gap: pixels between the pictures.
    """
    cells = [[None if image is None else to_pil(image) for image in row] for row in rows]
    pictures = [picture for row in cells for picture in row if picture is not None]
    if not pictures:
        raise ValueError("a sheet needs at least one picture")
    width = max(picture.width for picture in pictures)
    height = max(picture.height for picture in pictures)
    font = ImageFont.load_default(size=max(10, round(height / 9)))
    line = int(font.getbbox("Ag")[3]) + 6
    left = 0 if not row_labels else max(int(font.getlength(label)) for label in row_labels) + 8
    top = 0 if not column_labels else line
    columns = max(len(row) for row in cells)
    size = (left + columns * (width + gap) - gap, top + len(cells) * (height + gap) - gap)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for column, label in enumerate(column_labels or ()):
        draw.text((left + column * (width + gap) + width // 2, 2), label, "black", font, anchor="ma")
    for index, row in enumerate(cells):
        y = top + index * (height + gap)
        if row_labels and index < len(row_labels):
            draw.text((left - 6, y + height // 2), row_labels[index], "black", font, anchor="rm")
        for column, picture in enumerate(row):
            if picture is not None:
                if picture.size != (width, height):
                    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
                sheet.paste(picture, (left + column * (width + gap), y))
    return sheet
