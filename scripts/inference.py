"""Ages a folder of photos: one picture for each photo and target age (SAM's `inference.py`)."""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from inference.loading import load_model
from inference.results import write_results
from inference.run import InferenceRun
from options.inference_options import InferenceOptions, parse_inference_options
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes ``inference_results/``, ``inference_coupled/`` and ``stats.txt`` below ``exp_dir``."""
    opts = parse_inference_options(InferenceOptions, arguments, __doc__ or "")
    write_results(InferenceRun(opts, load_model(opts)), opts)


if __name__ == "__main__":
    run_command(main)
