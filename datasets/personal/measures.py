"""What can be measured in one photo of a personal album: its faces, their quality and their descriptors.

Nothing is decided here. The measurements of a photo are kept in a cache under the checksum of its content, so
that an interrupted run goes on, and a run with other thresholds takes seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from utils.errors import InputError, explained
from utils.faces.alignment import CROPS, Face, align_face, detect_faces, face_square, outside_share
from utils.faces.descriptor import FaceDescriptor
from utils.faces.quality import face_print, head_pose, sharpness
from utils.files.writing import written_atomically
from utils.pictures.archives import file_size
from utils.pictures.opening import MissingReaderError, digest_of
from utils.pictures.reading import capture_date, read_pixels

VERSION = 2  # of the measurements; a change makes old caches void
SEARCH_SIDE = 960  # faces from a twelfth of the longer side on are found
MEASURED_SIZE = 128  # pixels of the aligned face in which sharpness is measured
BORDER = 0.3  # of the longer side
THUMBNAIL = 160
# Photos that phones and cameras write and that are not read here.
UNREAD = frozenset({".dng", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2", ".orf"})


@dataclass(frozen=True)
class FaceMeasure:
    """One face of a photo.

    Attributes:
        landmarks: (68, 2) in pixels of the upright photo.
        descriptor: (128,), see ``utils.faces.descriptor``.
        thumbprint: (32, 32) uint8, see ``utils.faces.quality.face_print``.
        score: of the detector.
        side: of the tight square, in pixels of the photo.
        outside: share of the tight square beyond the photo.
        sharpness: see ``utils.faces.quality.sharpness``.
        yaw: degrees, see ``utils.faces.quality.head_pose``.
        pitch: degrees.
    """

    landmarks: np.ndarray
    descriptor: np.ndarray
    thumbprint: np.ndarray
    score: float
    side: float
    outside: float
    sharpness: float
    yaw: float
    pitch: float


@dataclass(frozen=True)
class Photo:
    """A file and what was measured in it.

    Attributes:
        path: the file.
        name: its path below the album, with forward slashes.
        sha256: of its content.
        bytes: its length.
        problem: why it could not be read; empty if it could.
        unsupported: whether the problem is the format and not damage.
        width: of the upright photo.
        height: of the upright photo.
        taken: day of the photo by its EXIF entry.
        faces: the main one first.
        thumbnail: uint8 RGB, longer side 160, None for an unreadable file.
    """

    path: Path
    name: str
    sha256: str
    bytes: int
    problem: str = ""
    unsupported: bool = False
    width: int = 0
    height: int = 0
    taken: date | None = None
    faces: Sequence[FaceMeasure] = ()
    thumbnail: np.ndarray | None = None

    @property
    def thumbprint(self) -> np.ndarray:
        """The whole photo as ``utils.faces.quality.face_print`` makes it of a face."""
        assert self.thumbnail is not None
        return face_print(self.thumbnail)


def measure_photo(path: Path, album: Path, cache_folder: Path) -> Photo:
    """Measures one photo, or takes the measurements from the cache; never raises for a bad photo.

    Raises:
        InputError: dlib or its model files are not installed, or the cache cannot be written.
    """
    name = path.relative_to(album).as_posix() if album in path.parents else path.as_posix()
    known = Photo(path, name, "", 0)
    try:
        known = replace(known, sha256=digest_of(path), bytes=file_size(path))
    except InputError as error:
        return replace(known, problem=str(error).removeprefix(f"cannot read {path}: "))
    if not known.bytes:
        return replace(known, problem="the file is empty")
    if path.suffix.lower() in UNREAD:
        kind = path.suffix[1:].upper()
        return replace(known, problem=f"{kind} photos are not read; export it as JPEG", unsupported=True)
    cached = cache_folder / f"{known.sha256}.{VERSION}.npz"
    arrays = _load(cached)
    if arrays is None:
        try:
            pixels = read_pixels(path)
        except MissingReaderError as error:
            return replace(known, problem=str(error).removeprefix(f"{path}: "), unsupported=True)
        except InputError as error:
            reason = str(error).removeprefix(f"cannot read {path}").strip(" :(").partition("); the file")[0]
            return replace(known, problem=reason)
        try:
            arrays = _measure(pixels, capture_date(path))
        except MemoryError as error:
            return replace(known, problem=str(explained(error)))
        _store(arrays, cached)
    return _measured(known, arrays)


def _measure(pixels: np.ndarray, taken: date | None) -> dict[str, np.ndarray]:
    """All measurements of a photo as arrays."""
    height, width = pixels.shape[:2]
    landmarks, numbers, descriptors, prints = [], [], [], []
    for face in _find_faces(pixels):
        try:
            square = face_square(face.landmarks, CROPS["tight"].s, CROPS["tight"].k)
        except ValueError:  # landmarks that coincide: no face
            continue
        aligned = align_face(pixels, face.landmarks, MEASURED_SIZE)
        side = float(np.hypot(*(square[3] - square[0])))
        landmarks.append(face.landmarks)
        numbers.append(
            (
                face.score,
                side,
                outside_share(square, width, height),
                sharpness(aligned),
                *head_pose(face.landmarks),
            )
        )
        descriptors.append(_descriptor().in_photo(pixels, face.landmarks))
        prints.append(face_print(aligned))
    scale = THUMBNAIL / max(width, height)
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    return {
        "size": np.array([width, height]),
        "taken": np.array([0 if taken is None else taken.toordinal()]),
        "landmarks": np.array(landmarks, np.float64).reshape(-1, 68, 2),
        "numbers": np.array(numbers, np.float64).reshape(-1, 6),
        "descriptors": np.array(descriptors, np.float32).reshape(-1, 128),
        "prints": np.array(prints, np.uint8).reshape(-1, 32, 32),
        "thumbnail": cv2.resize(
            pixels, small, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        ),
    }


def _find_faces(pixels: np.ndarray) -> list[Face]:
    """Finds faces; where there seems to be none, once more with a border, for faces that fill the photo."""
    faces = detect_faces(pixels, SEARCH_SIDE)
    if faces:
        return faces
    border = round(BORDER * max(pixels.shape[:2]))
    bordered = cv2.copyMakeBorder(pixels, border, border, border, border, cv2.BORDER_REPLICATE)
    return [replace(f, landmarks=f.landmarks - border) for f in detect_faces(bordered, SEARCH_SIDE)]


@cache
def _descriptor() -> FaceDescriptor:
    """Loads dlib's networks, once per process."""
    return FaceDescriptor()


def _measured(known: Photo, arrays: dict[str, np.ndarray]) -> Photo:
    columns = (arrays[name] for name in ("landmarks", "descriptors", "prints", "numbers"))
    faces = [FaceMeasure(*row[:3], *row[3].tolist()) for row in zip(*columns, strict=True)]
    day = int(arrays["taken"][0])
    width, height = (int(n) for n in arrays["size"])
    taken = date.fromordinal(day) if day else None
    return replace(known, width=width, height=height, taken=taken, faces=faces, thumbnail=arrays["thumbnail"])


def _load(path: Path) -> dict[str, np.ndarray] | None:
    """Reads cached measurements; None where there are none or the file is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception:  # whatever numpy and its zip reader make of a damaged file
        return None


def _store(arrays: dict[str, np.ndarray], path: Path) -> None:
    named: Any = arrays  # savez has further arguments of other types
    with written_atomically(path) as temporary:
        np.savez_compressed(temporary, **named)
