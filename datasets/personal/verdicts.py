"""Which photos of an album become training data: quality, the person, duplicates, and the split by age.

Pure functions of the measurements; the measured defaults are those of docs/personal_data.md.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from datasets.personal.ages import Age
from datasets.personal.measures import FaceMeasure, Photo
from datasets.personal.person import AlbumPerson, find_person
from utils.errors import InputError
from utils.faces.quality import print_likeness
from utils.spacing import evenly

TRAIN, TEST = "train", "test"
# A poor picture of the person (blurred, small, cut off, turned) lies up to so much farther away.
POOR_SHIFT = 0.12
REASONS = (
    "unsupported", "unreadable", "no face", "small", "cut off", "blurred", "pose", "other person", "no age",
    "duplicate", "dropped",
)  # fmt: skip


@dataclass(frozen=True)
class Thresholds:
    """Limits of the filters; meaning and measured defaults are those of the options of the same names."""

    min_size: float = 64.0
    min_sharpness: float = 3.6
    max_outside: float = 0.15
    max_yaw: float = 45.0
    max_pitch: float = 45.0
    identity_distance: float = 0.5
    duplicate_distance: float = 0.2
    duplicate_correlation: float = 0.93
    duplicate_whole: float = 0.97  # the same for the whole photo
    duplicate_reach: float = 0.35  # look-alikes count only if their descriptors are as near as this


@dataclass(frozen=True)
class Verdict:
    """What becomes of a photo and why.

    Attributes:
        photo: the photo.
        age: of the person in it.
        status: ``train``, ``test`` or one of :data:`REASONS`.
        reason: one sentence, empty for an ordinary accepted photo.
        face: the face that was judged: number within the photo, None without a face.
        distance: of its descriptor from the person, None where that was not computed.
    """

    photo: Photo
    age: Age
    status: str
    reason: str = ""
    face: int | None = None
    distance: float | None = None

    @property
    def accepted(self) -> bool:
        """Whether the photo becomes training or test data."""
        return self.status in (TRAIN, TEST)

    @property
    def measure(self) -> FaceMeasure:
        """The judged face of a photo that has one."""
        assert self.face is not None
        return self.photo.faces[self.face]


def quality_problem(face: FaceMeasure, limits: Thresholds) -> tuple[str, str] | None:
    """The first reason (status, sentence) against a face; None for a good one."""
    if face.side < limits.min_size:
        return "small", f"the face square is {face.side:.0f} px wide, less than {limits.min_size:g}"
    if face.outside > limits.max_outside:
        return (
            "cut off",
            f"{face.outside:.0%} of the face lies beyond the photo, more than {limits.max_outside:.0%}",
        )
    if face.sharpness < limits.min_sharpness:
        return "blurred", f"sharpness {face.sharpness:.1f} is below {limits.min_sharpness:g}"
    if abs(face.yaw) > limits.max_yaw:
        return "pose", f"turned sideways by {abs(face.yaw):.0f} degrees, more than {limits.max_yaw:g}"
    if abs(face.pitch) > limits.max_pitch:
        return "pose", f"tilted up or down by {abs(face.pitch):.0f} degrees, more than {limits.max_pitch:g}"
    return None


def judge(
    photos: Sequence[Photo],
    ages: Sequence[Age],
    limits: Thresholds,
    references: np.ndarray | None = None,
    keep: Collection[str] = (),
    drop: Collection[str] = (),
) -> list[Verdict]:
    """Gives every photo its verdict; accepted ones are all ``train``, see :func:`split`.

    Args:
        photos: all photos.
        ages: of the person in each.
        limits: thresholds.
        references: (R, 128) descriptors of the person.
        keep: names of photos that no filter may reject (a face and an age they need).
        drop: names of photos to leave out.

    Raises:
        InputError: the person is not clear, see :func:`find_person`.
    """
    good = [
        (number, face.descriptor)
        for number, photo in enumerate(photos)
        for face in photo.faces
        if photo.name not in drop and quality_problem(face, limits) is None
    ]
    person = None
    if good or references is not None:
        descriptors = np.array([descriptor for _, descriptor in good], np.float32).reshape(-1, 128)
        person = find_person(
            descriptors, np.array([n for n, _ in good]), limits.identity_distance, references
        )
    verdicts = [
        _judge_photo(photo, age, person, limits, photo.name in keep, photo.name in drop)
        for photo, age in zip(photos, ages, strict=True)
    ]
    return _without_duplicates(verdicts, limits, keep)


def _judge_photo(
    photo: Photo, age: Age, person: AlbumPerson | None, limits: Thresholds, kept: bool, dropped: bool
) -> Verdict:
    """The verdict on a photo alone, without regard to duplicates."""
    verdict = partial(Verdict, photo, age)
    if dropped:
        return verdict("dropped", "named by --drop")
    if photo.problem:
        return verdict("unsupported" if photo.unsupported else "unreadable", photo.problem)
    if not photo.faces:
        if min(photo.width, photo.height) < limits.min_size:
            return verdict("small", f"the photo has only {photo.width} x {photo.height} px")
        return verdict("no face", "no face looks towards the camera")
    problems = [quality_problem(face, limits) for face in photo.faces]
    distances = [math.inf] * len(photo.faces)
    if person is not None:
        distances = person.distances(np.array([face.descriptor for face in photo.faces])).tolist()
    nearest = int(np.argmin(distances))
    theirs = [n for n, distance in enumerate(distances) if distance <= limits.identity_distance]
    usable = [n for n in theirs if problems[n] is None]
    face = min(usable or theirs or [nearest if kept else 0], key=lambda n: distances[n])
    verdict = partial(verdict, face=face, distance=distances[face] if person is not None else None)
    if not kept:
        problem, far = problems[face], ""
        if not theirs and person is not None:
            among = f"the nearest of {len(distances)} faces" if len(distances) > 1 else "the face"
            far = (
                f"{among} is {distances[nearest]:.2f} from the person, more than {limits.identity_distance:g}"
            )
        if problem is not None and (
            person is None or distances[nearest] <= limits.identity_distance + POOR_SHIFT
        ):
            return verdict(problem[0], f"{problem[1]}; {far}" if far else problem[1])
        if far:
            return verdict("other person", f"{far}; {problem[1]}" if problem else far)
    if age.years is None:
        return verdict("no age", age.source)
    return verdict(TRAIN, "kept by --keep" if kept else "")


def _without_duplicates(
    verdicts: Sequence[Verdict], limits: Thresholds, keep: Collection[str]
) -> list[Verdict]:
    """Rejects accepted photos that look like a better one: a tenth larger, else the longer file.

    Photos that the user keeps neither are rejected nor count against others.
    """
    result = list(verdicts)
    chosen: list[int] = []
    accepted = [
        n for n, verdict in enumerate(verdicts) if verdict.accepted and verdict.photo.name not in keep
    ]
    for number in sorted(accepted, key=lambda n: -verdicts[n].photo.bytes):
        candidate = verdicts[number]
        twin = next((n for n in chosen if _same_picture(candidate, verdicts[n], limits)), None)
        if twin is None:
            chosen.append(number)
            continue
        loser, winner = number, twin
        if candidate.measure.side > 1.1 * verdicts[twin].measure.side:
            chosen[chosen.index(twin)] = number
            loser, winner = twin, number
        reason = _same_picture(verdicts[loser], verdicts[winner], limits) or ""
        result[loser] = replace(verdicts[loser], status="duplicate", reason=reason)
    return result


def _same_picture(verdict: Verdict, other: Verdict, limits: Thresholds) -> str | None:
    """Says in what way a photo is the same as another; None if it is not."""
    note = "" if verdict.age.years == other.age.years else f", which is said to show age {other.age.years:g}"
    if verdict.photo.sha256 == other.photo.sha256:
        return f"the same file as {other.photo.name}{note}"
    distance = float(np.linalg.norm(verdict.measure.descriptor - other.measure.descriptor))
    if distance > max(limits.duplicate_distance, limits.duplicate_reach):
        return None
    likeness = print_likeness(verdict.measure.thumbprint, other.measure.thumbprint)
    whole = print_likeness(verdict.photo.thumbprint, other.photo.thumbprint)
    alike = distance <= limits.duplicate_reach and (
        likeness >= limits.duplicate_correlation or whole >= limits.duplicate_whole
    )
    if distance <= limits.duplicate_distance or alike:
        return (
            f"like {other.photo.name} (distance {distance:.2f}, correlation {max(likeness, whole):.2f}){note}"
        )
    return None


def split(
    verdicts: Sequence[Verdict], ranges: Sequence[tuple[float, float]] = (), share: float = 0.0
) -> list[Verdict]:
    """Makes accepted photos test photos: those of the age ranges, or a share spread evenly over the ages.

    Raises:
        InputError: no photo would be left to train on.
    """
    accepted = sorted(
        (n for n, verdict in enumerate(verdicts) if verdict.accepted),
        key=lambda n: (verdicts[n].age.years, verdicts[n].photo.name),
    )
    years = [verdicts[n].age.years or 0.0 for n in accepted]
    if ranges:
        test = {n for n, age in zip(accepted, years, strict=True) if any(a <= age <= b for a, b in ranges)}
    else:
        chosen = evenly(len(accepted), round(share * len(accepted)), at=0.5)
        test = {accepted[index] for index in chosen}
    if accepted and len(test) == len(accepted):
        raise InputError("all good photos would be test photos and none training photos; hold out fewer ages")
    return [replace(v, status=TEST) if n in test else v for n, v in enumerate(verdicts)]
