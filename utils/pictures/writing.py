"""Pictures to files, whole or not at all; no other module writes a picture."""

import struct
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, TiffImagePlugin, TiffTags
from torch import Tensor

from utils.errors import InputError
from utils.files.writing import written_atomically
from utils.notes import note
from utils.pictures.colour import to_srgb
from utils.pictures.originals import Original
from utils.pictures.sheets import fit
from utils.pictures.tensors import to_pil

# Suffixes of results, and the formats that they mean.
WRITTEN = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **{".png": "PNG", ".webp": "WEBP", ".avif": "AVIF", ".bmp": "BMP", ".ppm": "PPM"},
}
LARGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383, "GIF": 65_535, "AVIF": 16_384}  # pixels
KEEPS_METADATA = frozenset({"JPEG", "PNG", "WEBP", "AVIF", "TIFF"})
_DEFAULTS: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95, "subsampling": 0}}
_FINE = {**_DEFAULTS, "WEBP": {"quality": 95}, "AVIF": {"quality": 95, "subsampling": "4:4:4"}}
# The modes in which a format takes the values of a photo; 16 bits are for PNG, TIFF and PPM.
_MODES = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("L", "LA", "RGB", "RGBA"),
    "TIFF": ("L", "LA", "RGB", "RGBA", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "AVIF": ("L", "RGB", "RGBA"),
    "PPM": ("L", "RGB"),
    "BMP": ("L", "RGB"),
}


def save_pil(image: Image.Image, path: str | Path, metadata: Mapping[str, bytes] | None = None) -> None:
    """Writes a picture under a temporary name, then renames it: a killed run leaves no half picture.

    A picture that is larger than its format allows is reduced, with a note.

    Args:
        image: the picture.
        path: its suffix gives the format.
        metadata: ``exif`` and ``icc_profile``; written to the formats that take them.

    Raises:
        InputError: the format is not known, or the file cannot be written.
    """
    kind = _kind(path)
    options = dict(_DEFAULTS.get(kind, {}))
    if kind in KEEPS_METADATA:
        options |= metadata or {}
    _save(image, Path(path), kind, options)


def jpeg_of(image: Image.Image, side: int, quality: int = 82) -> bytes:
    """The content of a JPEG file of a picture, reduced to at most ``side`` pixels, for use within a page."""
    file = BytesIO()
    fit(image.convert("RGB"), side).save(file, format="JPEG", quality=quality, optimize=True)
    return file.getvalue()


def save_original(values: np.ndarray, original: Original, path: str | Path) -> None:
    """Writes changed values of a photo as its file was: mode, depth, profile, EXIF data and encoding.

    What the format of the new file does not take is converted: transparency is laid over white, 16 bits
    become 8, CMYK becomes sRGB.

    Args:
        values: of the shape and type of those of ``original``.
        original: the photo.
        path: its suffix gives the format.

    Raises:
        InputError: the format is not known, or the file cannot be written.
    """
    kind = _kind(path)
    deep = values.dtype == np.uint16
    if deep and kind in ("PNG", "TIFF") and values.ndim == 3:
        data = (_deep_png if kind == "PNG" else _deep_tiff)(values, original)
        with written_atomically(path) as temporary:
            temporary.write_bytes(data)
        return
    if deep and not (kind in ("PNG", "TIFF", "PPM") and values.ndim == 2):
        values = ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)
    image, profile = _in_mode_of(kind, values, original)
    options = _FINE.get(kind, {}) | original.encoding.get(kind, {})
    if "qtables" in options:
        options = {name: value for name, value in options.items() if name != "quality"}
    if kind == "AVIF" and image.mode == "L":
        options["subsampling"] = "4:0:0"
    if kind in KEEPS_METADATA:
        kept = {"icc_profile": profile, "exif": original.exif}
        options |= {name: value for name, value in kept.items() if value}
    _save(image, Path(path), kind, options)


def write_image(image: Tensor, path: str | Path) -> None:
    """Writes one picture, ``(3, H, W)`` in [-1, 1] or uint8, atomically; the suffix gives the format."""
    save_pil(to_pil(image), path)


