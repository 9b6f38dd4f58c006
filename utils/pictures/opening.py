"""Opens picture files: a bad one is a sentence, whatever its decoder raises, and a sound one is upright."""

import contextlib
import ctypes
import hashlib
import importlib
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import BinaryIO, TypeVar

from PIL import Image, PngImagePlugin, features

from utils.errors import InputError, explained, one_line
from utils.pictures.archives import open_file
from utils.pictures.bare import JPEG, PNG, bare_jpeg, bare_png, png_without_extras

LARGEST = 512  # megapixels; of so many Pillow's memory takes 2 GB
DRAFT_FROM = 64  # megapixels; larger ones are decoded one at a time, and JPEG no finer than is needed
_MOST_WORK = 5 * 10**10  # pixels times passes of a JPEG
_FORMATS = ("JPEG", "MPO", "PNG", "GIF", "WEBP", "AVIF", "PPM", "BMP", "DIB", "TIFF", "JPEG2000", "HEIF")
_PLUGINS = ("Jpeg", "Mpo", "Png", "Gif", "WebP", "Avif", "Ppm", "Bmp", "Tiff", "Jpeg2K")
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_REMEDY = "the file is damaged or no picture: replace or remove it"

Result = TypeVar("Result")
_large = threading.Lock()


class MissingReaderError(InputError):
    """A picture is in a format whose reader, an optional package, is not installed."""


class UnsupportedPixelsError(ValueError):
    """A sound file holds what cannot be shown; the message says what and the remedy."""


def with_picture(
    path: str | Path, use: Callable[[Image.Image], Result], at_least: int | None = None
) -> Result:
    """Decodes the first picture of a file and hands it, upright, to a function.

    Text and other extras in PNG and JPEG files that keep the picture from being read are left out.

    Args:
        path: the file.
        use: what is made of the picture; it may have any mode of Pillow and is closed afterwards.
        at_least: pixels that each side needs; a JPEG of more than 64 megapixels may come reduced to four
            times as many.

    Raises:
        InputError: the file is missing, damaged, no picture or larger than 512 megapixels, or its reader is
            not installed; one line names it and the remedy.
    """
    path = Path(path)
    try:
        with open_file(path) as file:
            return _first_success(file, path, use, at_least)
    except InputError:
        raise
    except UnsupportedPixelsError as error:
        raise InputError(f"cannot read {path}: {error}") from error
    except FileNotFoundError as error:
        raise InputError(f"no such picture: {path}") from error
    except Exception as error:  # decoders raise whatever comes to them
        refused = explained(error)
        if refused is not None:
            raise InputError(f"cannot read {path}: {refused.removeprefix(f'{path}: ')}") from error
        raise InputError(f"cannot read {path} ({_reason(error)}); {_REMEDY}") from error


def digest_of(path: str | Path) -> str:
    """SHA-256 of a picture file, in hexadecimal.

    Raises:
        InputError: it cannot be read or is no file.
    """
    path, digest = Path(path), hashlib.sha256()
    try:
        with open_file(path) as file:
            while part := file.read(2**20):
                digest.update(part)
    except FileNotFoundError as error:
        raise InputError(f"no such picture: {path}") from error
    except (OSError, ValueError) as error:
        reason = (explained(error) or str(error)).removeprefix(f"{path}: ")
        raise InputError(f"cannot read {path}: {reason}") from error
    return digest.hexdigest()


def date_time_original(path: str | Path) -> str:
    """The entry DateTimeOriginal of a picture's EXIF block; empty without one, or without a sound one."""
    try:
        with open_file(Path(path)) as file, _opened(file, file, Path(path)) as image:
            return str(image.getexif().get_ifd(0x8769).get(0x9003, ""))
    except Exception:
        return ""


def _first_success(
    file: BinaryIO, path: Path, use: Callable[[Image.Image], Result], at_least: int | None
) -> Result:
    """Tries the file as it is, then without what is no picture in it; the first failure counts."""
    trouble: Exception | None = None
    for source in _sources(file):
        try:
            with _opened(source, file, path) as image:
                return _decoded(image, path, use, at_least)
        except (InputError, UnsupportedPixelsError, MemoryError):
            raise
        except Exception as error:
            trouble = trouble or error
    assert trouble is not None
    raise trouble


