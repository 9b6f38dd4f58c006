"""Text on pictures in a font that has its letters; what no font of the system has is written as an escape."""

import os
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from PIL import ImageFont

from utils.errors import one_line

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_NO_CHARACTER = "\uffff"  # what a font shows for it, it shows for all that it lacks
_MOST_FONTS = 400  # files that are looked into


def lettered(text: str, size: int) -> tuple[str, Font]:
    """Chooses the font for a line of text, such as the name of a file.

    Args:
        text: line breaks and control codes are taken out.
        size: of the letters in pixels.

    Returns:
        The text, in which a character that the font lacks is an escape (`\\u4f60`), and the font: Pillow's
        own where that has all, else the one that has most, of matplotlib or of the system.
    """
    text = one_line(text)
    best, missing = _own(size), _missing(text, _own(size))
    if missing:
        for path in _files():
            font = _font(path, size)
            lacks = missing if font is None else _missing(text, font)
            if font is not None and len(lacks) < len(missing):
                best, missing = font, lacks
            if not missing:
                break
    return "".join(_escaped(c) if c in missing else c for c in text), best


def _escaped(character: str) -> str:
    return character.encode("ascii", "backslashreplace").decode("ascii")


@cache
def _own(size: int) -> Font:
    return ImageFont.load_default(size)


@cache
def _font(path: Path, size: int) -> Font | None:
    try:
        return ImageFont.truetype(str(path), size)
    except Exception:  # a damaged font, or one of a kind that is not read
        return None


def _missing(text: str, font: Font) -> set[str]:
    return {character for character in set(text) if not character.isspace() and not _has(font, character)}


@cache
def _has(font: Font, character: str) -> bool:
    if character.isascii():
        return True
    try:
        return _shape(font, character) != _shape(font, _NO_CHARACTER)
    except Exception:
        return False


def _shape(font: Font, character: str) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(character)
    return mask.size, bytes(mask)


@cache
def _files() -> tuple[Path, ...]:
    """Font files: matplotlib's, which has most alphabets, then those of the system, plain ones first."""
    import matplotlib

    own = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    found = sorted({path for folder in _folders() for path in _below(folder)}, key=_rank)
    return (own, *found[:_MOST_FONTS])


def _folders() -> Iterator[Path]:
    if sys.platform == "win32":
        yield Path(os.environ.get("WINDIR", r"C:\Windows")) / "Fonts"
    elif sys.platform == "darwin":
        yield from (
            Path("/System/Library/Fonts"),
            Path("/Library/Fonts"),
            Path("~/Library/Fonts").expanduser(),
        )
    else:
        yield from (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))
        yield from (Path("~/.fonts").expanduser(), Path("~/.local/share/fonts").expanduser())


def _below(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent) / name for name in names if name.lower().endswith((".ttf", ".ttc", ".otf")))


def _rank(path: Path) -> tuple[bool, bool, str]:
    name = path.name.lower()
    fancy = any(word in name for word in ("bold", "italic", "oblique", "mono", "serif", "condensed", "light"))
    return "cjk" not in name, fancy, str(path)
