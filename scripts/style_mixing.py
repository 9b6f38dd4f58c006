"""Mixes random styles into aged photos: one row a photo, the input and then its random mixtures."""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from inference.loading import load_style_model
from inference.mixing import write_random_mixtures
from inference.run import InferenceRun
from options.inference_options import StyleMixingOptions, parse_inference_options
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes ``style_mixing/AGE/NAME`` below ``exp_dir``."""
    opts = parse_inference_options(StyleMixingOptions, arguments, __doc__ or "")
    write_random_mixtures(InferenceRun(opts, load_style_model(opts)), opts)


if __name__ == "__main__":
    run_command(main)
