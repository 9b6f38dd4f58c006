"""Where an aligned face shows teeth, whites of the eyes, irises and skin, by dlib's 68 landmarks.

Colours are in CIE Lab; everything is measured at one size, :data:`SIDE`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from utils.faces.alignment import CROPS, landmarks_in

SIDE = 256  # pixels; the landmarks of a smaller face are found more surely when it is enlarged
BORDER = 0.3  # of the side, mirrored: the predictor looks beyond the face
EYES = (slice(36, 42), slice(42, 48))
OUTER_LIPS, INNER_LIPS = slice(48, 60), slice(60, 68)
CHEEKS = ((40, 41, 36, 2, 3, 48, 31), (47, 46, 45, 14, 13, 54, 35))
CHEEK_SHARE = 0.6  # of the outline, about its middle: without eyelids, nose and lips
IRIS = 0.2  # half its width, as a share of the eye's
OPEN_EYE = 0.15  # least height of an open eye, as a share of its width
# Lightness and a* (green to red) by which teeth differ from the lips, and whites from iris and skin.
TEETH_LIGHTER, TEETH_LESS_RED = 8.0, 6.0
WHITES_LIGHTER, WHITES_LESS_RED = 12.0, 3.0
LEAST_PIXELS, LEAST_OF_MOUTH = {"teeth": 60, "whites": 30, "irises": 30}, 0.25
REGIONS = tuple(LEAST_PIXELS)


@dataclass(frozen=True)
class Region:
    """A part of a face.

    Attributes:
        mask: its pixels (SIDE, SIDE).
        beside: what it is lighter than, lips or irises; None if that does not matter.
        lighter: by how much at least where it can be seen, in units of L*.
    """

    mask: np.ndarray
    beside: np.ndarray | None = None
    lighter: float = 0.0

    def colour(self, picture: np.ndarray) -> np.ndarray | None:
        """Its a* and b* (2,) in a picture, uint8 (SIDE, SIDE, 3), of the face; None where it cannot be seen.

        Of what is lighter than its surroundings the lighter half counts: the same pixels of an output lie,
        in part, on lips and gaps.
        """
        pixels = to_lab(picture[self.mask])
        if self.beside is None:
            return np.median(pixels[:, 1:], axis=0)
        light = pixels[pixels[:, 0] >= np.median(pixels[:, 0])].mean(0)
        seen = light[0] >= np.median(to_lab(picture[self.beside])[:, 0]) + self.lighter
        return light[1:] if seen else None


@dataclass(frozen=True)
class FaceRegions:
    """The regions that a photo shows, by their names, and the cheeks (SIDE, SIDE)."""

    found: dict[str, Region]
    skin: np.ndarray

    def skin_colour(self, picture: np.ndarray) -> np.ndarray:
        """a* and b* (2,) of the cheeks in a picture, uint8 (SIDE, SIDE, 3)."""
        return np.median(to_lab(picture[self.skin])[:, 1:], axis=0)


def aligned_landmarks(pixels: np.ndarray, crop: str) -> np.ndarray:
    """Landmarks (68, 2) of an aligned face, uint8 (S, S, 3), whose place in the picture is known.

    Raises:
        InputError: dlib or its landmark file is missing.
    """
    own, tight = CROPS[crop], CROPS["tight"]
    side = pixels.shape[0]
    border = round(BORDER * side)
    half = 0.5 * side * tight.s / own.s
    below = (tight.k - own.k) / (2 * 1.8 * own.s) * side  # where the height of the face sets the square
    middle = border + 0.5 * (side - 1) + np.array([0.0, below])
    padded = np.pad(pixels, ((border, border), (border, border), (0, 0)), mode="reflect")
    return landmarks_in(padded, np.array([*(middle - half), *(middle + half)])) - border


def at_side(pixels: np.ndarray) -> np.ndarray:
    """A square picture, uint8 (S, S, 3), at the size at which faces are measured."""
    way = cv2.INTER_AREA if pixels.shape[0] > SIDE else cv2.INTER_CUBIC
    return cv2.resize(np.ascontiguousarray(pixels), (SIDE, SIDE), interpolation=way)


def to_lab(pixels: np.ndarray) -> np.ndarray:
    """CIE Lab (..., 3) in float32 of sRGB, uint8 (..., 3)."""
    values = pixels.reshape(-1, 1, 3).astype(np.float32) / 255
    return cv2.cvtColor(values, cv2.COLOR_RGB2LAB).reshape(pixels.shape)


def face_regions(picture: np.ndarray, landmarks: np.ndarray) -> FaceRegions:
    """Finds what a photo shows.

    Args:
        picture: uint8 (SIDE, SIDE, 3).
        landmarks: (68, 2) in its pixels.
    """
    cheeks = [landmarks[list(numbers)] for numbers in CHEEKS]
    skin = _filled([cheek.mean(0) + CHEEK_SHARE * (cheek - cheek.mean(0)) for cheek in cheeks])
    if not skin.any():
        return FaceRegions({}, skin)
    lab = to_lab(picture)
    found = {**_teeth(lab, landmarks), **_eyes(lab, landmarks, float(np.median(lab[skin][:, 1])))}
    enough = {name: region for name, region in found.items() if region.mask.sum() >= LEAST_PIXELS[name]}
    return FaceRegions(enough, skin)


def _teeth(lab: np.ndarray, landmarks: np.ndarray) -> dict[str, Region]:
    """Teeth between open lips, lighter and less red than these."""
    mouth = _filled([landmarks[INNER_LIPS]])
    lips = _filled([landmarks[OUTER_LIPS]]) & ~mouth
    mouth = _shrunk(mouth)
    if not mouth.any() or not lips.any():
        return {}
    light, red, _ = np.median(lab[lips], axis=0)
    teeth = mouth & (lab[..., 0] > light + TEETH_LIGHTER) & (lab[..., 1] < red - TEETH_LESS_RED)
    if teeth.sum() < LEAST_OF_MOUTH * mouth.sum():
        return {}
    return {"teeth": Region(teeth, lips, TEETH_LIGHTER / 2)}


def _eyes(lab: np.ndarray, landmarks: np.ndarray, redness: float) -> dict[str, Region]:
    """Whites and irises of the open eyes."""
    down, across = np.mgrid[:SIDE, :SIDE]
    whites, irises = np.zeros((2, SIDE, SIDE), dtype=bool)
    for eye in (landmarks[numbers] for numbers in EYES):
        along, middle = eye[3] - eye[0], eye.mean(0)
        width = float(np.hypot(*along))
        height = float(np.hypot(*(eye[1] + eye[2] - eye[4] - eye[5]))) / 2
        if width == 0 or height < OPEN_EYE * width:
            continue
        way = ((across - middle[0]) * along[0] + (down - middle[1]) * along[1]) / width
        opening = _shrunk(_filled([eye]))
        iris = opening & (np.abs(way) < IRIS * width)
        if iris.any():
            light = float(np.median(lab[iris][:, 0])) + WHITES_LIGHTER
            whites |= opening & ~iris & (lab[..., 0] > light) & (lab[..., 1] < redness - WHITES_LESS_RED)
            irises |= iris
    return {"whites": Region(whites, irises, WHITES_LIGHTER / 2), "irises": Region(irises)}


def _filled(outlines: Sequence[np.ndarray]) -> np.ndarray:
    """The pixels (SIDE, SIDE) within the convex hulls of some outlines (N, 2)."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for outline in outlines:
        points = cv2.convexHull(np.rint(outline * 8).astype(np.int32))
        cv2.fillConvexPoly(mask, points, 1, cv2.LINE_8, 3)
    return mask.astype(bool)


def _shrunk(mask: np.ndarray) -> np.ndarray:
    """A mask without the pixels at its edge."""
    return cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
