"""Colours of teeth and eyes: how far from the photo's own, and from what photos ever show."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.appearance.regions import REGIONS, aligned_landmarks, at_side, face_regions
from utils.errors import InputError
from utils.notes import note

LEAST_FACES = 20  # photos that show a region, without which nothing is said of how it varies
CLEAR = 5.0  # units of a* or b*: a change that everybody sees
SEEN = 1.0  # the smallest change that anybody sees; so far beyond what photos show a colour lies outside
EXTREMES = (0.005, 0.995)  # quantiles of what photos show; of fewer than 200 it is all
SIDES = ("greener", "redder", "bluer", "yellower")
_KEPT, _ROUNDS = 0.9, 10  # the nearest photos, to which the slope is fitted


@dataclass(frozen=True)
class UsualColours:
    """Which colours of a region photos show, given the skin of the same picture.

    A warm light colours both, so what counts is the difference from ``slope @ skin``.

    Attributes:
        slope: (2, 2).
        lowest: a* and b* (2,).
        highest: a* and b* (2,).
    """

    slope: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray

    def outside(self, colours: np.ndarray, skin: np.ndarray) -> np.ndarray:
        """Whether colours (N, 2) beside skin (N, 2) lie beyond those of photos: (N, 4), by :data:`SIDES`."""
        own = colours - skin @ self.slope.T
        return _sides(np.minimum(own - self.lowest, 0) + np.maximum(own - self.highest, 0), SEEN)


def _sides(change: np.ndarray, least: float) -> np.ndarray:
    """Changes (N, 2) of a* and b* by more than so much, (N, 4) by :data:`SIDES`."""
    return np.stack([-change[:, 0], change[:, 0], -change[:, 1], change[:, 1]], axis=1) > least


def usual_colours(colours: np.ndarray, skin: np.ndarray) -> UsualColours:
    """Fits colours (N, 2) beside skin (N, 2) of photos; the slope to the nearest nine tenths of them."""
    design = np.column_stack([skin, np.ones(len(skin))])
    kept = np.ones(len(colours), dtype=bool)
    for _ in range(_ROUNDS):
        fit, *_ = np.linalg.lstsq(design[kept], colours[kept], rcond=None)
        beyond = np.hypot(*(colours - design @ fit).T)
        kept = beyond <= np.quantile(beyond, _KEPT)
    own, (low, high) = colours - skin @ fit[:2], EXTREMES
    lowest, highest = np.quantile(own, low, 0, method="lower"), np.quantile(own, high, 0, method="higher")
    return UsualColours(fit[:2].T, lowest, highest)


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
        regions = face_regions(enlarged, landmarks)
        if not regions.found:
            return
        pictures = [enlarged, *(at_side(output) for output in outputs)]
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
            ``photos`` that show it and ``faces`` whose output does; over these the mean difference ``a`` and
            ``b`` of the output from its photo, the ``shares`` that changed by more than :data:`CLEAR`, by
            :data:`SIDES`, and the share ``outside`` what photos show.
        """
        return {name: _figures(np.array(rows), number + 1) for name, rows in self._seen.items() if rows}


def _figures(rows: np.ndarray, number: int) -> dict[str, Any]:
    """Figures of one region; rows (N, 1 + A, 4) of colours and skins, the photo first."""
    photos, outputs = rows[:, 0], rows[:, number]
    seen = np.isfinite(outputs).all(1)
    found: dict[str, Any] = {"photos": len(rows), "faces": int(seen.sum())}
    if not seen.any():
        return found
    change = (outputs - photos)[seen, :2]
    found["a"], found["b"] = change.mean(0).tolist()
    found["shares"] = dict(zip(SIDES, _sides(change, CLEAR).mean(0).tolist(), strict=True))
    if len(rows) >= LEAST_FACES:
        usual = usual_colours(photos[:, :2], photos[:, 2:])
        found["outside"] = float(usual.outside(outputs[seen, :2], outputs[seen, 2:]).any(1).mean())
    return found
