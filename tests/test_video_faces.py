"""Shots and faces of clips: cuts, motion, identity, steady landmarks, ageing over time, flicker."""

from collections.abc import Iterator, Sequence

import clip_toys
import cv2
import numpy as np
import pytest
import torch
from commands import ROOT
from PIL import Image
from skimage.data import astronaut
from torch import Tensor
from toy_aging import ShadeModel, TintModel

from evaluation.flicker import ClipFigures, FlickerMeter, flicker
from inference.video.ageing import ChangeAgeing, CodeAgeing, Directions, temporal_ageing
from inference.video.analysis import Analysis, Face, Shot
from inference.video.frames import Timeline
from inference.video.motion import face_motion, moved, similarity
from inference.video.rendering import Renderer, Role
from inference.video.shots import with_cuts
from inference.video.tracking import SingleFrames, Tracker
from inference.video.tracks import NOT_SEEN, UNKNOWN, Track, shares, steady_anchors, weighted_means
from models.aging_model import Ages, age_grid
from utils.errors import InputError
from utils.faces.alignment import CROPS, anchor_square, anchors_of, detect_faces
from utils.spacing import EvenSamples

TIGHT = CROPS["tight"]
PEOPLE = sorted((ROOT / "assets" / "demo_person" / "held_out").glob("*.png"))

# ---------------------------------------------------------------- cuts


def cuts(frames: Sequence[np.ndarray]) -> list[int]:
    """Where shots begin; every frame comes out once and in order."""
    found = list(with_cuts(frames))
    assert len(found) == len(frames) and all(a is b for (a, _), b in zip(found, frames, strict=True))
    return [number for number, (_, cut) in enumerate(found) if cut]


def pan(picture: np.ndarray, count: int, step: int) -> list[np.ndarray]:
    return [np.ascontiguousarray(picture[:200, step * n : step * n + 250]) for n in range(count)]


def test_cuts_are_found_and_pans_are_none() -> None:
    first, second = pan(astronaut(), 9, 20), pan(cv2.flip(astronaut()[200:], 1), 9, 20)
    assert cuts([*first, *second, *first]) == [0, 9, 18]
    assert cuts(first) == [0]


def test_flashes_and_lamps_are_no_cuts() -> None:
    scene = pan(astronaut(), 12, 1)
    flash = [np.clip(scene[5].astype(int) * 3 + 90, 0, 255).astype(np.uint8)]
    assert cuts([*scene[:5], *flash, *scene[6:]]) == [0]
    darker = [(frame * 0.5).astype(np.uint8) for frame in scene[6:]]
    assert cuts([*scene[:6], *darker]) == [0]


def test_black_frames_between_shots() -> None:
    black = [np.zeros((200, 250, 3), np.uint8)] * 4
    assert cuts([*pan(astronaut(), 5, 1), *black, *pan(astronaut()[200:], 5, 1)]) == [0, 5, 9]
    assert cuts(black) == [0] and cuts([]) == []


# ---------------------------------------------------------------- motion


def turned(picture: np.ndarray, motion: np.ndarray) -> np.ndarray:
    size = picture.shape[1], picture.shape[0]
    return cv2.warpAffine(picture, motion, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def test_a_motion_is_found_to_a_tenth_of_a_pixel() -> None:
    grey = cv2.cvtColor(astronaut(), cv2.COLOR_RGB2GRAY)
    face = anchors_of(detect_faces(astronaut())[0].landmarks)
    angle = np.deg2rad(4)
    truth = 1.03 * np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]])
    truth[:, 2] = [7.3, -4.6]
    found = face_motion(grey, turned(grey, truth), anchor_square(face, 0.58, 0.5))
    assert found is not None and np.abs(moved(face, found) - moved(face, truth)).max() < 0.1
    assert face_motion(grey, np.zeros_like(grey), anchor_square(face, 0.58, 0.5)) is None
    assert face_motion(grey, grey, anchor_square(face + 2000, 0.58, 0.5)) is None


