"""Gives the fixed noise of a SAM's generator the spectrum of photos, so that it makes no grid on the skin.

python scripts/shape_noise.py --checkpoint_path=SAM.pt --data_path=PHOTOS --output=NEW.pt
"""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from options.parser import parse_options
from options.weights_options import ShapeNoiseOptions
from training.noise_shaping import shape_file
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the new file and prints how far the spectrum was before and is now."""
    shape_file(parse_options(ShapeNoiseOptions, arguments, __doc__ or ""))


if __name__ == "__main__":
    run_command(main)
