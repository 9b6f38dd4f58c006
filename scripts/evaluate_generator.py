"""Measures how far the pictures of a StyleGAN2 are from photos: over all of them and in each class.

python scripts/evaluate_generator.py --checkpoint_path=FILE --data_path=FOLDER --exp_dir=DIR
"""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from evaluation.generators import report_generator
from evaluation.report import how_made
from options.generator_evaluation_options import GeneratorEvaluationOptions
from options.parser import parse_options
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the figures, and a sheet with a row for each class; both when everything is measured."""
    options = parse_options(GeneratorEvaluationOptions, arguments, __doc__ or "")
    report_generator(options, how_made("evaluate_generator", options, arguments))
    print(f"results in {options.exp_dir}")


if __name__ == "__main__":
    run_command(main)
