"""One face through a shot: where it was seen, how it moved, and the smooth way that follows from both."""

from dataclasses import dataclass, field

import numpy as np

from inference.video.motion import moved, similarity
from utils.faces.alignment import anchor_square

NOT_SEEN = np.full((3, 2), np.nan)
UNKNOWN = np.full((2, 3), np.nan)  # a motion
STEADY_SECONDS = 0.25  # deviation in time over which landmarks are averaged, beside the motion of the face
FADE_SECONDS = 0.16  # in which ageing comes and goes where a face appears or leaves within a shot
BRIDGED_SECONDS = 0.2  # for which a face may be unseen and is aged nevertheless: it is blurred, or turns
_OUTLIERS = 3  # frames before and after: of these the middle is taken before the mean
TIGHT = 0.58, 0.5  # of the square that is looked at


@dataclass(eq=False)
class Track:
    """A face through a shot, as it is found frame by frame.

    Attributes:
        start: number of its first frame in the clip.
        portrait: uint8 (S, S, 3), the face as it was first found.
        anchors: (3, 2) a frame, eyes and mouth; NaN where it was not seen.
        estimates: (3, 2) a frame, the same, or where it should be.
        motions: (2, 3) a frame, from the frame before; NaN where nothing tells.
        unseen: for how many frames it has not been seen.
    """

    start: int
    portrait: np.ndarray
    anchors: list[np.ndarray] = field(default_factory=list)
    estimates: list[np.ndarray] = field(default_factory=list)
    motions: list[np.ndarray] = field(default_factory=list)
    unseen: int = 0

    @property
    def stop(self) -> int:
        """Number of the frame after its last."""
        return self.start + len(self.anchors)

    @property
    def seen(self) -> list[np.ndarray]:
        """Its anchors in the frames in which it was seen."""
        return [anchors for anchors in self.anchors if not np.isnan(anchors[0, 0])]

    @property
    def weight(self) -> float:
        """How much of the shot it fills: the sum over its frames of the area of its square, in pixels."""
        return sum(face_side(anchors) ** 2 for anchors in self.seen)

    def add(self, anchors: np.ndarray | None, estimate: np.ndarray, motion: np.ndarray) -> None:
        """Adds a frame; without anchors the face is not seen there."""
        self.anchors.append(NOT_SEEN)
        self.estimates.append(estimate)
        self.motions.append(motion)
        self.unseen += 1
        if anchors is not None:
            lost = any(np.isnan(motion[0, 0]) for motion in self.motions[-self.unseen :])
            self.found(anchors, lost)

    def found(self, anchors: np.ndarray, lost: bool) -> None:
        """Tells where the face is in the last frame.

        Args:
            anchors: of the face.
            lost: it is not where it was followed to: how it came there since it was seen is unknown.
        """
        if lost:
            self.motions[-self.unseen :] = [UNKNOWN] * self.unseen
        self.anchors[-1] = self.estimates[-1] = anchors
        self.unseen = 0

    def lose(self) -> None:
        """Tells that the last frame does not show the face after all, which is thought to be where it was."""
        self.anchors[-1], self.motions[-1] = NOT_SEEN, UNKNOWN
        self.estimates[-1] = self.estimates[max(-2, -len(self.estimates))]
        self.unseen += 1

    def put_before(self, anchors: np.ndarray, motion: np.ndarray) -> None:
        """Adds a frame at the start, and the motion from it to the frame that was first."""
        self.start -= 1
        self.motions[0] = motion
        self.anchors.insert(0, anchors)
        self.estimates.insert(0, anchors)
        self.motions.insert(0, UNKNOWN)

    def drop_unseen(self) -> None:
        """Takes away the frames after the last in which it was seen."""
        count = len(self.anchors) - self.unseen
        for values in (self.anchors, self.estimates, self.motions):
            del values[count:]
        self.unseen = 0


def face_side(anchors: np.ndarray) -> float:
    """Side in pixels of the tight square of a face."""
    square = anchor_square(anchors, *TIGHT)
    return float(np.hypot(*(square[3] - square[0])))


def same_place(first: np.ndarray, second: np.ndarray, within: float = 0.3) -> bool:
    """Whether two faces (3, 2) of one frame are one: the middle of one lies well within the other.

    Args:
        first, second: anchors.
        within: how far apart they may be, as a share of the side; with 1 they only touch.
    """
    apart = np.hypot(*(first.mean(0) - second.mean(0)))
    return bool(apart < within * max(face_side(first), face_side(second)))


# ---------------------------------------------------------------- the smooth way


