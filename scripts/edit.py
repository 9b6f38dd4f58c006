"""Edits faces at every age along directions of the generator, and says what each does to person and age.

python scripts/edit.py --data_path=FACES --exp_dir=DIR [--directions=FILE,...] [--latent_mask=0,1,2]
"""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from evaluation.editing import report_edits
from evaluation.report import how_made
from inference.loading import load_style_model
from inference.run import InferenceRun
from options.edit_options import EditOptions
from options.inference_options import parse_inference_options
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes ``editing/DIRECTION/NAME``, ``editing/directions.json`` and ``.md`` below ``exp_dir``."""
    opts = parse_inference_options(EditOptions, arguments, __doc__ or "")
    report_edits(InferenceRun(opts, load_style_model(opts)), opts, how_made("edit", opts, arguments))


if __name__ == "__main__":
    run_command(main)