def _kind(path: str | Path) -> str:
    suffix = Path(path).suffix.lower()
    kind = WRITTEN.get(suffix) or Image.registered_extensions().get(suffix)
    if kind is None:
        raise InputError(f"cannot write {path}: unknown picture format {suffix!r}; use .png or .jpg")
    return kind


def _save(image: Image.Image, path: Path, kind: str, options: Mapping[str, Any]) -> None:
    limit = LARGEST_SIDE.get(kind)
    if limit is not None and max(image.size) > limit:
        note(f"{path} is reduced to {limit} pixels, the most that {kind} files hold")
        image = fit(image, limit)
    with written_atomically(path) as temporary:
        try:
            image.save(temporary, format=kind, **options)
        except (ValueError, SyntaxError, struct.error) as error:  # what an encoder does not take
            raise InputError(f"cannot write {path} as {kind}: {error}") from error


def _in_mode_of(kind: str, values: np.ndarray, original: Original) -> tuple[Image.Image, bytes | None]:
    """The values as a picture in a mode that the format takes, and the profile that they then have."""
    if values.dtype == np.uint16:
        return Image.fromarray(values), original.profile
    image = Image.fromarray(values)
    if original.mode == "CMYK":  # has four channels, as RGBA does
        image = Image.frombytes("CMYK", image.size, values.tobytes())
    modes = _MODES.get(kind, ("RGB",))
    if image.mode == "CMYK" and "CMYK" not in modes:
        return to_srgb(image, original.profile), None
    if image.mode in ("LA", "RGBA") and "RGBA" not in modes:
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image.convert("RGBA")).convert(image.mode[:-1])
    if image.mode not in modes:
        image = image.convert("RGBA" if image.mode == "LA" else "RGB")
    return image, original.profile


# ---------------------------------------------------------------- colours of 16 bits, unknown to Pillow


def _deep_png(values: np.ndarray, original: Original) -> bytes:
    order = [2, 1, 0, 3][: values.shape[2]]
    done, encoded = cv2.imencode(".png", values[..., order])
    if not done:
        raise InputError("the encoder of 16-bit PNG files failed")
    data = encoded.tobytes()
    chunks = b""
    if original.profile:
        chunks += _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(original.profile))
    if original.exif:
        chunks += _chunk(b"eXIf", original.exif.removeprefix(b"Exif\0\0"))
    after_header = 8 + 25  # the signature, and the chunk IHDR
    return data[:after_header] + chunks + data[after_header:]


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def _deep_tiff(values: np.ndarray, original: Original) -> bytes:
    """One uncompressed strip, little-endian."""
    height, width, channels = values.shape
    data = values.astype("<u2").tobytes()
    tags = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    exif = Image.Exif()
    exif.load(original.exif or b"")
    for tag, value in exif.items():
        if tag in TiffTags.TAGS_V2_GROUPS:
            tags[tag] = exif.get_ifd(tag)
        elif isinstance(value, (int, str)):
            tags[tag] = value
    tags[TiffImagePlugin.IMAGEWIDTH], tags[TiffImagePlugin.IMAGELENGTH] = width, height
    tags[TiffImagePlugin.BITSPERSAMPLE], tags[TiffImagePlugin.SAMPLESPERPIXEL] = (16,) * channels, channels
    tags[TiffImagePlugin.COMPRESSION], tags[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] = 1, 2
    tags[TiffImagePlugin.ROWSPERSTRIP], tags[TiffImagePlugin.STRIPBYTECOUNTS] = height, len(data)
    tags[TiffImagePlugin.STRIPOFFSETS] = 0  # counted from the end of the tags
    if channels == 4:
        tags[TiffImagePlugin.EXTRASAMPLES] = 2  # opacity, not multiplied in
    if original.profile:
        tags[TiffImagePlugin.ICCPROFILE] = original.profile
    file = BytesIO()
    tags.save(file)
    return file.getvalue() + data