def test_the_similarity_of_three_points() -> None:
    points, motion = np.array([[0.0, 0], [4, 0], [2, 3]]), np.array([[0.0, -2, 5], [2, 0, 1]])
    np.testing.assert_allclose(similarity(points, moved(points, motion)), motion, atol=1e-12)


# ---------------------------------------------------------------- the smooth way


def track_of(anchors: Sequence[np.ndarray], motions: Sequence[np.ndarray]) -> Track:
    track = Track(0, np.zeros((1, 1, 3), np.uint8))
    estimate = anchors[0]
    for own, motion in zip(anchors, motions, strict=True):
        estimate = estimate if np.isnan(own).any() else own
        track.add(None if np.isnan(own).any() else own, estimate, motion)
    return track


FACE = np.array([[-20.0, 0], [20, 0], [0, 40]])


def shake(count: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A head that shakes fast: its true anchors, and its motions."""
    x = 60 * np.sin(np.arange(count) * 0.9)
    steps = [np.array([[1.0, 0, d], [0, 1, 0]]) for d in np.diff(x, prepend=x[0])]
    return [FACE + [place, 0] for place in x], [UNKNOWN, *steps[1:]]


def test_noise_is_averaged_away_and_a_fast_motion_is_not() -> None:
    truth, motions = shake(60)
    noise = np.random.default_rng(0).normal(0, 2, (60, 3, 2))
    found = steady_anchors(track_of([a + b for a, b in zip(truth, noise, strict=True)], motions), 6.0)
    error = found - truth
    assert np.abs(error).mean() < 0.6 and np.abs(np.diff(error, 2, axis=0)).mean() < 0.1
    assert np.abs(noise).mean() > 1.5


def test_a_face_is_where_its_motion_tells_while_it_is_not_seen() -> None:
    truth, motions = shake(40)
    anchors = [NOT_SEEN if 15 <= number < 22 else own for number, own in enumerate(truth)]
    np.testing.assert_allclose(steady_anchors(track_of(anchors, motions), 4.0), truth, atol=1e-6)


def test_one_wrong_frame_moves_nothing() -> None:
    truth, motions = shake(40)
    wrong = [own + (50 if number == 20 else 0) for number, own in enumerate(truth)]
    assert np.abs(steady_anchors(track_of(wrong, motions), 4.0) - truth).max() < 1e-6


def test_a_face_that_is_found_again_elsewhere_went_straight_there() -> None:
    track = track_of([FACE] * 3, [UNKNOWN, np.eye(2, 3), np.eye(2, 3)])
    for _ in range(4):
        track.add(None, FACE, np.eye(2, 3))  # flow that followed something else
    track.found(FACE + [40, 0], lost=True)
    way = steady_anchors(track, 0.5)[:, 0, 0] - FACE[0, 0]
    np.testing.assert_allclose(way, [0, 0, 0, 10, 20, 30, 40], atol=1e-6)


def test_means_and_fades_by_value() -> None:
    values = np.array([1.0, 2, np.nan, 4, 5])[:, None]
    np.testing.assert_allclose(weighted_means(values, 0.0), np.nan_to_num(values), atol=1e-9)
    weights = np.exp(-0.5 * np.array([4.0, 1, 1, 4]))
    expected = (weights * [1, 2, 4, 5]).sum() / weights.sum()
    assert weighted_means(values, 1.0)[2, 0] == pytest.approx(expected, rel=1e-6)


def seen_in(*frames: int, start: int = 10) -> Track:
    """A face that is seen in some of its frames."""
    anchors = [FACE if number in frames else NOT_SEEN for number in range(max(frames) + 1)]
    track = track_of(anchors, [UNKNOWN, *[np.eye(2, 3)] * (len(anchors) - 1)])
    track.start = start
    return track


def test_a_face_comes_and_goes_by_and_by_within_a_shot() -> None:
    every = seen_in(*range(20))
    assert shares(every, 10, 30, 25.0).tolist() == [1] * 20
    inside = shares(every, 5, 40, 25.0)
    assert inside.tolist() == inside[::-1].tolist() and inside[5:15].tolist() == [1] * 10
    assert inside[:5].tolist() == pytest.approx([0.104, 0.352, 0.648, 0.896, 1])
    late = shares(every, 10, 40, 25.0)
    assert late[0] == 1 and late[-1] == inside[-1]


def test_a_short_gap_is_aged_and_a_long_one_is_not() -> None:
    bridged = shares(seen_in(*range(10), *range(14, 24)), 10, 34, 25.0)
    assert bridged.tolist() == [1] * 24
    parted = shares(seen_in(*range(10), *range(18, 30)), 10, 40, 25.0)
    assert not parted[10:18].any() and parted[9] == parted[18] == pytest.approx(0.104)
    assert parted[0] == parted[-1] == 1


def test_a_face_is_not_aged_where_it_is_not_known_to_be() -> None:
    track = seen_in(*range(10), *range(12, 24))
    track.motions[11] = UNKNOWN  # it was found elsewhere
    found = shares(track, 10, 34, 25.0)
    assert not found[10:12].any() and 0 < found[12] < 1


# ---------------------------------------------------------------- who is where


def person(number: int, side: int) -> np.ndarray:
    picture = Image.open(PEOPLE[number]).convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(picture)


def passing(count: int) -> Iterator[np.ndarray]:
    """A face that stands, and another, from the left, that passes before it."""
    back, front = clip_toys.portrait(), person(2, 150)
    for number in range(count):
        frame = np.full((220, 560, 3), 150, np.uint8)
        frame[30:180, 200:350] = back
        x = 10 + round(380 * number / (count - 1))
        frame[40:190, x : x + 150] = front
        yield frame


def test_faces_keep_their_tracks_past_one_another() -> None:
    tracker, count = Tracker(0, 25.0, every=True), 28
    for frame in passing(count):
        tracker.add(frame)
    tracks = tracker.tracks()
    assert len(tracks) == 2
    standing, walking = sorted(tracks, key=lambda track: float(np.ptp(np.array(track.seen)[:, 0, 0])))
    assert np.ptp(np.array(standing.seen)[:, :, 0], axis=0).max() < 30 and walking.unseen == 0
    x = np.array(walking.estimates)[:, :2, 0].mean(1)
    assert np.abs(np.diff(x) - 380 / (count - 1)).max() < 6
    assert walking.start == 0 and walking.stop == count and standing.stop == count


def test_a_face_that_appears_is_followed_back_to_where_it_did() -> None:
    tracker = Tracker(0, 25.0, every=False)
    frame = np.full((200, 400, 3), 150, np.uint8)
    face = person(1, 150)
    for number in range(12):
        shown = frame.copy()
        if number >= 7:
            shown[20:170, 100 + number : 250 + number] = face
        tracker.add(shown)
    (track,) = tracker.tracks()
    assert (track.start, track.stop) == (7, 12)


def test_single_frames_are_not_followed() -> None:
    frames = [clip_toys.on_grey(person(1, 150), x) for x in (10, 12, 14)]
    alone = SingleFrames(0, 25.0, every=False)
    for frame in [*frames[:2], np.zeros_like(frames[0]), frames[2]]:
        alone.add(frame)
    (track,) = alone.tracks()
    assert [bool(np.isnan(own).any()) for own in track.anchors] == [False, False, True, False]
    expected = anchors_of(detect_faces(frames[1])[0].landmarks)
    np.testing.assert_allclose(track.anchors[1], expected)


def face_of(anchors: Sequence[np.ndarray], weight: float = 1.0) -> Face:
    """A face that is aged in all frames of a clip."""
    return Face(0, np.array(anchors), np.ones(len(anchors)), np.full((2, 8, 8, 3), 128, np.uint8), weight)


def test_which_faces_of_a_shot_are_chosen() -> None:
    places = {90: 1.0, 10: 3.0, 50: 2.0}
    shot = Shot(0, 1, [face_of([FACE + [x, 0]], weight) for x, weight in places.items()])
    assert [face.weight for face in shot.chosen("all")] == [3, 2, 1]
    assert [shot.chosen(which)[0].weight for which in ("main", 1, 2, 3)] == [3, 3, 2, 1]
    assert shot.chosen(4) == [] and Shot(0, 1, []).chosen("main") == []


def test_some_of_many_are_kept_evenly() -> None:
    kept: EvenSamples[int] = EvenSamples(4)
    for number in range(100):
        kept.offer(lambda number=number: number)
        assert len(kept.kept) <= 8 and len(set(np.diff(kept.kept))) <= 1
    assert kept.kept == [0, 16, 32, 48, 64, 80, 96]


# ---------------------------------------------------------------- ageing over time


class Shades(ShadeModel):
    """Its codes are the shade of the picture; a year adds a hundredth, more for dark pictures."""

    def codes(self, images: Tensor, ages: Ages) -> Tensor:
        own = self.photo_codes(images)[:, None]
        return own + age_grid(ages, images)[:, :, None, None] / 100 * (1 - own)

    def photo_codes(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3))[:, None, None].expand(-1, 2, 3)


def shade(*values: float, side: int = 8) -> Tensor:
    return torch.tensor(values)[:, None, None, None].expand(-1, 3, side, side)


def test_a_shot_has_one_direction_of_ageing() -> None:
    ageing = temporal_ageing(Shades(), by_codes=True)
    assert isinstance(ageing, CodeAgeing)
    directions = ageing.prepare(shade(0.0, 0.2), np.array([20.0, 32.0]))
    assert directions.ages.tolist() == [20, 24, 28, 32]
    torch.testing.assert_close(directions.at(np.array([20.0, 26.0]))[:, 0, 0], torch.tensor([0.18, 0.234]))
    pictures, mask = ageing.pictures(torch.full((1, 2, 3), 0.5), shade(0.5), np.array([32.0]), directions)
    assert mask is None
    torch.testing.assert_close(pictures, shade(0.5 + 0.32 * 0.9))  # whatever the shade of this frame
    assert Directions(np.array([60.0]), torch.ones(1, 2, 3)).at(np.array([60.0, 60.0])).shape == (2, 2, 3)


def test_without_codes_the_change_is_averaged_and_the_picture_is_not() -> None:
    model = TintModel(torch.tensor([1.0, -1, -1]))
    ageing = temporal_ageing(model, by_codes=True)
    assert isinstance(ageing, ChangeAgeing) and isinstance(temporal_ageing(Shades(), False), ChangeAgeing)
    images, years = shade(0.0, 0.4, side=32), np.array([50.0, 50.0])
    features = ageing.features(images, years)
    pictures, mask = ageing.pictures(features, images, years, None)
    torch.testing.assert_close(pictures, model.transform(images, torch.tensor(years)))
    mean = features.mean(0, keepdim=True).expand_as(features)
    pictures, _ = ageing.pictures(mean, images, years, None)
    torch.testing.assert_close(pictures - mean, images)
    assert mask is None


def renderer(deviation: float) -> Renderer:
    return Renderer(CodeAgeing(Shades()), TIGHT, deviation, torch.device("cpu"), at_once=3)


def scene(levels: Sequence[int]) -> tuple[list[np.ndarray], Role]:
    """Grey frames of some levels with a face in all of them."""
    frames = [np.full((120, 160, 3), level, np.uint8) for level in levels]
    return frames, Role(face_of([FACE + [80, 50]] * len(levels)), np.full(len(levels), 50.0))


def rendered(frames: Sequence[np.ndarray], role: Role, first: int, deviation: float) -> list[np.ndarray]:
    made = renderer(deviation)
    batches = [range(start, min(start + 4, len(frames))) for start in range(0, len(frames), 4)]
    batches = [batch for batch in batches if batch.stop > first - made.reach]
    source = frames[batches[0].start :]
    return [aged for _, aged in made.frames(source, batches, first, [role])]


def test_frames_are_rendered_with_what_lies_about_them_averaged() -> None:
    levels = [100, 100, 100, 160, 100, 100, 100, 100, 100, 100]
    frames, role = scene(levels)
    alone = rendered(frames, role, 0, 0.0)
    assert len(alone) == 10
    middle = [int(frame[70, 80, 0]) for frame in alone]
    assert middle[3] - middle[2] == pytest.approx(60, abs=2)
    assert all(np.array_equal(a[:5], b[:5]) for a, b in zip(alone, frames, strict=True))  # beside the face
    soft = [int(frame[70, 80, 0]) for frame in rendered(frames, scene(levels)[1], 0, 1.0)]
    assert soft[3] - soft[9] == pytest.approx(60 * 0.4, abs=3) and soft[2] == pytest.approx(soft[4], abs=1)


def test_frames_are_the_same_wherever_the_work_goes_on() -> None:
    levels = list(np.random.default_rng(0).integers(60, 200, 30))
    frames, role = scene(levels)
    whole = rendered(frames, role, 0, 1.2)
    for first in (1, 8, 13, 29):
        later = rendered(frames, scene(levels)[1], first, 1.2)
        assert len(later) == 30 - first
        assert all(np.array_equal(a, b) for a, b in zip(whole[first:], later, strict=True))


def test_a_model_that_makes_no_pictures_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, role = scene([100] * 3)
    monkeypatch.setattr(Shades, "synthesize", lambda self, codes: shade(*[float("nan")] * len(codes)))
    with pytest.raises(InputError, match="values that are no numbers"):
        rendered(frames, role, 0, 0.0)


def test_a_face_that_fades_is_aged_so_far() -> None:
    frames, role = scene([100] * 3)
    role.face.shares[:] = [0.0, 0.5, 1.0]
    levels = [int(frame[70, 80, 0]) for frame in rendered(frames, role, 0, 0.0)]
    assert levels[0] == 100 and levels[1] - 100 == pytest.approx((levels[2] - 100) / 2, abs=1)


# ---------------------------------------------------------------- flicker


def test_flicker_by_value() -> None:
    inside = np.zeros((4, 4), bool)
    inside[1:3, 1:3] = True
    still, brighter = np.zeros((4, 4, 3)), np.full((4, 4, 3), 10.0)
    assert (
        flicker(still, brighter, still, inside) == 10 and flicker(still, brighter, 2 * brighter, inside) == 0
    )
    low, high = ClipFigures({0: 3.0, 1: 5.0}), ClipFigures({0: 5.0})
    assert low.mean == 4 and high.beyond(low) == pytest.approx(3) and low.beyond(high) == 0


def test_planted_flicker_is_measured_and_a_still_face_does_not_follow() -> None:
    frames = clip_toys.moving_face(16)
    face = [anchors_of(detect_faces(frame)[0].landmarks) for frame in frames[:1]]
    analysis = Analysis(
        Timeline(np.arange(16), clip_toys.Fraction(1, 25)),
        [Shot(0, 16, [face_of(face * 16)])],
    )
    meter = FlickerMeter(analysis, 3)
    for number, frame in enumerate(frames):
        planted = np.clip(frame.astype(int) + (6 if number % 2 else -6), 0, 255).astype(np.uint8)
        meter.add(number, [frame, planted, frames[0]])
    source, flickering, still = meter.figures
    assert flickering.beyond(source) == pytest.approx(12, rel=0.2) and still.mean == 0
    assert source.follows == pytest.approx(1) and flickering.follows > 0.6 and abs(still.follows) < 1e-6
