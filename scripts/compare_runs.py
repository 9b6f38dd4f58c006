"""Sets trainings side by side: options that differ, curves, validation and sheets, as a page or a picture.

python scripts/compare_runs.py runs/a runs/b --output=comparison.html
python scripts/compare_runs.py runs/a runs/b --figures=d_loss,real_sign --output=curves.png
"""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from options.parser import parse_options
from options.report_options import CompareOptions
from training.reports.comparison import compare
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the page, or the picture."""
    options = parse_options(CompareOptions, arguments, __doc__ or "")
    print(compare(options))


if __name__ == "__main__":
    run_command(main)
