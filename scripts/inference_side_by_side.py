"""Ages a folder of photos: one strip a photo, the input and then every target age, left to right."""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from inference.loading import load_model
from inference.results import write_strips
from inference.run import InferenceRun
from options.inference_options import SideBySideOptions, parse_inference_options
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes ``inference_side_by_side/NAME`` below ``exp_dir``."""
    opts = parse_inference_options(SideBySideOptions, arguments, __doc__ or "")
    write_strips(InferenceRun(opts, load_model(opts)), opts)


if __name__ == "__main__":
    run_command(main)
