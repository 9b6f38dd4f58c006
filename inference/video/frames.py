"""The frames of a clip: when each is shown, and their pixels, upright, one after the other."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from inference.video.clip import Clip, UnusableClipError
from inference.video.ffmpeg import Ffmpeg, reason, run
from utils.notes import note

_VIDEO = ("-map", "0:V:0", "-fps_mode", "passthrough")  # every frame once, whatever the times between them
SCALING = "flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
# From HDR to BT.709: linear light, the colours of BT.709, highlights compressed (Hable).
TONE_MAPPED = (
    "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,tonemap=tonemap=hable:desat=0,"
    "zscale=t=bt709:m=bt709:r=tv,format=yuv444p,"
)
# ffmpeg calls a matrix otherwise in its filter `scale` than in its descriptions.
MATRICES = {"bt470bg": "bt470", "bt2020nc": "bt2020", "bt2020c": "bt2020"}


@dataclass(frozen=True)
class Timeline:
    """When the frames of a clip are shown.

    Attributes:
        ticks: (N,) int64, rising; counted from the start of the part that is read.
        base: seconds of a tick.
    """

    ticks: np.ndarray
    base: Fraction

    def __len__(self) -> int:
        return len(self.ticks)

    @property
    def seconds(self) -> np.ndarray:
        """Times (N,) in seconds."""
        return self.ticks * float(self.base)

    @property
    def rate(self) -> float:
        """Frames a second, on average."""
        return len(self) / self.length

    @property
    def length(self) -> float:
        """Seconds from the first frame to the end of the last."""
        return float((self.end - self.ticks[0]) * self.base)

    @property
    def end(self) -> int:
        """The tick at which the last frame is over, as far as one can know."""
        return int(self.ticks[-1]) + usual_step(self.ticks, self.base)


def usual_step(ticks: Sequence[int] | np.ndarray, base: Fraction) -> int:
    """Ticks from a frame to the next: the middle of all intervals; of a single frame a 25th of a second."""
    return int(np.median(np.diff(ticks))) if len(ticks) > 1 else max(1, round(Fraction(1, 25) / base))


def read_timeline(clip: Clip) -> Timeline:
    """Decodes a clip for the times of its frames alone.

    Raises:
        InputError: it has no frames, or cannot be decoded.
    """
    with tempfile.TemporaryDirectory() as folder:
        times = Path(folder) / "times.txt"
        told = ("-stats_enc_pre", str(times), "-stats_enc_pre_fmt", "{ptsi} {tbi}")
        fine, messages = run([*clip.seeking(), *_VIDEO, *told, "-c:v", "wrapped_avframe", "-f", "null", "-"])
        lines = times.read_text(encoding="ascii").split("\n") if times.is_file() else []
    words = [line.split() for line in lines if line.strip()]
    if not words and fine:
        part = " between --start and --end" if clip.start or clip.end is not None else ""
        raise UnusableClipError(f"{clip.path} has no frames{part}; choose another part or clip")
    if not words:
        raise UnusableClipError(f"{clip.path} cannot be decoded ({reason(messages)}); give another clip")
    if messages:
        note(f"{clip.path} is damaged ({reason(messages)}); {len(words)} frames of it can be read")
    base = Fraction(words[0][1])
    ticks = np.array([int(word) if word.lstrip("-").isdigit() else -1 for word, _ in words], np.int64)
    return Timeline(_rising(ticks), base)


def _rising(ticks: np.ndarray) -> np.ndarray:
    """Times of which none is that of the frame before or earlier: such a frame comes a tick after it."""
    steps = np.arange(len(ticks))
    return np.maximum.accumulate(ticks - steps) + steps


class Frames:
    """The frames of a clip from one on; a context that ends the reading, and an iterator in it.

    Each is uint8 RGB (H, W, 3), turned upright, with square pixels.

    Args:
        clip: the clip.
        first: number of the first frame that is given.
    """

    def __init__(self, clip: Clip, first: int = 0) -> None:
        self.clip = clip
        chosen = f"select=gte(n\\,{first})," if first else ""
        mapped = TONE_MAPPED if clip.hdr else ""
        matrix = clip.encoded.matrix
        scaled = f"scale=w=iw*sar:h=ih:{SCALING}:in_color_matrix={MATRICES.get(matrix, matrix)}"
        filters = f"{chosen}{mapped}{scaled},setsar=1,format=rgb24"
        self._program = Ffmpeg(
            [*clip.seeking(), *_VIDEO, "-vf", filters, "-c:v", "ppm", "-f", "image2pipe", "pipe:1"], read=True
        )

    def __enter__(self) -> "Frames":
        self._program.__enter__()
        return self

    def __exit__(self, *trouble: object) -> None:
        self._program.__exit__(None, None, None)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields the frames.

        Raises:
            InputError: the clip cannot be decoded to its end.
        """
        while (frame := self._next()) is not None:
            yield frame
        if not self._program.finish():
            why = reason(self._program.messages())
            raise UnusableClipError(
                f"{self.clip.path} cannot be decoded to its end ({why}); give another clip"
            )

    def _next(self) -> np.ndarray | None:
        """A frame in the format PPM, whose head says its size; None at the end."""
        stream = self._program.output
        if not stream.readline():
            return None
        width, height = map(int, stream.readline().split())
        stream.readline()
        pixels = stream.read(3 * width * height)
        if len(pixels) < 3 * width * height:
            return None
        return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
