"""Diagrams of curves as pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Curve:
    """A line with an optional band about it; all of equal length."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    style: str = "-o"


@dataclass(frozen=True)
class Panel:
    """One diagram; ``log``: the second axis is logarithmic."""

    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    log: bool = False


def draw_panels(panels: Sequence[Panel], height: float = 4.2, dpi: int = 110) -> Image.Image:
    """Draws diagrams side by side; needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.35 * height * len(panels), height), dpi=dpi, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for panel, axes in zip(panels, np.atleast_1d(figure.subplots(1, len(panels))), strict=True):
        for curve in panel.curves:
            (line,) = axes.plot(curve.x, curve.y, curve.style, label=curve.label, markersize=4)
            if curve.low is not None and curve.high is not None:
                axes.fill_between(
                    curve.x, curve.low, curve.high, color=line.get_color(), alpha=0.18, linewidth=0
                )
        axes.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
        axes.set_yscale("log" if panel.log else "linear")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
