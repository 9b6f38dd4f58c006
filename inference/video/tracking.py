"""Faces followed through a shot: who is where in each frame, through short gaps and past one another."""

from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np

from inference.video.motion import face_motion, moved
from inference.video.tracks import TIGHT, UNKNOWN, Track, face_side, same_place
from utils.faces.alignment import anchor_square, anchors_of, detect_faces, upright_score, warp_square
from utils.faces.descriptor import FaceDescriptor
from utils.faces.masks import aligned_landmarks

SEARCH_SECONDS = 0.2  # between two searches of the whole frame for further faces
GAP_SECONDS = 0.6  # for which a face may be out of sight and is the same when it is back
LEAST_SECONDS = 0.2  # for which a face must be seen in a shot, else it was none
SEARCHED_SIDE = 1920  # pixels of the longer side in which faces are searched for
KEPT_SCORE = 0.0  # of the detector, for a face that was there in the frame before
SAME_PERSON = 0.55  # distance of descriptors
FARTHEST = 0.35  # of its side by which the landmarks of a face may lie off the place that its motion tells
_SEEN_AT = 256  # pixels of a face in which its landmarks are looked for


def faces_in(pixels: np.ndarray, every: bool) -> list[np.ndarray]:
    """Anchors (3, 2) of the faces of a frame, the main one first; see ``detect_faces``."""
    zoom = min(1.0, SEARCHED_SIDE / max(pixels.shape[:2]))
    if zoom < 1:
        size = (round(pixels.shape[1] * zoom), round(pixels.shape[0] * zoom))
        reduced = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        scale = np.array([pixels.shape[1], pixels.shape[0]]) / size
    else:
        reduced, scale = pixels, np.ones(2)
    found = detect_faces(reduced, every=every)
    return [(anchors_of(face.landmarks) + 0.5) * scale - 0.5 for face in found]


class Tracker:
    """Follows the faces of one shot.

    A face goes where optical flow takes it, is looked at there, and its landmarks are found anew; now and
    then the whole frame is searched for further faces, which are then followed back to where they appeared.

    Args:
        first: number of the shot's first frame.
        rate: frames a second.
        every: search for every face, not only until there is one.
    """

    def __init__(self, first: int, rate: float, every: bool) -> None:
        self._first, self._frame, self._every = first, first, every
        self._search_frames = max(1, round(SEARCH_SECONDS * rate))
        self._gap, self._least = round(GAP_SECONDS * rate), max(1, round(LEAST_SECONDS * rate))
        self._live: list[Track] = []
        self._done: list[Track] = []
        self._recent: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=self._search_frames)
        self._people = _People()

    def add(self, pixels: np.ndarray) -> None:
        """Looks at the next frame, uint8 RGB (H, W, 3)."""
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        seen: list[np.ndarray] = []
        for track in sorted(self._live, key=lambda track: track.unseen):
            self._follow(track, pixels, grey, seen)
        self._part_twins(pixels)
        for track in [track for track in self._live if track.unseen > self._gap]:
            self._live.remove(track)
            self._done.append(track)
        if (self._frame - self._first) % self._search_frames == 0:
            self._search(pixels, grey)
        self._recent.append((pixels, grey))
        self._frame += 1

    def in_sight(self) -> list[Track]:
        """The faces that were seen in the last frame."""
        return [track for track in self._live if not track.unseen]

    def tracks(self) -> list[Track]:
        """The faces that were seen for long enough, in the order in which they appeared."""
        for track in (*self._done, *self._live):
            track.drop_unseen()
        least = min(self._least, self._frame - self._first)
        found = [track for track in (*self._done, *self._live) if len(track.seen) >= least]
        return sorted(found, key=lambda track: track.start)

    def _follow(self, track: Track, pixels: np.ndarray, grey: np.ndarray, seen: list[np.ndarray]) -> None:
        """Adds this frame to a track; one that was out of sight is not looked for where another face is."""
        last = track.estimates[-1]
        motion = face_motion(self._recent[-1][1], grey, anchor_square(last, *TIGHT))
        if track.unseen and any(same_place(last, other, within=1.0) for other in seen):
            motion = None  # it is that of the face before this one
        guess = last if motion is None else moved(last, motion)
        taken = track.unseen > 0 and any(same_place(guess, other) for other in seen)
        anchors = None if taken else _look(pixels, guess)
        if anchors is not None:
            seen.append(anchors)
        track.add(anchors, guess, UNKNOWN if motion is None else motion)

    def _part_twins(self, pixels: np.ndarray) -> None:
        """Where two tracks have come to one face, the one that is less like it loses sight of its own."""
        seen = self.in_sight()
        for number, first in enumerate(seen):
            for second in seen[number + 1 :]:
                if first.unseen or second.unseen or not same_place(first.anchors[-1], second.anchors[-1]):
                    continue
                portrait = _portrait(pixels, first.anchors[-1])
                distances = [self._people.distance(portrait, track.portrait) for track in (first, second)]
                (second if distances[0] <= distances[1] else first).lose()

    def _search(self, pixels: np.ndarray, grey: np.ndarray) -> None:
        """Takes up the faces that no track has: one that was lost, or a further one."""
        for anchors in faces_in(pixels, self._every):
            here = self.in_sight()
            if any(same_place(anchors, track.anchors[-1]) for track in here):
                continue
            portrait = _portrait(pixels, anchors)
            lost = self._lost(portrait)
            if lost is not None:
                lost.found(anchors, lost=True)
                continue
            track = Track(self._frame, portrait)
            track.add(anchors, anchors, UNKNOWN)
            self._follow_back(track, grey, here)
            self._live.append(track)

    def _lost(self, portrait: np.ndarray) -> Track | None:
        """The track out of sight whose face this is."""
        lost = [track for track in self._live if track.unseen]
        distances = [self._people.distance(portrait, track.portrait) for track in lost]
        nearest = int(np.argmin(distances)) if distances else 0
        return lost[nearest] if distances and distances[nearest] < SAME_PERSON else None

    def _follow_back(self, track: Track, grey: np.ndarray, others: Sequence[Track]) -> None:
        """Follows a face back through the last frames to where it appeared."""
        later = grey
        for pixels, earlier in reversed(self._recent):
            motion = face_motion(later, earlier, anchor_square(track.anchors[0], *TIGHT))
            anchors = None if motion is None else _look(pixels, moved(track.anchors[0], motion))
            if motion is None or anchors is None or _taken(anchors, track.start - 1, others):
                return
            track.put_before(anchors, cv2.invertAffineTransform(motion))
            later = earlier


