"""A face through the ages as one file: a looping GIF, an MP4 film, or a grid with the ages below."""

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from utils.errors import InputError
from utils.files.writing import written_atomically
from utils.pictures.sheets import tile

FRAMES_PER_SECOND = 12
HOLD = 6  # frames for which the first and the last picture stand still


def has_video_writer() -> bool:
    """Whether MP4 files can be written."""
    return importlib.util.find_spec("imageio_ffmpeg") is not None


def require_video_writer(otherwise: str | None = "--sweep=gif") -> None:
    """Checks that MP4 files can be written.

    Args:
        otherwise: what else to choose; None where there is nothing.

    Raises:
        InputError: imageio-ffmpeg is not installed.
    """
    if not has_video_writer():
        choice = f" (or choose {otherwise})" if otherwise else ""
        raise InputError(f"MP4 needs imageio-ffmpeg; run: pip install imageio-ffmpeg{choice}")


def there_and_back(frames: Sequence[Image.Image]) -> list[Image.Image]:
    """The frames forwards and backwards with a pause at both ends: a film that can be looped."""
    middle = list(frames[1:-1])
    return [frames[0]] * HOLD + middle + [frames[-1]] * HOLD + middle[::-1]


def write_gif(frames: Sequence[Image.Image], path: str | Path) -> None:
    """Writes frames of one size as an endless GIF of 256 colours, the same in every frame, atomically."""
    samples = [frame.resize((96, 96)) for frame in frames[:: max(1, len(frames) // 8)]]
    palette = tile([samples]).quantize(256)
    different = {id(frame): frame for frame in frames}  # a film that runs back shows most of them twice
    dither = Image.Dither.FLOYDSTEINBERG
    reduced = {key: frame.quantize(palette=palette, dither=dither) for key, frame in different.items()}
    steps = [reduced[id(frame)] for frame in frames]
    duration = round(1000 / FRAMES_PER_SECOND)
    with written_atomically(path) as temporary:
        steps[0].save(
            temporary, format="GIF", save_all=True, append_images=steps[1:], duration=duration, loop=0
        )


def write_mp4(frames: Sequence[Image.Image], path: str | Path) -> None:
    """Writes frames of one size as an H.264 film that every player reads, atomically.

    An odd side loses its last row or column: the format needs even ones.

    Raises:
        InputError: imageio-ffmpeg is not installed, or its encoder fails.
    """
    require_video_writer()
    import imageio_ffmpeg

    width, height = (side - side % 2 for side in frames[0].size)
    if not width or not height:
        raise InputError(f"cannot write {path}: a film needs two rows and two columns of pixels")
    with written_atomically(path) as temporary:
        writer = imageio_ffmpeg.write_frames(
            str(temporary),
            (width, height),
            fps=FRAMES_PER_SECOND,
            codec="libx264",
            quality=8,
            macro_block_size=2,
            output_params=["-movflags", "+faststart"],
            ffmpeg_log_level="error",
        )
        try:
            writer.send(None)
            for frame in frames:
                writer.send(np.ascontiguousarray(np.asarray(frame)[:height, :width]))
        except OSError as error:
            raise InputError(f"cannot write {path}: the video encoder failed ({error})") from error
        finally:
            writer.close()


def labelled_grid(pictures: Sequence[Image.Image], labels: Sequence[str], gap: int = 4) -> Image.Image:
    """Lays pictures of one size out in rows, about twice as wide as high, each with its label below."""
    width, height = pictures[0].size
    columns = min(len(pictures), max(1, math.ceil(math.sqrt(2 * len(pictures) * height / width))))
    rows = math.ceil(len(pictures) / columns)
    columns = math.ceil(len(pictures) / rows)
    font = ImageFont.load_default(size=max(10, round(height / 12)))
    line = int(font.getbbox("Ag")[3]) + gap
    cell = (width + gap, height + line + gap)
    sheet = Image.new("RGB", (columns * cell[0] + gap, rows * cell[1] + gap), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        left, top = gap + index % columns * cell[0], gap + index // columns * cell[1]
        sheet.paste(picture, (left, top))
        draw.text((left + width // 2, top + height + gap // 2), label, "black", font, anchor="ma")
    return sheet
