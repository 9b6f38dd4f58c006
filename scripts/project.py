"""Projects photos into the latent space of a StyleGAN2, as NVIDIA's projector.py; its flags and AgeLab's.

python scripts/project.py --network=FILE --target=PHOTO --outdir=DIR [--num-steps=1000]
python scripts/project.py --checkpoint_path=FILE --data_path=FOLDER --exp_dir=DIR
"""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from inference.projection import project_photos
from options.projection_options import parse_projection_options
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes ``target.png``, ``proj.png``, ``projected_w.npz`` and what else there is, for every photo."""
    project_photos(parse_projection_options(arguments, __doc__ or ""))


if __name__ == "__main__":
    run_command(main)