def _taken(anchors: np.ndarray, frame: int, others: Sequence[Track]) -> bool:
    """Whether another track has the face at a place in an earlier frame."""
    there = [other for other in others if other.start <= frame]
    return any(same_place(anchors, other.estimates[frame - other.start]) for other in there)


def _look(pixels: np.ndarray, guess: np.ndarray) -> np.ndarray | None:
    """The anchors of the face about a place; None if there is none."""
    square = anchor_square(guess, *TIGHT)
    landmarks = aligned_landmarks(warp_square(pixels, square, _SEEN_AT), "tight")
    x, y = square[3] - square[0], square[1] - square[0]
    anchors = square[0] + anchors_of(landmarks) @ np.stack([x, y])
    off = np.abs(anchors - guess).max()
    if off > FARTHEST * face_side(guess) or upright_score(anchors, pixels) < KEPT_SCORE:
        return None
    return anchors


def _portrait(pixels: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    return warp_square(pixels, anchor_square(anchors, *TIGHT), _SEEN_AT)


class _People:
    """Tells whether two portraits show one person; dlib's network is loaded when two are compared."""

    def __init__(self) -> None:
        self._descriptor: FaceDescriptor | None = None

    def distance(self, first: np.ndarray, second: np.ndarray) -> float:
        if self._descriptor is None:
            self._descriptor = FaceDescriptor()
        a, b = (self._descriptor(portrait) for portrait in (first, second))
        return float(np.linalg.norm(a - b))


class SingleFrames:
    """Finds the faces of each frame of a shot by itself; arguments as for :class:`Tracker`.

    Where one face lies where one of the frame before lay they are taken for one; nothing else is followed.
    """

    def __init__(self, first: int, rate: float, every: bool) -> None:
        self._frame, self._every = first, every
        self._tracks: list[Track] = []

    def add(self, pixels: np.ndarray) -> None:
        """Looks at the next frame, uint8 RGB (H, W, 3)."""
        found = faces_in(pixels, self._every)
        for anchors in found if self._every else found[:1]:
            waiting = [track for track in self._tracks if track.stop <= self._frame]
            near = [track for track in waiting if same_place(anchors, track.estimates[-1])]
            track = near[0] if near else Track(self._frame, _portrait(pixels, anchors))
            if not near:
                self._tracks.append(track)
            track.add(anchors, anchors, UNKNOWN)
        self._frame += 1
        for track in self._tracks:
            if track.stop < self._frame:
                track.add(None, track.estimates[-1], UNKNOWN)

    def in_sight(self) -> list[Track]:
        """The faces that were found in the last frame."""
        return [track for track in self._tracks if not track.unseen]

    def tracks(self) -> list[Track]:
        """All faces, in the order in which they appeared."""
        for track in self._tracks:
            track.drop_unseen()
        return self._tracks
