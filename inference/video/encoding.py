"""Films from frames: segments that are whole or not there, and one film of them with the sound of a clip."""

import contextlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from inference.video.clip import UNKNOWN, Clip, Colours
from inference.video.ffmpeg import Ffmpeg, reason, run
from inference.video.frames import MATRICES, SCALING, Timeline, usual_step
from utils.errors import InputError
from utils.files.writing import write_text, written_atomically
from utils.notes import note

# Sound that MP4 files hold and players know there; other sound is encoded anew.
COPIED_SOUNDS = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"})
NEW_SOUND = "192k"  # bits a second of sound that is encoded anew
QUOTED = r"'\''"  # an apostrophe in a name of a list for ffmpeg


class FilmWriter:
    """Encodes frames of one size as H.264; see :func:`film`."""

    def __init__(self, program: Ffmpeg, path: Path) -> None:
        self._program, self._path = program, path

    def add(self, pixels: np.ndarray) -> None:
        """Adds a frame, uint8 RGB (H, W, 3); an odd side loses its last row or column.

        Raises:
            InputError: the encoder failed.
        """
        height, width = (side - side % 2 for side in pixels.shape[:2])
        try:
            self._program.input.write(np.ascontiguousarray(pixels[:height, :width]).data)
        except OSError:
            self._program.finish()
            self._fail()

    def end(self) -> None:
        """Waits until all is written; raises ``InputError`` if it was not."""
        if not self._program.finish():
            self._fail()

    def _fail(self) -> None:
        why = reason(self._program.messages())
        raise InputError(f"cannot write {self._path}: the video encoder failed ({why})")


@contextlib.contextmanager
def film(
    path: Path, size: tuple[int, int], ticks: Sequence[int], base: Fraction, colours: Colours, crf: int
) -> Iterator[FilmWriter]:
    """Writes a film without sound; the file is there when all its frames are in it.

    Args:
        path: of the film.
        size: width and height of its frames.
        ticks: when each is shown, from 0 on.
        base: seconds of a tick.
        colours: how the film turns colours into numbers.
        crf: quality of x264, 0 to 51; the lower the better.

    Raises:
        InputError: it cannot be written.
    """
    width, height = (side - side % 2 for side in size)
    if not width or not height:
        raise InputError(f"cannot write {path}: a film needs two rows and two columns of pixels")
    step = usual_step(ticks, base)
    given = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r {1 / (step * base)} -i pipe:0".split()
    filters = f"settb={base},setpts={_expression(ticks)},{_into(colours)}"
    coded = f"-fps_mode passthrough -enc_time_base {base} -c:v libx264 -crf {crf} -preset medium".split()
    held = f"-video_track_timescale {base.denominator} -f mp4".split()
    with (
        written_atomically(path) as temporary,
        Ffmpeg([*given, "-vf", filters, *coded, *held, "-y", f"file:{temporary}"], fed=True) as program,
    ):
        writer = FilmWriter(program, path)
        yield writer
        writer.end()


def _into(colours: Colours) -> str:
    """Filters that bring RGB into some colours, with labels that say so."""
    matrix = MATRICES.get(colours.matrix, colours.matrix)
    values = {
        "colorspace": colours.matrix,
        "color_primaries": colours.primaries,
        "color_trc": colours.transfer,
    }
    labels = "".join(f":{name}={value}" for name, value in values.items() if value not in UNKNOWN)
    scaled = f"scale=out_color_matrix={matrix}:out_range=tv:{SCALING}"
    return f"{scaled},format=yuv420p,setparams=range=tv{labels}"


def _expression(ticks: Sequence[int]) -> str:
    """The times of frames as a formula of their number N."""
    steps = set(np.diff(ticks).tolist())
    if len(steps) <= 1:
        return f"N*{steps.pop() if steps else 1}"
    return "+".join(f"eq(N\\,{number})*{tick}" for number, tick in enumerate(ticks) if tick)


def join_films(
    parts: Sequence[Path], starts: Sequence[int], timeline: Timeline, clip: Clip, path: Path
) -> None:
    """Writes one film of some without encoding them anew, with the sound of a clip.

    Args:
        parts: films of :func:`film`, in order, of one folder.
        starts: number of the first frame of each.
        timeline: when the frames are shown.
        clip: whose sound and metadata the film gets.
        path: of the film.

    Raises:
        InputError: it cannot be written.
    """
    ticks = [int(timeline.ticks[start]) for start in starts]
    lengths = np.diff([*ticks, timeline.end])
    entries = [
        f"file '{part.name.replace(chr(39), QUOTED)}'\nduration {float(length * timeline.base):.6f}"
        for part, length in zip(parts, lengths, strict=True)
    ]
    text = "\n".join(["ffconcat version 1.0", *entries, ""])
    listing = write_text(text, parts[0].with_name("segments.txt"))
    sound, anew = _sound(clip.sounds)
    if anew:
        note(f"{clip.path}: MP4 files do not hold its sound ({', '.join(anew)}), which is encoded as AAC")
    delay = float(timeline.ticks[0] * timeline.base)
    pictures = f"-itsoffset {delay:.6f} -f concat -safe 0 -i".split() + [f"file:{listing}"]
    chosen = ["-map", "0:v", "-map", "1:a?", "-map_metadata", "1", "-c:v", "copy", *sound]
    held = f"-video_track_timescale {timeline.base.denominator} -movflags +faststart -f mp4 -y".split()
    with written_atomically(path) as temporary:
        fine, messages = run([*pictures, *clip.seeking(), *chosen, *held, f"file:{temporary}"])
        if not fine:
            raise InputError(f"cannot write {path}: {reason(messages)}")


def _sound(codecs: Sequence[str]) -> tuple[list[str], list[str]]:
    """Arguments for the sound tracks, and the codecs of those that are encoded anew."""
    arguments, anew = [], []
    for number, codec in enumerate(codecs):
        if codec in COPIED_SOUNDS:
            arguments += [f"-c:a:{number}", "copy"]
        else:
            arguments += [f"-c:a:{number}", "aac", f"-b:a:{number}", NEW_SOUND]
            anew.append(codec)
    return arguments, anew
