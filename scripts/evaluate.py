"""Measures an ageing model by judges: age control and identity over a folder, or personalised against global.

python scripts/evaluate.py --data_path=FOLDER --exp_dir=DIR [--checkpoint_path=SAM.pt[,OTHER.pt...]]
python scripts/evaluate.py --data_path=FOLDER --exp_dir=DIR --age_classifier=FILE
python scripts/evaluate.py --data_path=TRUE_PHOTOS --exp_dir=DIR --personalized_checkpoint=FILE
"""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from evaluation.jobs import (
    report_age_classifiers,
    report_ageing,
    report_methods,
    report_personalization,
)
from evaluation.report import how_made
from options.evaluate_options import parse_evaluate_options
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs what the command line asks for; files are written when everything is measured."""
    options = parse_evaluate_options(arguments, __doc__ or "")
    made_by = how_made("evaluate", options, arguments)
    if options.personalized_checkpoint:
        report_personalization(options, made_by)
    else:
        if options.age_classifier:
            report_age_classifiers(options, made_by)
        if options.ages_people and len(options.methods) > 1:
            report_methods(options, made_by)
        elif options.ages_people:
            report_ageing(options, made_by)
    print(f"results in {options.exp_dir}")


if __name__ == "__main__":
    run_command(main)
