"""Personalises SAM to real people, some of their ages left out in turn, and judges the outputs at those ages.

For each sub-folder of --people and each fold of its ages: MyTimeMachine is trained on the photos of the
other ages; then every left-out photo is aged to the ages of the other left-out photos, by SAM and by the
personalised model. --protocol=mytimemachine is that of the paper: age regression and progression. --variants
sets ways to personalise side by side. A person for whom this fails is reported with the reason. The same
command continues an interrupted one.
"""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from evaluation.people import report_people
from evaluation.report import how_made
from options.evaluate_options import parse_people_options
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes ``people.json``, ``people.md`` and for each person a folder with runs and pictures."""
    options = parse_people_options(arguments, __doc__ or "")
    report_people(options, how_made("evaluate_people", options, arguments))
    print(f"results in {options.exp_dir}")


if __name__ == "__main__":
    run_command(main)