def steady_anchors(track: Track, frames: float) -> np.ndarray:
    """Anchors (N, 3, 2) of all frames: averaged over some, after the motion of the face is taken out.

    Landmarks are right on average and unsteady; optical flow is steady, and its errors add up. So the face is
    brought by its motion to one place, landmarks are averaged there, and the motion is put back.

    Args:
        track: of N frames.
        frames: deviation of the average in time.
    """
    motions = _known_motions(track)
    places = [np.eye(3)]
    for motion in motions[1:]:
        places.append(np.vstack([motion, (0, 0, 1)]) @ places[-1])
    still = np.array(
        [
            moved(anchors, np.linalg.inv(place)[:2])
            for anchors, place in zip(track.anchors, places, strict=True)
        ]
    )
    still = weighted_means(_without_outliers(still), frames)
    return np.array([moved(anchors, place[:2]) for anchors, place in zip(still, places, strict=True)])


def _known_motions(track: Track) -> list[np.ndarray]:
    """The motions; where they are unknown the face goes straight from where it was to where it is again."""
    motions, estimates = list(track.motions), track.estimates
    index = 1
    while index < len(motions):
        if not np.isnan(motions[index][0, 0]):
            index += 1
            continue
        end = index
        while end + 1 < len(motions) and np.isnan(motions[end + 1][0, 0]):
            end += 1
        shares = np.linspace(0, 1, end - index + 2)[:, None, None]
        way = (1 - shares) * estimates[index - 1] + shares * estimates[end]
        for number in range(end - index + 1):
            motions[index + number] = similarity(way[number], way[number + 1])
        index = end + 1
    return motions


def _without_outliers(values: np.ndarray) -> np.ndarray:
    """Values (N, 3, 2), each the middle of those about it; NaN stays."""
    padded = np.pad(values, ((_OUTLIERS, _OUTLIERS), (0, 0), (0, 0)), constant_values=np.nan)
    around = np.stack([padded[shift : shift + len(values)] for shift in range(2 * _OUTLIERS + 1)])
    seen = ~np.isnan(values)
    return np.where(seen, np.nanmedian(np.where(seen.any((1, 2))[None, :, None, None], around, 0), 0), np.nan)


def weighted_means(values: np.ndarray, deviation: float) -> np.ndarray:
    """Values (N, ...) averaged over their neighbours with weights of a bell; NaN does not count.

    Args:
        values: of N frames.
        deviation: of the bell, in frames; 0 leaves the values as they are.
    """
    weights = bell(deviation)
    reach = len(weights) // 2
    known = ~np.isnan(values)
    filled = np.where(known, values, 0)
    total, share = np.zeros(values.shape), np.zeros(values.shape)
    for shift in range(-min(reach, len(values) - 1), min(reach, len(values) - 1) + 1):
        into = slice(max(0, -shift), len(values) - max(0, shift))
        of = slice(max(0, shift), len(values) + min(0, shift))
        total[into] += weights[reach + shift] * filled[of]
        share[into] += weights[reach + shift] * known[of]
    return total / np.maximum(share, 1e-12)


def bell(deviation: float) -> np.ndarray:
    """Weights of an average, of odd number, the largest in the middle; deviation in frames."""
    reach = int(np.ceil(2.5 * deviation))
    shifts = np.arange(-reach, reach + 1)
    return np.exp(-0.5 * (shifts / max(deviation, 1e-6)) ** 2)


def shares(track: Track, start: int, stop: int, rate: float) -> np.ndarray:
    """How far a face is aged in each frame, (N,) from 0 to 1: less where it appears or leaves in a shot.

    Args:
        track: the face.
        start, stop: of the frames of the shot.
        rate: frames a second.
    """
    result = np.zeros(len(track.anchors))
    for first, last in _runs(track, round(BRIDGED_SECONDS * rate)):
        numbers = np.arange(first, last)
        whole = np.full(len(numbers), np.inf)
        comes = numbers - first + 1 if track.start + first > start else whole
        goes = last - numbers if track.start + last < stop else whole
        ramp = np.clip(np.minimum(comes, goes) / (FADE_SECONDS * rate + 1), 0, 1)
        result[first:last] = ramp * ramp * (3 - 2 * ramp)
    return result


def _runs(track: Track, bridged: int) -> list[tuple[int, int]]:
    """Where a face is seen, first frame and the one after the last; not parted by short gaps.

    A gap is short only if the face was followed through it: elsewhere nothing is known to be there.
    """
    runs: list[tuple[int, int]] = []
    followed = True
    for number, (anchors, motion) in enumerate(zip(track.anchors, track.motions, strict=True)):
        followed &= not np.isnan(motion[0, 0])
        if np.isnan(anchors[0, 0]):
            continue
        if runs and number - runs[-1][1] <= (bridged if followed else 0):
            runs[-1] = (runs[-1][0], number + 1)
        else:
            runs.append((number, number + 1))
        followed = True
    return runs
