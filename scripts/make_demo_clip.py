"""Makes a clip to try video ageing on: photos filmed by a hand-held camera, heads that turn, talk and blink.

python scripts/make_demo_clip.py --output=clip.mp4 [--photos=A.jpg,B.jpg] [--seconds=8]
"""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from inference.video.demo_clip import write_demo_clip
from options.demo_clip_options import DemoClipOptions
from options.parser import parse_options
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the clip."""
    opts = parse_options(DemoClipOptions, arguments, __doc__ or "")
    write_demo_clip(opts)
    print(f"wrote {opts.output}")


if __name__ == "__main__":
    run_command(main)
