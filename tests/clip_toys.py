"""Small clips for the tests of video: frames with a face that moves, files of many kinds made by ffmpeg."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from inference.video.clip import Colours, open_clip
from inference.video.demo_clip import MovingPhoto
from inference.video.encoding import film
from inference.video.ffmpeg import run
from inference.video.frames import Frames

RATE = 25
pytest.importorskip("imageio_ffmpeg", reason="video needs the extra imageio-ffmpeg")


def make(path: Path, *arguments: str) -> Path:
    """Has ffmpeg make a file."""
    fine, messages = run([*arguments, "-y", str(path)])
    assert fine, messages
    return path


def pattern(path: Path, *more: str, size: str = "96x64", seconds: float = 1.0, rate: str = "25") -> Path:
    """A clip without faces; further arguments say how it is encoded."""
    return make(path, "-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}:d={seconds}", *more)


def moving_face(count: int, seed: int = 0, pan: float = 0.02) -> list[np.ndarray]:
    """Frames (300, 300, 3) of a face that is 92 pixels wide, filmed by hand."""
    photo = MovingPhoto(np.ascontiguousarray(astronaut()[:300, 80:380]), seed, pan)
    return list(photo.frames(count, RATE))


def write_clip(path: Path, frames: Sequence[np.ndarray], sound: bool = False, crf: int = 12) -> Path:
    """Writes frames as a clip, with a tone or without."""
    height, width = frames[0].shape[:2]
    silent = path.with_name(f"silent_{path.name}") if sound else path
    ticks, colours = list(range(len(frames))), Colours("bt709", "bt709", "bt709")
    with film(silent, (width, height), ticks, Fraction(1, RATE), colours, crf) as writer:
        for frame in frames:
            writer.add(frame)
    if sound:
        tone = ("-f", "lavfi", "-i", f"sine=440:d={len(frames) / RATE}")
        make(path, "-i", str(silent), *tone, "-c:v", "copy", "-c:a", "aac")
        silent.unlink()
    return path


def read_clip(path: Path) -> list[np.ndarray]:
    """All frames of a clip."""
    with Frames(open_clip(path)) as frames:
        return list(frames)


def portrait() -> np.ndarray:
    """A real face, (150, 150, 3)."""
    return np.ascontiguousarray(astronaut()[30:180, 150:300])


def on_grey(face: np.ndarray, x: int) -> np.ndarray:
    """A frame (180, 330, 3) with a face (150, 150, 3) so far from the left."""
    frame = np.full((180, 330, 3), 150, np.uint8)
    frame[15:165, x : x + 150] = face
    return frame
