"""The command line of `scripts/inference_video.py`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from options.age_path import AgePath, parse_age_path
from options.ageing_options import (
    COUPLED_VIDEOS,
    RESULT_FOLDERS,
    VIDEOS,
    InputAgeOptions,
    LoadingOptions,
    earlier_results,
    which_faces,
)
from options.inference_options import CoupleOptions, ResultFileOptions
from utils.errors import InputError
from utils.faces.alignment import predictor_path
from utils.pictures.animation import require_video_writer
from utils.typed_options import Options, at_least, group, option, path, weight

SHOT, FRAME = "shot", "frame"


def moment(text: str) -> float:
    """A time in seconds, given as ``12.5`` or ``1:02:03.5``."""
    parts = text.split(":")
    if len(parts) > 3:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; give seconds such as 12.5, or 1:30")
    return sum(weight(part) * 60**power for power, part in enumerate(reversed(parts)))


@dataclass(frozen=True, kw_only=True)
class PartOptions(Options):
    """What part of clips."""

    title = "clips"

    start: float = option(0.0, moment, "leave out what is before this time: seconds, or 1:30", metavar="TIME")
    end: float | None = option(None, moment, "leave out what is after this time", metavar="TIME")

    def check(self) -> None:
        """Raises ``InputError`` for an end that is not after the start, or where no clip can be read."""
        if self.end is not None and self.end <= self.start:
            raise InputError(f"--end={self.end:g} does not come after --start={self.start:g}")
        require_video_writer(otherwise=None)


@dataclass(frozen=True, kw_only=True)
class ClipOptions(PartOptions):
    """Which clips."""

    title = "clips"

    data_path: str = option(
        None, path, "a clip, or a folder of clips; sub-folders are searched too", metavar="PATH"
    )

    def check(self) -> None:
        """Raises ``InputError`` without clips."""
        if not self.data_path:
            raise InputError("--data_path=PATH is needed: a clip or a folder of clips")


@dataclass(frozen=True, kw_only=True)
class TemporalOptions(Options):
    """Ages, faces, and how they are kept steady."""

    title = "result"

    target_age: str | None = option(
        None,
        str,
        "one age in years, or relative as in +20; or a path through the clip such as 20:0,60:10s, "
        "20:0,60:1:30 or 20:0,60:100%%, whose times count from --start",
        metavar="YEARS[:TIME],...",
    )
    faces: str | int = option(
        "main",
        which_faces,
        "which faces of each shot are aged: main is the one that fills most of it, all is every one, a "
        "number counts from the left",
        metavar="main|all|N",
    )
    temporal: str = option(
        SHOT,
        str,
        "shot: faces are followed, and each has one direction of ageing a shot; frame: every frame is found "
        "and aged by itself, which flickers, for comparison",
        choices=(SHOT, FRAME),
    )
    smoothing: float = option(
        0.04,
        weight,
        "seconds, a deviation, over which codes (or what ageing changes of the picture) are averaged",
        metavar="SECONDS",
    )
    crf: int = option(
        18, at_least(0, 51), "quality of x264: 0 loses nothing, 18 is hard to tell, 28 is small"
    )

    @property
    def age_path(self) -> AgePath:
        """The target ages."""
        return parse_age_path(self.target_age)

    def check(self) -> None:
        """Raises ``InputError`` if a target is no age, or faces cannot be found."""
        parse_age_path(self.target_age)
        predictor_path()


@dataclass(frozen=True, kw_only=True)
class VideoOptions(
    ResultFileOptions, ClipOptions, TemporalOptions, CoupleOptions, InputAgeOptions, LoadingOptions
):
    """Options of `scripts/inference_video.py`."""

    title = "machine"

    test_batch_size: int = option(8, group, "frames a batch", metavar="N")

    @property
    def folder(self) -> Path:
        """Where the results go."""
        return Path(self.exp_dir) / VIDEOS

    @property
    def coupled_folder(self) -> Path:
        """Where clips beside their results go."""
        return Path(self.exp_dir) / COUPLED_VIDEOS

    @property
    def own_output(self) -> Sequence[Path]:
        """The folders of all inference commands in ``exp_dir`` and among the clips."""
        return [*(Path(self.exp_dir) / name for name in RESULT_FOLDERS), *earlier_results(self.data_path)]
