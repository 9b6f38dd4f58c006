"""One clip on its way to its result: analysed, rendered in segments, joined; every step is kept."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from datasets.input_age import InputAges
from inference.target_years import input_ages
from inference.video.ageing import temporal_ageing
from inference.video.analysis import Analysis, Face, Settings, analyse
from inference.video.clip import Clip, UnusableClipError
from inference.video.encoding import FilmWriter, film, join_films
from inference.video.frames import Frames, Timeline
from inference.video.rendering import Renderer, Role, as_images
from models.aging_model import AgingModel
from options.video_options import SHOT, VideoOptions
from utils.faces.alignment import CROPS
from utils.files.writing import write_json
from utils.notes import note

SEGMENT = 240  # frames that are rendered, encoded and kept together
RENDERING = "rendering.json"
# What a result does not depend on, or what is told otherwise.
_OTHER_OPTIONS = ("exp_dir", "data_path", "device", "ops", "compile", "test_batch_size")


@dataclass(frozen=True)
class ClipFiles:
    """What is written for a clip.

    Attributes:
        result: the aged clip.
        coupled: the clip beside it; None where that is not wanted.
        report: what the result was made of.
        parts: folder of what is kept on the way.
    """

    result: Path
    coupled: Path | None
    report: Path
    parts: Path

    def named(self) -> list[Path]:
        """The files that are there in the end."""
        return [self.result, self.report, *([self.coupled] if self.coupled else [])]

    def all(self) -> list[Path]:
        """The same, and what the folder of the parts holds by now."""
        return [*self.named(), *(self.parts.iterdir() if self.parts.is_dir() else ())]


class ClipWork:
    """The work on one clip.

    Args:
        opts: of the command.
        clip: the clip.
        files: what is written.
    """

    def __init__(self, opts: VideoOptions, clip: Clip, files: ClipFiles) -> None:
        self._opts, self._clip, self._files = opts, clip, files
        options = {name: value for name, value in opts.record().items() if name not in _OTHER_OPTIONS}
        self._source = {"clip": state_of(clip.path), "start": clip.start, "end": clip.end}
        named = [opts.checkpoint, opts.global_checkpoint, opts.encoder_path, opts.age_classifier]
        models = {path: state_of(Path(path)) for path in named if path is not None}
        self._record = as_stored({**self._source, "options": options, "models": models})

    def is_done(self) -> bool:
        """Whether the result is there, made of the same clip with the same options."""
        report = read_json(self._files.report)
        return report.get("made_of") == self._record and all(path.is_file() for path in self._files.named())

    def do(self, model: AgingModel, device: torch.device) -> None:
        """Makes the result, going on where an earlier run stopped.

        Args:
            model: what ages faces.
            device: where it computes.

        Raises:
            InputError: the clip cannot be read or shows no face, or nothing can be written.
        """
        followed, crop = self._opts.temporal == SHOT, replace(CROPS[model.crop], fade=False)
        settings = Settings(model.input_size, crop, self._opts.faces != "main", followed)
        analysis = analyse(self._clip, self._files.parts, settings, as_stored(self._source))
        ages = input_ages(self._opts, model.crop, device)
        deviation = self._opts.smoothing * analysis.timeline.rate if followed else 0.0
        ageing = temporal_ageing(model, by_codes=followed)
        renderer = Renderer(ageing, crop, deviation, device, self._opts.test_batch_size)
        roles, told = self._roles(analysis, ages)
        segments = spans(len(analysis.timeline), SEGMENT)
        self._render(analysis.timeline, segments, roles, renderer)
        for kind, path in self._kinds():
            parts = [self._segment(number, kind) for number in range(len(segments))]
            join_films(parts, [span.start for span in segments], analysis.timeline, self._clip, path)
        self._report(analysis, told)
        for path in (*self._files.parts.glob("segment*"), self._files.parts / RENDERING):
            path.unlink(missing_ok=True)

    # ------------------------------------------------------------ who is aged, and how far

    def _roles(self, analysis: Analysis, ages: InputAges) -> tuple[list[Role], list[dict[str, Any]]]:
        """The faces that are aged, and what the report tells of each shot."""
        which, timeline = self._opts.faces, analysis.timeline
        roles, told = [], []
        for number, shot in enumerate(analysis.shots, start=1):
            chosen = shot.chosen(which)
            faces = [
                self._role(face, f"shot {number}, face {index}", analysis, ages, len(chosen))
                for index, face in enumerate(chosen, start=1)
            ]
            roles += [role for role, _ in faces]
            times = [float(timeline.seconds[shot.start]), float(timeline.seconds[shot.stop - 1])]
            told.append(
                {"seconds": times, "frames": [shot.start, shot.stop], "faces": [row for _, row in faces]}
            )
        if not roles and any(shot.faces for shot in analysis.shots):
            raise UnusableClipError(f"--faces={which}: no shot of {self._clip.path} has so many faces")
        if not roles:
            raise UnusableClipError(
                f"no face found in {self._clip.path}; faces need 80 pixels and look to the camera"
            )
        return roles, told

    def _role(
        self, face: Face, name: str, analysis: Analysis, ages: InputAges, together: int
    ) -> tuple[Role, dict[str, Any]]:
        """One face, and what the report tells of it."""
        timeline, path = analysis.timeline, self._opts.age_path
        told: dict[str, Any] = {"frames": [face.start, face.stop]}
        own = 0.0
        if path.relative:
            own = told["own_age"] = self._own_age(face, name, ages, together)
        length = float((timeline.end - timeline.ticks[0]) * timeline.base)
        years = path.years(timeline.seconds[face.start : face.stop], length, own)
        return Role(face, years), {**told, "target_ages": [float(years[0]), float(years[-1])]}

    def _own_age(self, face: Face, name: str, ages: InputAges, together: int) -> float:
        """The age of a person: the middle of what some frames tell; the name of a clip tells one person's."""
        source = self._clip.path if together == 1 else Path()
        found = ages([source] * len(face.samples), as_images(list(face.samples)))
        years = float(np.median([age.years for age in found]))
        print(f"{self._clip.path.name}, {name}: {years:.3g} years ({found[0].source})")
        for label, wanted in self._opts.age_path.beyond(years):
            note(
                f"{self._clip.path.name}, {name}: {label} gives {wanted:.3g} years, taken as the nearest age"
            )
        return years

    # ------------------------------------------------------------ frames

    def _kinds(self) -> list[tuple[str, Path]]:
        """The films that are made: what their segments are called, and their files."""
        coupled = self._files.coupled
        return [("", self._files.result), *([("_coupled", coupled)] if coupled else [])]

    def _segment(self, number: int, kind: str) -> Path:
        return self._files.parts / f"segment_{number:05d}{kind}.mp4"

    def _render(
        self, timeline: Timeline, segments: Sequence[range], roles: Sequence[Role], renderer: Renderer
    ) -> None:
        """Renders the segments that are missing, from the first of them on."""
        self._drop_other_segments()
        done = 0
        while done < len(segments) and all(self._segment(done, kind).is_file() for kind, _ in self._kinds()):
            done += 1
        if done == len(segments):
            return
        first = segments[done].start
        batches = [batch for span in segments for batch in spans_of(span, self._opts.test_batch_size)]
        batches = [batch for batch in batches if batch.stop > first - renderer.reach]
        bar = tqdm(total=len(timeline), initial=first, desc=f"ageing {self._clip.path.name}", unit="frame")
        with bar, Frames(self._clip, batches[0].start) as frames:
            results = renderer.frames(frames, batches, first, roles)
            for number in range(done, len(segments)):
                self._write_segment(number, segments[number], timeline, results, bar)

    def _write_segment(
        self,
        number: int,
        span: range,
        timeline: Timeline,
        results: Iterator[tuple[np.ndarray, np.ndarray]],
        bar: "tqdm[Any]",
    ) -> None:
        with contextlib.ExitStack() as stack:
            writers: list[FilmWriter] = []
            for _ in span:
                original, aged = next(results)
                shown = [aged, np.hstack([original, aged])][: len(self._kinds())]
                if not writers:
                    writers = [
                        stack.enter_context(self._film(self._segment(number, kind), span, timeline, pixels))
                        for (kind, _), pixels in zip(self._kinds(), shown, strict=True)
                    ]
                for writer, pixels in zip(writers, shown, strict=True):
                    writer.add(pixels)
                bar.update()

    def _film(
        self, path: Path, span: range, timeline: Timeline, pixels: np.ndarray
    ) -> contextlib.AbstractContextManager[FilmWriter]:
        ticks = (timeline.ticks[span.start : span.stop] - timeline.ticks[span.start]).tolist()
        size = pixels.shape[1], pixels.shape[0]
        return film(path, size, ticks, timeline.base, self._clip.encoded, self._opts.crf)

    def _drop_other_segments(self) -> None:
        """Removes what an earlier run rendered with other options."""
        path = self._files.parts / RENDERING
        before = read_json(path)
        if before and before != self._record:
            named = (
                changes(before.get("options") or {}, self._record["options"]) or "another clip or checkpoint"
            )
            note(
                f"what was rendered of {self._clip.path.name} is of other options ({named}); it is made anew"
            )
        if before != self._record:
            for segment in self._files.parts.glob("segment_*"):
                segment.unlink()
            write_json(self._record, path)

    def _report(self, analysis: Analysis, told: Sequence[Mapping[str, Any]]) -> None:
        """Writes what the result was made of: the record by which a second run knows it, shots, faces."""
        timeline = analysis.timeline
        content = {
            "clip": str(self._clip.path),
            "frames": len(timeline),
            "frames_a_second": round(timeline.rate, 3),
            "remarks": self._clip.remarks(),
            "shots": told,
            "made_of": self._record,
        }
        write_json(content, self._files.report)


def spans(count: int, size: int) -> list[range]:
    """The numbers below one in parts of a size; the last may be smaller."""
    return spans_of(range(count), size)


def spans_of(whole: range, size: int) -> list[range]:
    """A range in parts of a size; the last may be smaller."""
    return [whole[start : start + size] for start in range(0, len(whole), size)]


def state_of(path: Path) -> list[int]:
    """Size and time of change of a file, by which it is known again."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def as_stored(content: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values as they come back from a JSON file."""
    return json.loads(json.dumps(content))


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file; empty where it is missing or damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Which options changed, and how."""
    differ = [name for name in now if before.get(name) != now[name]]
    return ", ".join(f"--{name} {before.get(name)} -> {now[name]}" for name in differ)
