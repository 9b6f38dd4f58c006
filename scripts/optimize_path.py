"""Optimises the codes of each photo at all target ages together: nearer to the ages, as much the person.

python scripts/optimize_path.py --data_path=PHOTOS --exp_dir=DIR --target_age=10,20,30,40,50,60,70,80
"""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from inference.latent_path import optimize_photos
from inference.loading import load_style_model
from inference.run import InferenceRun
from options.path_options import parse_path_options
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes ``latent_paths/STEM/`` with ``path.npz``, ``strip.png`` and ``loss.png`` below ``exp_dir``."""
    opts = parse_path_options(arguments, __doc__ or "")
    optimize_photos(InferenceRun(opts, load_style_model(opts)), opts)


if __name__ == "__main__":
    run_command(main)
