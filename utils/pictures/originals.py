"""A photo as its file has it: own colours, transparency, depth, and how it was encoded, for a changed copy.

The networks see 8-bit sRGB; what they did not change goes back into a file with the values that it had.
"""

import contextlib
import io
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageCms, JpegImagePlugin

from utils.pictures.archives import open_file
from utils.pictures.colour import from_srgb, space_of
from utils.pictures.opening import with_picture
from utils.pictures.reading import open_rgb

_ORIENTATION, _EXIF_IFD = 0x0112, 0x8769
_MAKER_NOTE, _EXIF_WIDTH, _EXIF_HEIGHT = 0x927C, 0xA002, 0xA003
_EXIF_LIMIT = 65_000  # bytes; what one JPEG segment holds
_OF_TIFF = frozenset({*range(254, 270), *range(273, 282), *range(284, 297), *range(317, 348), 700, 34675})
_GREY = 2  # levels of 255 between the channels of a grey photo that was stored as RGB
_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}
_TURNED = frozenset({5, 6, 7, 8})  # orientations that swap width and height


@dataclass(frozen=True)
class Original:
    """The upright picture of a file.

    Attributes:
        values: ``(H, W)`` or ``(H, W, C)``, uint8 or uint16.
        mode: what the channels are: L, LA, RGB, RGBA or CMYK.
        profile: the ICC profile that the values are meant for.
        exif: what the camera wrote, without the rotation, which is applied, and without the thumbnail.
        encoding: how the file was written: arguments of Pillow's writer, by the name of the format.
    """

    values: np.ndarray
    mode: str
    profile: bytes | None = None
    exif: bytes | None = None
    encoding: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def is_plain(self) -> bool:
        """Whether the values are 8-bit RGB without a profile: what the networks see."""
        return self.mode == "RGB" and self.values.dtype == np.uint8 and self.profile is None

    @property
    def opacity(self) -> np.ndarray | None:
        """``(H, W)`` from 0 to the greatest value; None without transparency."""
        return self.values[..., -1] if self.mode in ("LA", "RGBA") else None

    @property
    def greatest(self) -> int:
        """The greatest value of a channel."""
        return int(np.iinfo(self.values.dtype).max)

    def in_own_colours(self, picture: np.ndarray) -> np.ndarray:
        """Converts a picture, uint8 sRGB (R, R, 3), to the colours and the depth of this one.

        Returns:
            ``(R, R, C)`` with as many channels as the values have, that of opacity left out.
        """
        image = Image.fromarray(picture)
        colours = _to_cmyk(image, self.profile) if self.mode == "CMYK" else from_srgb(image, self.profile)
        if self.mode in ("L", "LA") or (self.mode != "CMYK" and self._is_grey):
            colours = colours.convert("L")
        if self.mode in ("RGB", "RGBA"):
            colours = colours.convert("RGB")
        found = np.asarray(colours).reshape(*picture.shape[:2], -1)
        return found if self.values.dtype == np.uint8 else found.astype(np.uint16) * 257

    @cached_property
    def _is_grey(self) -> bool:
        colours = self.values[::4, ::4, :3].astype(np.int32) * 255 // self.greatest
        if int(np.ptp(colours, axis=2).max()) > _GREY:
            return False
        return all(
            int(np.ptp(rows[..., :3].astype(np.int32), axis=2).max()) * 255 <= _GREY * self.greatest
            for rows in np.array_split(self.values, max(1, self.values.shape[0] // 256))
        )


def read_original(path: str | Path) -> Original:
    """Decodes the first picture of a file, upright, in its own values.

    Raises:
        InputError: see :func:`utils.pictures.opening.with_picture`.
    """
    path = Path(path)
    values, mode, profile, exif = with_picture(path, _parts)
    encoding, deep, turn = _header(path)
    if mode == "":  # of a kind that no result is written in
        return Original(np.asarray(open_rgb(path)), "RGB", None, exif)
    if deep:
        finer = _deep_values(path, turn)
        if finer is not None and finer.shape[:2] == values.shape[:2]:
            values, mode = finer, "RGB" if finer.shape[2] == 3 else "RGBA"
    return Original(values, mode, profile, exif, encoding)


def is_square(path: str | Path, tolerance: float) -> bool:
    """Whether the sides of a picture differ by no more than a factor, as far as its header can be read."""
    with contextlib.suppress(Exception), open_file(Path(path)) as file, Image.open(file) as image:
        return max(image.size) <= tolerance * min(image.size)
    return True


def _parts(image: Image.Image) -> tuple[np.ndarray, str, bytes | None, bytes | None]:
    """Values, mode ("" where there is none that can be kept), profile and EXIF of an upright picture."""
    profile = image.info.get("icc_profile")
    profile = profile if isinstance(profile, bytes) else None
    exif = _exif(image)
    if image.mode.startswith("I") and "transparency" not in image.info:
        values = np.asarray(image)
        if values.min() >= 0 and values.max() <= 65535:
            return values.astype(np.uint16), "L", profile, exif
    elif image.mode in ("L", "LA", "RGB", "RGBA", "P", "PA", "1"):
        clear = image.has_transparency_data
        grey = image.mode in ("L", "LA", "1")
        mode = ("LA" if grey else "RGBA") if clear else ("L" if grey else "RGB")
        return np.array(image if image.mode == mode else image.convert(mode)), mode, profile, exif
    elif image.mode == "CMYK":
        return np.array(image), "CMYK", profile, exif
    return np.empty(0), "", None, exif


def _exif(image: Image.Image) -> bytes | None:
    """The EXIF block of an upright picture; a damaged one counts as none."""
    try:
        exif = image.getexif()
        exif.pop(_ORIENTATION, None)
        for tag in _OF_TIFF & set(exif):  # how a TIFF file lays out its values
            del exif[tag]
        details = exif.get_ifd(_EXIF_IFD)
        if _EXIF_WIDTH in details:
            details[_EXIF_WIDTH], details[_EXIF_HEIGHT] = image.size
        block = exif.tobytes() if len(exif) else b""
        if len(block) > _EXIF_LIMIT:
            details.pop(_MAKER_NOTE, None)
            block = exif.tobytes()
    except Exception:  # whatever Pillow makes of a block that some camera or program wrote wrongly
        return None
    return block if 0 < len(block) <= _EXIF_LIMIT else None


# ---------------------------------------------------------------- how a file was encoded


def _header(path: Path) -> tuple[dict[str, dict[str, Any]], bool, int]:
    """How a file was encoded, whether its colours have 16 bits, and its EXIF orientation."""
    with contextlib.suppress(Exception), open_file(path) as file, Image.open(file) as image:
        layout = str(image.tile[0][3]) if image.tile else ""
        deep = ";16" in layout and image.mode in ("RGB", "RGBA", "LA")
        turn = int(image.getexif().get(_ORIENTATION, 1)) if deep or image.format in ("JPEG", "MPO") else 1
        return _encoding(image, path, turn), deep, turn
    return {}, False, 1


def _encoding(image: Image.Image, path: Path, turn: int) -> dict[str, dict[str, Any]]:
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        return {"JPEG": _jpeg_encoding(image, turn in _TURNED)}
    if image.format == "WEBP":
        return {"WEBP": {"lossless": True, "exact": True}} if _is_lossless_webp(path) else {}
    if image.format == "TIFF":
        compression = str(image.info.get("compression", "raw"))
        lossless = ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")
        return {"TIFF": {"compression": compression if compression in lossless else "tiff_lzw"}}
    return {}


def _jpeg_encoding(image: JpegImagePlugin.JpegImageFile, turned: bool) -> dict[str, Any]:
    """The same tables and the same reduction of colours: encoded so again, a picture hardly changes."""
    tables = {
        number: np.reshape(table, (8, 8)).T.ravel().tolist() if turned else list(table)
        for number, table in image.quantization.items()
    }
    sampling = JpegImagePlugin.get_sampling(image)
    return {
        "qtables": tables,
        "subsampling": 0 if sampling not in (0, 1, 2) or (turned and sampling == 1) else sampling,
        "progressive": bool(image.info.get("progressive")),
    }


def _is_lossless_webp(path: Path) -> bool:
    """Whether the first picture in the file is a VP8L chunk."""
    with open_file(path) as file:
        data = file.read(4_000_000)
    positions = {kind: data.find(kind) for kind in (b"VP8L", b"VP8 ")}
    first = {kind: position for kind, position in positions.items() if position >= 0}
    return bool(first) and min(first, key=lambda kind: first[kind]) == b"VP8L"


def _deep_values(path: Path, turn: int) -> np.ndarray | None:
    """The 16-bit colours of a file, upright, which Pillow reads with 8 bits; None where that fails."""
    with contextlib.suppress(AttributeError):
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # its readers print warnings
    with contextlib.suppress(cv2.error, OSError), open_file(path) as file:
        found = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
        if found is not None and found.dtype == np.uint16 and found.ndim == 3 and found.shape[2] in (3, 4):
            order = [2, 1, 0, 3][: found.shape[2]]
            return np.ascontiguousarray(_upright(found[..., order], turn))
    return None


def _upright(values: np.ndarray, turn: int) -> np.ndarray:
    """Applies an EXIF orientation to ``(H, W, C)``."""
    if turn in _TURNED:
        values = values.transpose(1, 0, 2)
    if turn in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values[::-1] if turn in (3, 4, 7, 8) else values


def _to_cmyk(image: Image.Image, profile: bytes | None) -> Image.Image:
    if space_of(profile or b"") == "CMYK":
        with contextlib.suppress(Exception):  # a profile for one direction only
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile or b""))
            srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
            intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
            return ImageCms.buildTransform(srgb, own, "RGB", "CMYK", intent).apply(image)
    return image.convert("CMYK")
