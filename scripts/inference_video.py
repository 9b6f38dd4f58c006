"""Ages the faces of clips: steadily through each shot, with sound and frame rate as they are.

python scripts/inference_video.py --data_path=CLIP --exp_dir=DIR --target_age=60
python scripts/inference_video.py --data_path=CLIPS --exp_dir=DIR --target_age=20:0,60:10s --faces=all
"""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from inference.loading import load_with_encoder
from inference.video.run import age_clips
from options.inference_options import parse_inference_options
from options.video_options import VideoOptions
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes ``inference_videos/NAME.mp4`` and ``NAME.json`` below ``exp_dir``."""
    opts = parse_inference_options(VideoOptions, arguments, __doc__ or "")
    age_clips(load_with_encoder(opts), opts)


if __name__ == "__main__":
    run_command(main)
