"""The command line of `scripts/evaluate_video.py`."""

from dataclasses import dataclass

from options.judge_options import JudgeOptions
from options.machine_options import DeviceOptions
from options.video_options import PartOptions
from utils.errors import InputError
from utils.typed_options import option, path


@dataclass(frozen=True, kw_only=True)
class VideoEvaluationOptions(PartOptions, JudgeOptions, DeviceOptions):
    """Options of `scripts/evaluate_video.py`."""

    title = "clips"

    results: tuple[str, ...] = option(
        kind=path,
        help="aged clips, of which the flicker is measured",
        nargs="+",
        positional=True,
        metavar="RESULT",
    )
    source: str = option(None, path, "the clip that they were made of; needed", metavar="FILE")
    baseline: str | None = option(
        None,
        path,
        "the same aged frame by frame (--temporal=frame): results are told as shares of it",
        metavar="FILE",
    )
    exp_dir: str = option(None, path, "table and curves go into this folder; needed", metavar="DIR")

    def check(self) -> None:
        """Raises ``InputError`` without a source or a folder for the figures."""
        for name in ("source", "exp_dir"):
            if not getattr(self, name):
                raise InputError(f"--{name} is needed: the clip that was aged, and a folder for the figures")
