"""Clips to try things on, made of photos: a hand-held camera, a head that turns, talks and blinks, noise."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from tqdm import tqdm

from inference.video.clip import Colours
from inference.video.encoding import film
from options.demo_clip_options import DemoClipOptions
from utils.errors import InputError
from utils.faces.alignment import detect_faces
from utils.pictures.reading import read_pixels
from utils.pictures.sheets import fit

COLOURS = Colours("bt709", "bt709", "bt709")
_TURN, _SHIFT, _OPENING, _LID = (
    0.06,
    0.05,
    0.16,
    0.8,
)  # of the face's width; of the mouth's; of the eyes' height


def write_demo_clip(opts: DemoClipOptions) -> None:
    """Writes the clip of a command line.

    Raises:
        InputError: a photo cannot be read or shows no face, or the clip cannot be written.
    """
    rate = Fraction(opts.fps).limit_denominator(1001)
    base, frames = 1 / (rate * 1000), round(opts.seconds * opts.fps)
    photos = [_photo(Path(path), opts.side) for path in opts.photos or [matplotlib_portrait()]]
    shots = [
        MovingPhoto(photo, opts.seed + number, opts.pan, opts.talk) for number, photo in enumerate(photos)
    ]
    height, width = photos[0].shape[:2]
    noise = np.random.default_rng(opts.seed)
    ticks = [1000 * number for number in range(frames * len(shots))]
    with film(Path(opts.output), (width, height), ticks, base, COLOURS, opts.crf) as writer:
        for shot in shots:
            for pixels in tqdm(shot.frames(frames, opts.fps), "filming", frames, unit="frame"):
                grain = noise.normal(0, opts.noise, pixels.shape)
                noisy = np.clip(np.rint(pixels + grain), 0, 255).astype(np.uint8)
                writer.add(cv2.resize(noisy, (width, height)) if noisy.shape != photos[0].shape else noisy)


def matplotlib_portrait() -> str:
    """A portrait in the public domain, Grace Hopper's by the U.S. Navy, which comes with matplotlib."""
    import matplotlib

    return str(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")


def _photo(path: Path, side: int) -> np.ndarray:
    return np.asarray(fit(Image.fromarray(read_pixels(path)), side, enlarge=True))


class MovingPhoto:
    """A photo that moves as a filmed person does.

    Args:
        pixels: uint8 RGB (H, W, 3).
        seed: of the movements.
        pan: how far the camera moves, as a share of the width.
        talk: how far the head turns and the mouth opens, 0 to 1.

    Raises:
        InputError: no face was found.
    """

    def __init__(self, pixels: np.ndarray, seed: int = 0, pan: float = 0.04, talk: float = 1.0) -> None:
        faces = detect_faces(pixels)
        if not faces:
            raise InputError("no face found; make the clip of a photo in which one looks towards the camera")
        self._pixels, self._pan, self._talk = pixels, pan, talk
        self._landmarks = faces[0].landmarks.astype(np.float32)
        self._phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, 12)
        height, width = pixels.shape[:2]
        self._x, self._y = np.meshgrid(
            np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
        )

    def frames(self, count: int, fps: float) -> Iterator[np.ndarray]:
        """Yields so many frames, each of the size and type of the photo."""
        for number in range(count):
            yield self.at(number / fps)

    def at(self, seconds: float) -> np.ndarray:
        """The frame at a time."""
        x, y = self._camera(seconds)
        x, y = self._head(x, y, seconds)
        picture = cv2.remap(self._pixels, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        light = 1 + 0.06 * self._wave(0.37, 4, seconds)
        return np.clip(np.rint(picture * np.float32(light)), 0, 255).astype(np.uint8)

    def _wave(self, hertz: float, phase: int, seconds: float) -> float:
        return float(np.sin(2 * np.pi * hertz * seconds + self._phases[phase]))

    def _camera(self, seconds: float) -> tuple[np.ndarray, np.ndarray]:
        """Where each pixel of the frame lies in the photo: pan, zoom, rotation and the shake of a hand."""
        height, width = self._pixels.shape[:2]
        shake = [0.0015 * (self._wave(2.3, 5 + i, seconds) + self._wave(4.1, 7 + i, seconds)) for i in (0, 1)]
        # A pan begins where the photo was taken, however far it goes.
        pan = self._pan * np.sin(2 * np.pi * 0.25 * seconds)
        move = width * np.array(
            [pan + shake[0], 0.4 * min(self._pan, 0.1) * self._wave(0.19, 1, seconds) + shake[1]]
        )
        angle = np.deg2rad(3 * self._wave(0.23, 2, seconds))
        zoom = 1 / (1.05 + 0.05 * self._wave(0.17, 3, seconds))
        cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
        x, y = self._x - width / 2, self._y - height / 2
        x, y = cos * x - sin * y + width / 2 + move[0], sin * x + cos * y + height / 2 + move[1]
        return x.astype(np.float32), y.astype(np.float32)

    def _head(self, x: np.ndarray, y: np.ndarray, seconds: float) -> tuple[np.ndarray, np.ndarray]:
        """The same places, moved by a head that turns, a mouth that opens and eyes that blink."""
        points, talk = self._landmarks, self._talk
        face = float(points[16, 0] - points[0, 0])
        near = _bump(x, y, points.mean(0), 1.1 * face, 1.3 * face)
        turn = talk * face * _TURN * self._wave(0.53, 9, seconds)
        middle = near * _bump(x, y, points[30], 0.45 * face, 0.6 * face)  # the nose moves more than the ears
        x = x - turn * (0.5 * near + middle)
        y = y - talk * face * _SHIFT * self._wave(0.41, 10, seconds) * near
        corners = points[[48, 54]]
        width = float(corners[1, 0] - corners[0, 0])
        lips = corners.mean(0)
        opening = (
            talk
            * _OPENING
            * width
            * max(0.0, self._wave(3.1, 11, seconds))
            * (0.6 + 0.4 * self._wave(0.8, 0, seconds))
        )
        below = np.clip((y - lips[1]) / (0.2 * width), 0, 1)
        y = y - opening * below * _bump(x, y, lips + [0, 0.4 * width], 0.8 * width, 0.9 * width)
        blink = talk * _LID * max(0.0, 1 - abs((seconds + self._phases[0]) % 2.1 - 1.0) / 0.12)
        for eye in (points[36:42], points[42:48]):
            width = float(np.ptp(eye[:, 0]))
            lid = _bump(x, y, eye.mean(0), 0.7 * width, 0.45 * width)
            y = y + blink * lid * (y - eye.mean(0)[1])
        return x.astype(np.float32), y.astype(np.float32)


def _bump(x: np.ndarray, y: np.ndarray, centre: np.ndarray, width: float, height: float) -> np.ndarray:
    """1 at a place, falling to nothing about so far from it."""
    return np.exp(-(((x - centre[0]) / width) ** 2) - ((y - centre[1]) / height) ** 2).astype(np.float32)
