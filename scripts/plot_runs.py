"""Draws what trainings logged as curves in one picture, a panel a figure and a curve a run.

python scripts/plot_runs.py runs/a runs/b --figures=d_loss,real_sign --output=curves.png
"""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from evaluation.training_curves import training_curves
from options.parser import parse_options
from options.plot_options import PlotOptions
from utils.errors import run_command
from utils.pictures.writing import save_pil


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the picture."""
    options = parse_options(PlotOptions, arguments, __doc__ or "")
    save_pil(training_curves(options.runs, options.figures, options.height), options.output)
    print(options.output)


if __name__ == "__main__":
    run_command(main)
