"""The first pass through a clip: its shots and their faces, kept in files as they are found."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from inference.video.clip import Clip, UnusableClipError
from inference.video.frames import Frames, Timeline, read_timeline
from inference.video.shots import with_cuts
from inference.video.tracking import SingleFrames, Tracker
from inference.video.tracks import STEADY_SECONDS, Track, shares, steady_anchors
from utils.faces.alignment import Crop, anchor_square, warp_square
from utils.files.writing import write_json, written_atomically
from utils.notes import note
from utils.spacing import EvenSamples

VERSION = 1  # of what the files hold; a change makes earlier ones out of date
SAMPLES = 16  # pictures of a face in a shot from which its ageing is told, or up to twice as many
TIMELINE, SETTINGS = "timeline.npz", "analysis.json"


@dataclass(frozen=True)
class Face:
    """One face in a shot.

    Attributes:
        start: number of its first frame.
        anchors: (N, 3, 2) eyes and mouth in all its frames.
        shares: (N,) how far it is aged in each, 0 to 1.
        samples: uint8 (K, S, S, 3), its aligned picture in some of them.
        weight: how much of the shot it fills.
    """

    start: int
    anchors: np.ndarray
    shares: np.ndarray
    samples: np.ndarray
    weight: float

    @property
    def stop(self) -> int:
        """Number of the frame after its last."""
        return self.start + len(self.anchors)


@dataclass(frozen=True)
class Shot:
    """Frames from one cut to the next, from ``start`` to before ``stop``, and the faces there."""

    start: int
    stop: int
    faces: list[Face]

    def chosen(self, which: str | int) -> list[Face]:
        """Some of the faces: ``main``, ``all``, or a number from the left; none where there are fewer."""
        in_order = sorted(self.faces, key=lambda face: float(np.nanmean(face.anchors[..., 0])))
        if which == "main":
            return sorted(in_order, key=lambda face: -face.weight)[:1]
        return in_order if isinstance(which, str) else in_order[which - 1 : which]


@dataclass(frozen=True)
class Settings:
    """What is looked for.

    Attributes:
        size: side in pixels of the pictures of faces.
        crop: how they are cut.
        every: all faces of a shot, not only the largest.
        followed: faces are followed from frame to frame; else each frame is looked at by itself.
    """

    size: int
    crop: Crop
    every: bool
    followed: bool


@dataclass(frozen=True)
class Analysis:
    """When the frames of a clip are shown, and its shots."""

    timeline: Timeline
    shots: list[Shot]


def analyse(clip: Clip, folder: Path, settings: Settings, key: Mapping[str, Any]) -> Analysis:
    """Reads the analysis of a clip, and makes what is missing of it.

    Args:
        clip: the clip.
        folder: of the files of the analysis; those of another clip or of other settings are replaced.
        settings: what is looked for.
        key: what the clip is; plain values.

    Raises:
        InputError: the clip cannot be read, or nothing can be written.
    """
    wanted = {
        **key,
        "version": VERSION,
        **vars(settings),
        "crop": vars(settings.crop),
    }
    timeline = _kept_timeline(folder, wanted)
    if timeline is None:
        for path in folder.glob("shot_*.npz"):
            path.unlink()
        timeline = read_timeline(clip)
        with written_atomically(folder / TIMELINE) as temporary:
            np.savez(temporary, ticks=timeline.ticks, base=timeline.base.as_integer_ratio())
        write_json(wanted, folder / SETTINGS)
    shots = _kept_shots(folder, len(timeline))
    done = shots[-1].stop if shots else 0
    if done < len(timeline):
        shots += _further_shots(clip, folder, settings, timeline, len(shots), done)
    return Analysis(timeline, shots)


def _further_shots(
    clip: Clip, folder: Path, settings: Settings, timeline: Timeline, number: int, first: int
) -> list[Shot]:
    """Looks for the faces of the frames from one on, which begins a shot; each shot is kept when it ends."""
    found: list[Shot] = []
    finder: _ShotFinder | None = None

    def end(finder: _ShotFinder) -> None:
        shot = finder.shot()
        _write_shot(shot, folder / f"shot_{number + len(found):05d}.npz")
        found.append(shot)

    bar = tqdm(
        total=len(timeline), initial=first, desc=f"looking for faces in {clip.path.name}", unit="frame"
    )
    with bar, Frames(clip, first) as frames:
        for pixels, cut in with_cuts(frames):
            if cut and finder is not None:
                end(finder)
                finder = None
            finder = finder or _ShotFinder(settings, first, timeline.rate)
            finder.add(pixels)
            first += 1
            bar.update()
        if finder is not None:
            end(finder)
    if first != len(timeline):
        raise UnusableClipError(
            f"{clip.path} gave {first} frames, then {len(timeline)}: it is damaged or was changed meanwhile; "
            "start again"
        )
    return found


class _ShotFinder:
    """Follows the faces of a shot and collects pictures of them."""

    def __init__(self, settings: Settings, start: int, rate: float) -> None:
        self._settings, self._start, self._rate = settings, start, rate
        kind = Tracker if settings.followed else SingleFrames
        self._tracker = kind(start, rate, settings.every)
        self._count = 0
        self._samples: dict[int, EvenSamples[np.ndarray]] = {}

    def add(self, pixels: np.ndarray) -> None:
        """Looks at the next frame."""
        self._tracker.add(pixels)
        self._count += 1
        crop, size = self._settings.crop, self._settings.size
        for track in self._tracker.in_sight():
            samples = self._samples.setdefault(id(track), EvenSamples(SAMPLES))
            square = anchor_square(track.anchors[-1], crop.s, crop.k)
            samples.offer(partial(warp_square, pixels, square, size))

    def shot(self) -> Shot:
        """The shot, when all its frames are added; of the faces the largest alone unless all are wanted."""
        tracks = self._tracker.tracks()
        if not self._settings.every:
            tracks = sorted(tracks, key=lambda track: -track.weight)[:1]
        return Shot(self._start, self._start + self._count, [self._face(track) for track in tracks])

    def _face(self, track: Track) -> Face:
        samples = np.stack(self._samples[id(track)].kept)
        if not self._settings.followed:
            anchors = np.array(track.anchors)
            return Face(track.start, anchors, 1.0 - np.isnan(anchors[:, 0, 0]), samples, track.weight)
        anchors = steady_anchors(track, STEADY_SECONDS * self._rate)
        aged = shares(track, self._start, self._start + self._count, self._rate)
        return Face(track.start, anchors, aged, samples, track.weight)


# ---------------------------------------------------------------- files


def _kept_timeline(folder: Path, wanted: Mapping[str, Any]) -> Timeline | None:
    """The timeline of an earlier run that looked for the same in the same clip."""
    try:
        if json.loads((folder / SETTINGS).read_text(encoding="utf-8")) != json.loads(json.dumps(wanted)):
            note(f"the analysis in {folder} is of another clip or of other options; it is made anew")
            return None
        with np.load(folder / TIMELINE, allow_pickle=False) as content:
            return Timeline(content["ticks"], Fraction(*content["base"].tolist()))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _kept_shots(folder: Path, frames: int) -> list[Shot]:
    """The shots of an earlier run, up to the first that is missing or damaged."""
    shots: list[Shot] = []
    while not shots or shots[-1].stop < frames:
        shot = _read_shot(folder / f"shot_{len(shots):05d}.npz")
        if shot is None or shot.start != (shots[-1].stop if shots else 0):
            break
        shots.append(shot)
    return shots


def _write_shot(shot: Shot, path: Path) -> None:
    arrays: Any = {"frames": np.array([shot.start, shot.stop])}
    for number, face in enumerate(shot.faces):
        arrays |= {f"{name}_{number}": np.asarray(value) for name, value in vars(face).items()}
    with written_atomically(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def _read_shot(path: Path) -> Shot | None:
    try:
        with np.load(path, allow_pickle=False) as content:
            start, stop = content["frames"].tolist()
            count = sum(name.startswith("start_") for name in content)
            faces = [
                Face(
                    int(content[f"start_{number}"]),
                    content[f"anchors_{number}"],
                    content[f"shares_{number}"],
                    content[f"samples_{number}"],
                    float(content[f"weight_{number}"]),
                )
                for number in range(count)
            ]
        return Shot(start, stop, faces)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
