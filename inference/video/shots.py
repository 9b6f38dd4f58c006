"""Where a clip is cut: a frame that is unlike the one before it, and the more so beside its neighbours."""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

SMALL = (48, 27)  # pixels, width and height, at which frames are compared
REACH = 4  # of these, by which a camera may pan from a frame to the next
UNLIKE = 0.1  # 1 - correlation of two frames: less is the same picture, moved
RATIO = 2.5  # by which a cut stands out of the changes about it; a pan or a flash has changes of a kind
NEIGHBOURS = 2  # frames before and after a cut whose changes it is compared with
_FLAT = 2.0  # levels of 255: deviation below which a picture shows nothing


def with_cuts(frames: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, bool]]:
    """Yields every frame and whether a shot begins with it, some frames late: later ones have a say.

    Args:
        frames: uint8 RGB (H, W, 3); a shot begins with the first.
    """
    waiting: deque[np.ndarray] = deque()
    changes: list[float] = []  # with which each frame of the shot, and each that waits, came
    last: np.ndarray | None = None
    place = 0  # of the first frame that waits, in the shot

    def is_cut() -> bool:
        around = changes[max(1, place - NEIGHBOURS) : place] + changes[place + 1 :][:NEIGHBOURS]
        return place == 0 or changes[place] > max(UNLIKE, RATIO * max(around, default=0.0))

    for frame in itertools.chain(frames, [None]):
        if frame is not None:
            small = _small(frame)
            changes.append(0.0 if last is None else 1 - _likeness(last, small))
            waiting.append(frame)
            last = small
        while len(waiting) > (NEIGHBOURS if frame is not None else 0):
            cut = is_cut()
            if cut:  # the changes of another shot tell nothing of this one
                del changes[:place]
                place = 0
            yield waiting.popleft(), cut
            place += 1


def _small(frame: np.ndarray) -> np.ndarray:
    """A frame as it is compared, uint8 (27, 48, 3)."""
    return cv2.resize(frame, SMALL, interpolation=cv2.INTER_AREA)


def _likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of two small frames where they fit best; of two that show nothing 1, of one such 0."""
    inner = second[REACH:-REACH, REACH:-REACH]
    flat = [float(frame.std((0, 1)).max()) < _FLAT for frame in (first, inner)]
    if any(flat):
        return float(all(flat))
    return float(cv2.matchTemplate(first, inner, cv2.TM_CCOEFF_NORMED).max())
