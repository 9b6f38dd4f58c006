"""What a clip is: its colours, its sound; read from what ffmpeg says of it."""

import re
from dataclasses import dataclass
from pathlib import Path

from inference.video.ffmpeg import reason, run, source
from utils.errors import InputError

HDR = {"smpte2084": "PQ", "arib-std-b67": "HLG"}  # transfer functions
WIDE_HEIGHT = 720  # rows from which players take colours that are not labelled for those of BT.709
UNKNOWN = ("unknown", "unspecified", "reserved", "gbr", "")


class UnusableClipError(InputError):
    """A clip cannot be used; others may."""


@dataclass(frozen=True)
class Colours:
    """How a clip turns colours into numbers, in ffmpeg's names; ``unknown`` where it does not say."""

    matrix: str = "unknown"
    primaries: str = "unknown"
    transfer: str = "unknown"


@dataclass(frozen=True)
class Clip:
    """A clip, or a part of one.

    Attributes:
        path: its file.
        start: seconds of the clip that are left out before this part.
        end: where the part ends, in seconds of the clip; None for the end of the clip.
        pixel_format: in ffmpeg's name.
        height: rows of its frames as they are stored.
        colours: of its frames.
        sounds: codecs of its sound tracks.
    """

    path: Path
    start: float
    end: float | None
    pixel_format: str
    height: int
    colours: Colours
    sounds: tuple[str, ...]

    @property
    def hdr(self) -> str | None:
        """The kind of high dynamic range that it has; None for none."""
        return HDR.get(self.colours.transfer)

    @property
    def bits(self) -> int:
        """Bits of each colour of a pixel."""
        found = re.search(r"(9|10|12|14|16|48|64)(?:le|be)$", self.pixel_format)
        return min(int(found[1]), 16) if found else 8

    @property
    def encoded(self) -> Colours:
        """The colours of a result of this clip: its own, with a matrix; those of BT.709 where it is HDR."""
        if self.hdr:
            return Colours("bt709", "bt709", "bt709")
        matrix = self.colours.matrix
        if matrix in UNKNOWN:
            matrix = "bt709" if self.height >= WIDE_HEIGHT else "smpte170m"
        return Colours(matrix, self.colours.primaries, self.colours.transfer)

    def remarks(self) -> list[str]:
        """What a result cannot keep of this clip, a sentence each."""
        if self.hdr:
            return [
                f"{self.path} is HDR ({self.hdr}, {self.bits} bits); its result is brought to the range of "
                "ordinary video (BT.709, 8 bits)"
            ]
        if self.bits > 8:
            return [f"{self.path} has {self.bits} bits a colour; its result has 8"]
        return []

    def seeking(self) -> tuple[str, ...]:
        """Arguments that open this part."""
        part = ["-ss", f"{self.start:.6f}"] if self.start else []
        if self.end is not None:
            part += ["-t", f"{self.end - self.start:.6f}"]
        return (*part, *source(self.path))


def open_clip(path: Path, start: float = 0.0, end: float | None = None) -> Clip:
    """Reads what a clip is.

    Args:
        path: its file.
        start: seconds that are left out.
        end: the second that ends it; None for its own end.

    Raises:
        InputError: it cannot be read, has no pictures, or ends before ``start``.
    """
    if not path.is_file():
        raise UnusableClipError(f"{path} is {'a folder' if path.is_dir() else 'missing'}; name a clip")
    _, words = run(["-loglevel", "info", *source(path)])
    lines = [line for line in words.splitlines() if re.match(r"\s*Stream #0:", line)]
    videos = [line for line in lines if ": Video: " in line and "(attached pic)" not in line]
    if not lines:
        raise UnusableClipError(
            f"{path} cannot be read ({reason(words)}); give a clip such as MP4, MOV or WebM"
        )
    if not videos:
        raise UnusableClipError(f"{path} holds no moving pictures; give a clip with faces")
    length = _length(words)
    if length is not None and start >= length:
        raise UnusableClipError(f"--start={start:g}: {path} ends at {length:.2f} seconds")
    sounds = [re.search(r": Audio: (\w+)", line) for line in lines]
    pixel_format, labels, height = _pictures(videos[0])
    return Clip(
        path=path,
        start=start,
        end=end,
        pixel_format=pixel_format,
        height=height,
        colours=_colours(labels),
        sounds=tuple(found[1] for found in sounds if found),
    )


def _length(words: str) -> float | None:
    """Seconds of a clip, where it says them."""
    found = re.search(r"Duration: (\d+):(\d+):([\d.]+)", words)
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else None


def _pictures(line: str) -> tuple[str, str, int]:
    """Pixel format, the labels of its colours, and rows, from ffmpeg's line about a video stream."""
    parts = re.split(r", (?![^(]*\))", line.split(": Video: ")[1])  # not at commas in brackets
    size = next((re.match(r"(\d+)x(\d+)", part) for part in parts if re.match(r"\d+x\d+", part)), None)
    format_and_labels = re.match(r"(\w+)(?:\(([^)]*)\))?", parts[1]) if len(parts) > 1 else None
    if size is None or format_and_labels is None:
        return "unknown", "", 0
    return format_and_labels[1], format_and_labels[2] or "", int(size[2])


def _colours(labels: str) -> Colours:
    """Colours from labels such as ``tv, bt2020nc/bt2020/smpte2084, progressive``."""
    known = {"tv", "pc", "progressive", "top first", "bottom first", "left", "center", "topleft"}
    for label in labels.split(", "):
        names = label.split("/")
        if len(names) == 3:
            return Colours(*names)
        if label and label not in known and re.fullmatch(r"[a-z]+\d[\w-]*", label):
            return Colours(label, label, label)
    return Colours()
