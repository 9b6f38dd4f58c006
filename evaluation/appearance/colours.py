"""Colours of teeth and eyes: how far from the photo's own, and from what photos ever show."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.appearance.regions import REGIONS, aligned_landmarks, at_side, face_regions, to_lab
from utils.errors import InputError
from utils.notes import note

LEAST_FACES = 20  # photos that show a region, without which nothing is said of how it varies
BOUND = math.sqrt(-2 * math.log(0.005))  # Mahalanobis distance within which 99.5 % of a normal plane lie
_KEPT = 0.9  # of the photos, the nearest, from which the spread is computed
# The spread of the nearest 90 % of a normal plane, as a share of the whole one (Croux and Haesbroeck 1999).
_SHARE_OF_SPREAD = (_KEPT + (1 - _KEPT) * math.log(1 - _KEPT)) / _KEPT
_ROUNDS = 10


@dataclass(frozen=True)
class UsualColours:
    """How the colour of a region varies over photos, given the skin of the same picture.

    A warm light colours both, so a colour counts as what it differs from ``slope @ skin + middle``.

    Attributes:
        slope: (2, 2).
        middle: a* and b* (2,).
        inverse: of the covariance (2, 2).
    """

    slope: np.ndarray
    middle: np.ndarray
    inverse: np.ndarray

    def distance(self, colours: np.ndarray, skin: np.ndarray) -> np.ndarray:
        """Mahalanobis distances (N,) of colours (N, 2) beside skin (N, 2)."""
        beyond = colours - skin @ self.slope.T - self.middle
        return np.sqrt(np.einsum("ni,ij,nj->n", beyond, self.inverse, beyond))


def usual_colours(colours: np.ndarray, skin: np.ndarray) -> UsualColours:
    """Fits colours (N, 2) beside skin (N, 2) without the tenth that lies farthest out."""
    design = np.column_stack([skin, np.ones(len(skin))])
    kept = np.ones(len(colours), dtype=bool)
    for _ in range(_ROUNDS):
        fit, *_ = np.linalg.lstsq(design[kept], colours[kept], rcond=None)
        spread = np.cov((colours - design @ fit)[kept].T) + 1e-6 * np.eye(2)
        usual = UsualColours(fit[:2].T, fit[2], np.linalg.inv(spread))
        distances = usual.distance(colours, skin)
        kept = distances <= np.quantile(distances, _KEPT)
    return UsualColours(usual.slope, usual.middle, usual.inverse * _SHARE_OF_SPREAD)


class ColourMeter:
    """Measures teeth and eyes of photos and of their outputs.

    Args:
        crop: how the faces are cut.
        landmarks: finds those (68, 2) of an aligned face, uint8 (S, S, 3), cut in this way.
    """

    def __init__(
        self, crop: str, landmarks: Callable[[np.ndarray, str], np.ndarray] = aligned_landmarks
    ) -> None:
        self._crop, self._landmarks = crop, landmarks
        self._missing = False
        # Of each face that shows a region: its a* and b* and those of the skin, (1 + A, 4); NaN unseen.
        self._seen: dict[str, list[np.ndarray]] = {name: [] for name in REGIONS}

    def add(self, photo: np.ndarray, outputs: np.ndarray) -> None:
        """Measures a photo, uint8 (S, S, 3), and its outputs, uint8 (A, R, R, 3)."""
        if self._missing:
            return
        enlarged = at_side(photo)
        try:
            landmarks = self._landmarks(enlarged, self._crop)
        except InputError as error:
            note(f"teeth and eyes are not measured: {error}")
            self._missing = True
            return
        pictures = [to_lab(enlarged)]
        regions = face_regions(pictures[0], landmarks)
        if not regions.found:
            return
        pictures += [to_lab(at_side(output)) for output in outputs]
        skins = [regions.skin_colour(picture) for picture in pictures]
        for name, region in regions.found.items():
            colours = [region.colour(picture) for picture in pictures]
            if colours[0] is not None:
                rows = zip(colours, skins, strict=True)
                self._seen[name].append(
                    np.array([[*(np.full(2, np.nan) if own is None else own), *skin] for own, skin in rows])
                )

    def figures(self, number: int) -> dict[str, dict[str, Any]]:
        """What became of each region, by its name.

        Args:
            number: of the target age, from 0.

        Returns:
            ``photos`` that show it and ``faces`` whose output does; over these the mean difference ``a``
            (above 0 redder, below greener) and ``b`` (yellower, bluer) of the output from its photo; the
            shares ``outside`` what photos show, of the outputs and of the photos themselves.
        """
        return {name: _figures(np.array(rows), number + 1) for name, rows in self._seen.items() if rows}


def _figures(rows: np.ndarray, number: int) -> dict[str, Any]:
    """Figures of one region; rows (N, 1 + A, 4) of colours and skins, the photo first."""
    photos, outputs = rows[:, 0], rows[:, number]
    seen = np.isfinite(outputs).all(1)
    found: dict[str, Any] = {"photos": len(rows), "faces": int(seen.sum())}
    change = (outputs - photos)[seen, :2].mean(0) if seen.any() else (None, None)
    found["a"], found["b"] = (None if value is None else float(value) for value in change)
    outside: list[float | None] = [None, None]
    if len(rows) >= LEAST_FACES and seen.any():
        usual = usual_colours(photos[:, :2], photos[:, 2:])
        outside = [
            float((usual.distance(part[:, :2], part[:, 2:]) > BOUND).mean())
            for part in (outputs[seen], photos)
        ]
    found["outside"], found["photos_outside"] = outside
    return found
