"""Face alignment: dlib's 68 landmarks, the FFHQ square (Karras et al., 2019, appendix C) and a tight one.

Landmark coordinates are pixel centres: (0, 0) is the middle of the top left pixel.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from PIL import Image

from utils.errors import InputError

DETECTION_SIDE = 480  # the detector finds faces from 80 pixels on: first a sixth of the longer side
LARGEST_SEARCH = 24_000_000  # pixels that are searched at once: 8 seconds and 500 MB
FACE_SCORE = 0.3  # of an upright face; docs/inference.md has the figures
_UPRIGHT_SIDE = 256  # pixels of the square in which a face is looked at once more
_OFF_CENTRE = 0.18  # of that side
_BLUR = 0.02  # FFHQ: deviation of the blur beyond the photo, as a fraction of the side
_FADE = 0.3  # FFHQ: the border fades over at least this fraction of the side
_PREDICTOR = "shape_predictor_68_face_landmarks.dat"


@dataclass(frozen=True)
class Crop:
    """Constants of the square: ``s`` scales it, ``k`` moves it from the eyes (0) towards the mouth (1)."""

    s: float
    k: float
    fade: bool = False  # blur and fade what is mirrored beyond the photo, as FFHQ does


CROPS = {"tight": Crop(0.58, 0.5), "ffhq": Crop(1.0, 0.1, fade=True)}


@dataclass(frozen=True)
class Face:
    """One face of a photo: landmarks (68, 2) in pixels and the detector's score."""

    landmarks: np.ndarray
    score: float
    width: float


def model_path(name: str) -> Path:
    """Finds a file of the face-recognition-models package, without importing that package.

    Raises:
        InputError: the package is not installed or lacks the file.
    """
    spec = importlib.util.find_spec("face_recognition_models")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "models" / name
        if path.is_file():
            return path
    raise InputError(f"{name} was not found; run: pip install face-recognition-models")


def predictor_path() -> Path:
    """Where dlib's 68-point predictor lies; raises ``InputError`` as :func:`model_path` does."""
    return model_path(_PREDICTOR)


def dlib_module() -> ModuleType:
    """Imports dlib only when a photo is aligned."""
    try:
        import dlib
    except ImportError as error:
        raise InputError("face alignment needs dlib; run: pip install dlib-bin") from error
    return dlib


@cache
def _networks() -> tuple[Any, Any]:
    """Loads detector and landmark predictor, once per process."""
    dlib = dlib_module()
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(predictor_path()))


def detect_faces(pixels: np.ndarray, side: int = DETECTION_SIDE, every: bool = False) -> list[Face]:
    """Finds faces and their landmarks, the main one (area times score) first.

    Searches the photo reduced to ``side`` pixels, then at twice that and so on up to its full size, until
    there is a face. What the detector takes for one counts if it does so once more in the upright square
    about its landmarks, with a score of :data:`FACE_SCORE` or more.

    Args:
        pixels: uint8 RGB (H, W, 3).
        side: longer side of the picture that is searched first.
        every: search at all these sizes, for small faces beside large ones.
    """
    pixels = np.ascontiguousarray(pixels)
    found: list[Face] = []
    height, width = pixels.shape[:2]
    for target, enlarge in _search_sizes(max(height, width), side, height * width):
        candidates = _search(pixels, target, enlarge)
        further = [
            face for face in candidates if upright_score(anchors_of(face.landmarks), pixels) >= FACE_SCORE
        ]
        found += [face for face in further if not any(_same_face(face, other) for other in found)]
        if found and not every:
            break
    return sorted(found, key=lambda face: face.width**2 * max(face.score, 1e-3), reverse=True)


