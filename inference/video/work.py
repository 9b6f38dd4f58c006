"""One clip on its way to its result: analysed, rendered in segments, joined; every step is kept."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from inference.target_years import input_ages
from inference.video.ageing import temporal_ageing
from inference.video.analysis import Settings, analyse
from inference.video.casting import cast
from inference.video.clip import Clip
from inference.video.frames import Timeline
from inference.video.rendering import Renderer
from inference.video.segments import Segments
from models.aging_model import AgingModel
from options.video_options import SHOT, VideoOptions
from utils.faces.alignment import CROPS
from utils.files.writing import write_json
from utils.notes import note

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
        chosen = cast(self._clip, analysis, self._opts.faces, self._opts.age_path, ages)
        line, folder = analysis.timeline, self._files.parts
        segments = Segments(self._clip, line, folder, bool(self._files.coupled), self._opts.crf)
        if not self._continues():
            segments.clear()
        write_json(self._record, folder / RENDERING)
        deviation = self._opts.smoothing * line.rate if followed else 0.0
        ageing, size = temporal_ageing(model, by_codes=followed), self._opts.test_batch_size
        segments.render(Renderer(ageing, crop, deviation, device, size), chosen.roles, size)
        segments.join(0, self._files.result)
        if self._files.coupled:
            segments.join(1, self._files.coupled)
        self._report(line, chosen.told)
        segments.clear()
        (folder / RENDERING).unlink()

    def _continues(self) -> bool:
        """Whether what an earlier run rendered serves; says what is different where it does not."""
        before = read_json(self._files.parts / RENDERING)
        if before and before != self._record:
            named = changes(before.get("options") or {}, self._record["options"])
            what = f"what was rendered of {self._clip.path.name} is of other options"
            note(f"{what} ({named or 'or of another clip or checkpoint'}); it is made anew")
        return before == self._record

    def _report(self, timeline: Timeline, told: Sequence[Mapping[str, Any]]) -> None:
        """Writes what the result was made of: the record by which a second run knows it, shots, faces."""
        content = {
            "clip": str(self._clip.path),
            "frames": len(timeline),
            "frames_a_second": round(timeline.rate, 3),
            "remarks": self._clip.remarks(),
            "shots": told,
            "made_of": self._record,
        }
        write_json(content, self._files.report)


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
