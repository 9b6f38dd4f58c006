"""Image files to tensors and back: float32 RGB, NCHW, [-1, 1]; no other module opens or writes a picture."""

import contextlib
import os
import struct
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from torch import Tensor

from utils.errors import InputError

HEIF_EXTENSIONS = frozenset({".heic", ".heif", ".hif"})  # read with pillow-heif, never written
EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".tif", ".tiff", ".webp"}) | HEIF_EXTENSIONS
RESAMPLE = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
KEEPS_METADATA = frozenset({"JPEG", "PNG", "WEBP"})
_EXIF_LIMIT = 65_000  # bytes; what one JPEG segment holds
_EXIF_IFD, _DATE_TIME_ORIGINAL = 0x8769, 0x9003
_MAKER_NOTE, _EXIF_WIDTH, _EXIF_HEIGHT = 0x927C, 0xA002, 0xA003
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_DECODE_ERRORS = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)


class MissingReaderError(InputError):
    """A picture is in a format whose reader, an optional package, is not installed."""


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


@contextlib.contextmanager
def written_atomically(path: str | Path) -> Iterator[Path]:
    """Gives a temporary file to write, which takes the name ``path`` at the end, or goes on any error.

    Raises:
        InputError: nothing can be written there.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another folder") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def save_pil(image: Image.Image, path: str | Path, metadata: Mapping[str, bytes] | None = None) -> None:
    """Writes a picture under a temporary name, then renames it: a killed run leaves no half picture.

    Args:
        image: the picture.
        path: its suffix gives the format.
        metadata: of :func:`open_photo`; written to JPEG, PNG and WebP files.
    """
    path = Path(path)
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None:
        raise InputError(f"cannot write {path}: unknown picture format {path.suffix!r}; use .png or .jpg")
    options: dict[str, Any] = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    if kind in KEEPS_METADATA:
        options |= metadata or {}
    with written_atomically(path) as temporary:
        image.save(temporary, format=kind, **options)


def write_image(image: Tensor, path: str | Path) -> None:
    """Writes one picture, ``(3, H, W)`` in [-1, 1] or uint8, atomically; the suffix gives the format."""
    save_pil(to_pil(image), path)


def tile(rows: Sequence[Sequence[Image.Image]], gap: int = 0) -> Image.Image:
    """Lays pictures of one size out in rows on black, with a gap of some pixels between and around them."""
    width, height = rows[0][0].size
    columns = max(len(row) for row in rows)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, len(rows) * (height + gap) + gap))
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            sheet.paste(picture, (gap + x * (width + gap), gap + y * (height + gap)))
    return sheet


def fit(image: Image.Image, side: int) -> Image.Image:
    """Reduces a picture so that its longer side has at most ``side`` pixels."""
    scale = side / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


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
