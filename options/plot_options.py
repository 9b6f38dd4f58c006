"""Options of `scripts/plot_runs.py`."""

from collections.abc import Sequence
from dataclasses import dataclass

from options.evaluate_options import names
from utils.typed_options import Options, number, option, path


@dataclass(frozen=True, kw_only=True)
class PlotOptions(Options):
    """What is drawn."""

    title = "curves"

    runs: Sequence[str] = option((), path, "folders of trainings", metavar="RUN", nargs="+", positional=True)
    figures: tuple[str, ...] = option(("loss",), names, "what to draw, a panel each", metavar="NAME,...")
    height: float | None = option(None, number, "also a dashed line at this height, such as a target")
    output: str = option("curves.png", path, "the picture", metavar="PNG")
