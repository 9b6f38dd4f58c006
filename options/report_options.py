"""Options of `scripts/report.py` and `scripts/compare_runs.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from options.evaluate_options import names
from utils.errors import InputError
from utils.typed_options import Options, number, option, path

PAGES = (".html", ".htm")
RUN = "folder of a training (of numbered runs the newest counts)"


def is_page(name: str) -> bool:
    """Whether a file is to be a page."""
    return Path(name).suffix.lower() in PAGES


@dataclass(frozen=True, kw_only=True)
class ReportOptions(Options):
    """Whose report is made again."""

    title = "report"

    folders: Sequence[str] = option(
        (), path, f"{RUN} or of an evaluation", metavar="FOLDER", nargs="+", positional=True
    )
    output: str | None = option(
        None, path, "the page of a single folder; without it report.html in each folder", metavar="HTML"
    )

    def check(self) -> None:
        """Raises ``InputError`` if the pages of several folders would be one file, or it is no page."""
        if self.output and len(self.folders) > 1:
            raise InputError("--output names one file; give one folder, or leave it out")
        if self.output and not is_page(self.output):
            raise InputError(f"--output={self.output} is no page; give a name that ends in .html")


@dataclass(frozen=True, kw_only=True)
class CompareOptions(Options):
    """What is set side by side."""

    title = "comparison"

    runs: Sequence[str] = option((), path, RUN, metavar="RUN", nargs="+", positional=True)
    figures: tuple[str, ...] = option(
        (), names, "only these curves, a diagram each; without it all of them", metavar="NAME,..."
    )
    height: float | None = option(
        None, number, "also a dashed line at this height, such as a target; needs --figures"
    )
    output: str = option(
        "comparison.html", path, "the page; a name that ends in .png or .jpg: the curves as a picture"
    )

    @property
    def is_picture(self) -> bool:
        """Whether a picture is wanted, and no page."""
        return not is_page(self.output)

    def check(self) -> None:
        """Raises ``InputError`` if it is not said which curves are wanted."""
        if not self.figures and (self.is_picture or self.height is not None):
            flag = f"--output={self.output}" if self.is_picture else "--height"
            raise InputError(f"{flag} needs --figures=NAME,...: the curves to draw")
