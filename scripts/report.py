"""Makes the report of a training or an evaluation again, or for the first time, from its folder.

python scripts/report.py runs/person
"""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from evaluation.page import report_of
from options.parser import parse_options
from options.report_options import ReportOptions
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes ``report.html``."""
    options = parse_options(ReportOptions, arguments, __doc__ or "")
    for folder in options.folders:
        print(report_of(folder, options.output))


if __name__ == "__main__":
    run_command(main)