def _sources(file: BinaryIO) -> Iterator[BinaryIO]:
    head = _head(file)
    if head.startswith(PNG):
        yield png_without_extras(file)
        yield bare_png(file)
    else:
        yield file
        if head.startswith(JPEG):
            yield bare_jpeg(file)


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read(64)


def _opened(source: BinaryIO, file: BinaryIO, path: Path) -> Image.Image:
    """Opens a picture in a format that is read here; checks its size before anything is decoded."""
    _be_quiet()
    _know_formats()
    head = _head(file)
    if not head:
        raise ValueError("the file is empty")
    _need_reader(head, path)
    source.seek(0)
    image = Image.open(source, formats=tuple(name for name in _FORMATS if name in Image.OPEN))
    if image.width * image.height > LARGEST * 1_000_000:
        raise InputError(
            f"cannot read {path}: {image.width} x {image.height} pixels are more than {LARGEST} megapixels; "
            "reduce it"
        )
    if image.info.get("progressive") and _scans(source) * image.width * image.height > _MOST_WORK:
        raise InputError(f"cannot read {path}: it would take minutes to decode; replace or remove it")
    return image


def _scans(source: BinaryIO) -> int:
    """The passes over all of its pixels that a JPEG asks for: about ten in files that cameras write."""
    source.seek(0)
    return sum(part.count(b"\xff\xda") for part in iter(lambda: source.read(2**20), b""))


def _decoded(
    image: Image.Image, path: Path, use: Callable[[Image.Image], Result], at_least: int | None
) -> Result:
    large = image.width * image.height > DRAFT_FROM * 1_000_000
    if large and at_least is not None:
        image.draft(None, (4 * at_least, 4 * at_least))
    with _large if large else contextlib.nullcontext():
        image.load()
        turn = _TURNS.get(_orientation(image))
        return use(image if turn is None else image.transpose(turn))


def _orientation(image: Image.Image) -> int:
    """Of the EXIF block; a damaged block counts as none."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:
        return 1


def _reason(error: Exception) -> str:
    """What a decoder said, short and without the name of its source."""
    text = one_line(str(error))
    if isinstance(error, Image.UnidentifiedImageError) or not text:
        return "cannot identify image file" if not text or "identify" in text else text[:120]
    return text[:120]


# ---------------------------------------------------------------- formats


@cache
def _know_formats() -> None:
    """Prepares Pillow for the formats that are read here; of its others some run programs."""
    Image.MAX_IMAGE_PIXELS = None  # the size is checked above
    PngImagePlugin.MAX_TEXT_CHUNK = max(PngImagePlugin.MAX_TEXT_CHUNK, 2**24)  # large colour profiles
    for name in _PLUGINS:
        with contextlib.suppress(ImportError):
            importlib.import_module(f"PIL.{name}ImagePlugin")


def _need_reader(head: bytes, path: Path) -> None:
    """Registers the reader of HEIC photos at the first such file, whatever its name."""
    if head[4:8] != b"ftyp":
        return
    if b"avif" in head or b"avis" in head:
        if "AVIF" not in Image.OPEN or not features.check("avif"):
            raise MissingReaderError(
                f"{path}: AVIF pictures need a newer Pillow; run: pip install 'pillow>=11.3' "
                "(or export it as JPEG)"
            )
    elif head[8:12] in _HEIF_BRANDS:
        try:
            from pillow_heif import register_heif_opener
        except ImportError as error:
            raise MissingReaderError(
                f"{path}: HEIC photos need pillow-heif; run: pip install pillow-heif (or export it as JPEG)"
            ) from error
        register_heif_opener()


# ---------------------------------------------------------------- what decoders print

_LIBRARIES = r"(PIL|pillow_heif)(\.|$)"


def _be_quiet() -> None:
    """Keeps warnings of decoders from the terminal: trouble is told in a sentence, or does not matter."""
    if not any(getattr(entry[3], "pattern", "") == _LIBRARIES for entry in warnings.filters):
        warnings.filterwarnings("ignore", module=_LIBRARIES)
    _silence_loggers()


@cache
def _silence_loggers() -> None:
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    with contextlib.suppress(AttributeError, OSError):  # where the system does not find libtiff this way
        libtiff = ctypes.CDLL(Image.core.__file__)
        libtiff.TIFFSetErrorHandler(None)
        libtiff.TIFFSetWarningHandler(None)
