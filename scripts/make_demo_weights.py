"""Trains every bundled network from a folder of `{age}_{idx}` faces: `make demo-weights DATA=folder`.

Each network is one run of `scripts/train.py` with a preset of `configs/demo`; a stopped command continues
where it was. The results are stored in half precision.
"""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from options.parser import parse_options
from options.weights_options import DemoWeightsOptions
from training.demo_recipe import export_stage, train_stage
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the files of the chosen stages."""
    opts = parse_options(DemoWeightsOptions, arguments, __doc__ or "")
    for name in opts.stages:
        if not opts.export_only:
            train_stage(name, opts)
        export_stage(name, opts)


if __name__ == "__main__":
    run_command(main)