def landmarks_in(pixels: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Landmarks (68, 2) of the face in a box that is known.

    Args:
        pixels: uint8 RGB (H, W, 3).
        box: left, top, right and bottom in pixels; it may reach beyond the photo.

    Raises:
        InputError: dlib or its landmark file is missing.
    """
    rectangle = dlib_module().rectangle(*np.rint(box).astype(int).tolist())
    _, predictor = _networks()
    return _points(predictor(np.ascontiguousarray(pixels), rectangle))


def _points(shape: Any) -> np.ndarray:
    return np.array([(point.x, point.y) for point in shape.parts()], dtype=np.float64)


def _search_sizes(longest: int, side: int, area: int) -> list[tuple[int, int]]:
    """Longer sides at which a photo is searched, each with the number of times it is doubled before."""
    if longest <= side:
        return [(longest, 0), (longest, 1)]
    full = min(longest, int(longest * (LARGEST_SEARCH / area) ** 0.5))
    sizes = [min(side, full), min(2 * side, full)]
    while sizes[-1] * 1.05 < full:
        further = 2 * sizes[-1]
        sizes.append(further if further * 1.3 < full else full)
    return [(size, 0) for size in sizes]


def _search(pixels: np.ndarray, target: int, enlarge: int) -> list[Face]:
    """What the detector finds in a photo whose longer side is reduced to ``target`` pixels."""
    dlib = dlib_module()
    detector, predictor = _networks()
    height, width = pixels.shape[:2]
    scale = min(1.0, target / max(height, width))
    reduced = pixels
    if scale < 1:
        new = (max(1, round(width * scale)), max(1, round(height * scale)))
        reduced = cv2.resize(pixels, new, interpolation=cv2.INTER_AREA)
    boxes, scores, _ = detector.run(reduced, enlarge)
    faces = []
    zoom = np.array([width / reduced.shape[1], height / reduced.shape[0]])
    for box, score in zip(boxes, scores, strict=True):
        start = (np.array([box.left(), box.top()]) + 0.5) * zoom - 0.5
        end = (np.array([box.right(), box.bottom()]) + 0.5) * zoom - 0.5
        rectangle = dlib.rectangle(*np.rint([*start, *end]).astype(int).tolist())
        landmarks = _points(predictor(pixels, rectangle))
        faces.append(Face(landmarks, float(score), float(end[0] - start[0])))
    return faces


def upright_score(anchors: np.ndarray, pixels: np.ndarray) -> float:
    """The detector's best score near the middle of the upright square about a face; -1 without one.

    Args:
        anchors: of the face, see :func:`anchors_of`.
        pixels: uint8 RGB (H, W, 3).
    """
    try:
        square = anchor_square(anchors, 1.0, 0.3)
    except ValueError:  # landmarks in one place
        return -1.0
    upright = np.ascontiguousarray(warp_square(pixels, square, _UPRIGHT_SIDE))
    boxes, scores, _ = _networks()[0].run(upright, 0)
    middle = _UPRIGHT_SIDE / 2
    near = [
        float(score)
        for box, score in zip(boxes, scores, strict=True)
        if max(abs(box.center().x - middle), abs(box.center().y - middle)) < _OFF_CENTRE * _UPRIGHT_SIDE
    ]
    return max(near, default=-1.0)


def _same_face(first: Face, second: Face) -> bool:
    """Whether two finds of different searches are one face: the middle of one lies well within the other."""
    middles = first.landmarks.mean(0) - second.landmarks.mean(0)
    return bool(np.hypot(*middles) < 0.5 * max(first.width, second.width))


def anchors_of(landmarks: np.ndarray) -> np.ndarray:
    """What the square depends on of landmarks (68, 2) in dlib's (iBUG) order: (3, 2), eyes and mouth."""
    mouth = (landmarks[48] + landmarks[54]) / 2
    return np.stack([landmarks[36:42].mean(0), landmarks[42:48].mean(0), mouth])


def face_square(landmarks: np.ndarray, s: float, k: float) -> np.ndarray:
    """The square of landmarks (68, 2), see :func:`anchor_square`."""
    return anchor_square(anchors_of(landmarks), s, k)


def anchor_square(anchors: np.ndarray, s: float, k: float) -> np.ndarray:
    """Returns the corners (4, 2) of the aligned square: top left, bottom left, bottom right, top right.

    Args:
        anchors: (3, 2), see :func:`anchors_of`.
        s: size; the half side is ``s * max(2.0 |eye to eye|, 1.8 |eyes to mouth|)``.
        k: position of the centre on the way from the eyes to the mouth.
    """
    left, right, mouth = anchors
    eyes = (left + right) / 2
    across = right - left
    down = mouth - eyes
    direction = across + np.array([down[1], -down[0]])
    length = np.hypot(*direction)
    if length == 0:
        raise ValueError("the landmarks coincide")
    x = direction / length * s * max(2.0 * np.hypot(*across), 1.8 * np.hypot(*down))
    y = np.array([-x[1], x[0]])
    centre = eyes + k * down
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def outside_share(square: np.ndarray, width: int, height: int) -> float:
    """Share of the square that lies beyond a photo of ``width`` x ``height`` pixels."""
    photo = np.array([[-0.5, -0.5], [width - 0.5, -0.5], [width - 0.5, height - 0.5], [-0.5, height - 0.5]])
    area, _ = cv2.intersectConvexConvex(square.astype(np.float32), photo.astype(np.float32))
    return float(np.clip(1.0 - area / cv2.contourArea(square.astype(np.float32)), 0.0, 1.0))


def warp_square(pixels: np.ndarray, square: np.ndarray, size: int, fade: bool = False) -> np.ndarray:
    """Cuts a square out of a photo.

    It is sampled at 1 to 2 times the output size (bicubic) from a photo reduced to that scale, then reduced
    with Lanczos. What lies beyond the photo is mirrored.

    Args:
        pixels: uint8 RGB (H, W, 3).
        square: corners (4, 2), see ``face_square``.
        size: side of the result.
        fade: blur what is mirrored and fade it to the median colour, as FFHQ does.

    Returns:
        uint8 (size, size, 3).
    """
    side = float(np.hypot(*(square[3] - square[0])))
    samples = int(np.clip(np.ceil(side), size, 2 * size))
    source, origin, zoom = _reduce(pixels, square, min(1.0, samples / side))
    top_left, bottom_left, _, top_right = (square + 0.5 - origin) * zoom - 0.5
    across, down = (top_right - top_left) / samples, (bottom_left - top_left) / samples
    first = top_left + 0.5 * (across + down)
    matrix = np.stack([across, down, first], axis=1)
    result = cv2.warpAffine(
        source,
        matrix,
        (samples, samples),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT,
    )
    if fade:
        result = _fade(result, square, pixels.shape[1], pixels.shape[0])
    if samples != size:
        result = np.asarray(Image.fromarray(result).resize((size, size), Image.Resampling.LANCZOS))
    return result


def _reduce(
    pixels: np.ndarray, square: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cuts what the square needs out of a photo, mirrored parts included, and reduces it by ``scale``.

    Returns:
        the pixels, the (x, y) edge where they begin, and the exact reduction in x and y.
    """
    if scale == 1.0:
        return pixels, np.zeros(2), np.ones(2)
    edges = []
    for axis, length in ((0, pixels.shape[1]), (1, pixels.shape[0])):
        margin = 4.0 / scale
        low, high = square[:, axis].min() - margin, square[:, axis].max() + margin
        start = min(max(low, 0.0), 2 * length - high)  # a mirror reaches as far in as it reaches out
        end = max(min(high, length), -low)
        edges.append((int(np.clip(start, 0, length - 1)), int(np.clip(np.ceil(end), 1, length))))
    (left, right), (top, bottom) = edges
    new = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
    part = Image.fromarray(pixels[top:bottom, left:right])
    reduced = np.asarray(part.resize(new, Image.Resampling.LANCZOS, reducing_gap=3.0))
    return reduced, np.array([left, top]), np.array([new[0] / (right - left), new[1] / (bottom - top)])


def _fade(picture: np.ndarray, square: np.ndarray, width: int, height: int) -> np.ndarray:
    """FFHQ's border: blurred from a tenth of the side inside the photo on, faded to the median outside it."""
    samples = picture.shape[0]
    side = float(np.hypot(*(square[3] - square[0])))
    overhang = np.array([*-square.min(0), *(square.max(0) - [width - 1, height - 1])])
    if overhang.max() <= 0:
        return picture
    pads = np.maximum(overhang, _FADE * side)
    steps = (np.arange(samples) + 0.5) / samples
    points = square[0] + steps[None, :, None] * (square[3] - square[0])
    points = points + steps[:, None, None] * (square[1] - square[0])
    beyond = np.concatenate([-points, points - [width - 1, height - 1]], axis=2) / pads
    depth = beyond.max(axis=2, keepdims=True).astype(np.float32)
    image = picture.astype(np.float32)
    blurred = cv2.GaussianBlur(image, (0, 0), _BLUR * samples, borderType=cv2.BORDER_REFLECT)
    image += (blurred - image) * np.clip(3 * depth + 1, 0, 1)
    image += (np.median(image, axis=(0, 1)) - image) * np.clip(depth, 0, 1)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def align_face(
    pixels: np.ndarray, landmarks: np.ndarray, size: int, crop: Crop = CROPS["tight"]
) -> np.ndarray:
    """Aligns one face of a photo, uint8 (H, W, 3), to uint8 (size, size, 3)."""
    return warp_square(pixels, face_square(landmarks, crop.s, crop.k), size, crop.fade)


def align_photo(
    pixels: np.ndarray, size: int, crop: Crop = CROPS["tight"], faces: Sequence[Face] | None = None
) -> np.ndarray:
    """Aligns the main face of a photo, uint8 (H, W, 3), to uint8 (size, size, 3).

    Raises:
        InputError: no face was found, or dlib or its landmark file is missing.
    """
    faces = detect_faces(pixels) if faces is None else faces
    if not faces:
        raise InputError("no face found; use a photo in which one face looks towards the camera")
    return align_face(pixels, faces[0].landmarks, size, crop)
