"""How a face moves from one frame to another: corners of its picture, followed by optical flow."""

import cv2
import numpy as np

PATCH_SIDE = 160  # pixels at which a face is followed
MARGIN = 0.5  # of the side of its square, on each side: how far it may move
_CORNERS, _FEWEST = 150, 12
_BACK_AND_FORTH = 0.5  # pixels by which a corner may miss its place when it is followed back


def face_motion(before: np.ndarray, after: np.ndarray, square: np.ndarray) -> np.ndarray | None:
    """The similarity (2, 3) that takes a face of one frame to where it is in another; None if it is lost.

    Args:
        before, after: grey uint8 (H, W).
        square: corners (4, 2) of the face in the first.
    """
    patches = _Patch.around(square, before.shape)
    if patches is None:
        return None
    first, second = patches.of(before), patches.of(after)
    inside = np.zeros(first.shape, np.uint8)
    corners = patches.to_patch(square)
    middle, side = corners.mean(0), float(np.hypot(*(corners[3] - corners[0])))
    cv2.circle(inside, np.rint(middle).astype(int).tolist(), max(1, round(0.5 * side)), 255, -1)
    start = cv2.goodFeaturesToTrack(first, _CORNERS, 0.01, 3, mask=inside)
    if start is None or len(start) < _FEWEST:
        return None
    moved, found, _ = cv2.calcOpticalFlowPyrLK(first, second, start, np.empty_like(start))
    back, returned, _ = cv2.calcOpticalFlowPyrLK(second, first, moved, np.empty_like(start))
    miss = np.hypot(*(back - start)[:, 0].T)
    good = (found[:, 0] > 0) & (returned[:, 0] > 0) & (miss < _BACK_AND_FORTH)
    if good.sum() < _FEWEST:
        return None
    a, b = (patches.to_frame(points[good, 0]) for points in (start, moved))
    matrix, _ = cv2.estimateAffinePartial2D(a, b, ransacReprojThreshold=1.0 / patches.scale)
    return matrix


def moved(points: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Points (..., 2) after a motion (2, 3)."""
    return points @ motion[:, :2].T + motion[:, 2]


class _Patch:
    """The part of a frame about a face, reduced."""

    def __init__(self, left: int, top: int, right: int, bottom: int, scale: float) -> None:
        self._rows, self._columns = slice(top, bottom), slice(left, right)
        self._size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
        self._origin = np.array([left, top], np.float64)
        self._zoom = np.array(self._size) / [right - left, bottom - top]
        self.scale = scale

    @classmethod
    def around(cls, square: np.ndarray, shape: tuple[int, ...]) -> "_Patch | None":
        side = float(np.hypot(*(square[3] - square[0])))
        low, high = square.min(0) - MARGIN * side, square.max(0) + MARGIN * side
        left, top = np.clip(low, 0, [shape[1], shape[0]]).astype(int).tolist()
        right, bottom = np.clip(np.ceil(high), 0, [shape[1], shape[0]]).astype(int).tolist()
        if right - left < 8 or bottom - top < 8:
            return None
        return cls(left, top, right, bottom, min(1.0, PATCH_SIDE / side))

    def of(self, frame: np.ndarray) -> np.ndarray:
        return cv2.resize(frame[self._rows, self._columns], self._size, interpolation=cv2.INTER_AREA)

    def to_patch(self, points: np.ndarray) -> np.ndarray:
        return (points + 0.5 - self._origin) * self._zoom - 0.5

    def to_frame(self, points: np.ndarray) -> np.ndarray:
        return (points.astype(np.float64) + 0.5) / self._zoom + self._origin - 0.5


def similarity(points: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The similarity (2, 3) that takes points (N, 2) as near as can be to others."""
    a, b = (values[:, 0] + 1j * values[:, 1] for values in (points, targets))
    turn = ((b - b.mean()) * (a - a.mean()).conj()).sum() / max((np.abs(a - a.mean()) ** 2).sum(), 1e-12)
    move = b.mean() - turn * a.mean()
    return np.array([[turn.real, -turn.imag, move.real], [turn.imag, turn.real, move.imag]])
