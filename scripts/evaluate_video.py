"""Measures how much aged clips flicker, beside their input and beside ageing frame by frame.

python scripts/evaluate_video.py RESULT.mp4 --source=CLIP.mp4 --exp_dir=DIR [--baseline=FRAME_BY_FRAME.mp4]
"""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from evaluation.flicker import report_flicker
from evaluation.report import how_made
from options.evaluate_video_options import VideoEvaluationOptions
from options.parser import parse_options
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table and writes it with the curves into ``exp_dir``."""
    opts = parse_options(VideoEvaluationOptions, arguments, __doc__ or "")
    report_flicker(opts, how_made("evaluate_video", opts, arguments))


if __name__ == "__main__":
    run_command(main)
