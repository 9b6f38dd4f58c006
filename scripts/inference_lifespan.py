"""The life span of every photo of a folder, personalised or global (MyTimeMachine's `helper.py`)."""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from inference.lifespan import load_chosen_model, write_life_spans
from inference.run import InferenceRun
from options.lifespan_options import parse_lifespan_options
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes strips, latent codes, single pictures and ``opt.json`` to ``OUTPUT_DIR/DESC``."""
    opts = parse_lifespan_options(arguments, __doc__ or "")
    write_life_spans(InferenceRun(opts, load_chosen_model(opts)), opts)


if __name__ == "__main__":
    run_command(main)
