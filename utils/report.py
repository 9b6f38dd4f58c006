"""Tables, JSON files and curves of a report; files appear whole or not at all."""

import contextlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from utils.errors import InputError


def write_text(text: str, path: str | Path) -> Path:
    """Writes a text file under a temporary name, then renames it.

    Raises:
        InputError: the file cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another folder") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


def write_json(content: Any, path: str | Path) -> Path:
    """Writes plain containers and numbers as JSON; NaN and infinity, which JSON lacks, become null.

    Raises:
        InputError: the file cannot be written.
    """
    return write_text(json.dumps(_finite(content), indent=2, allow_nan=False) + "\n", path)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def number(value: float | None, digits: int = 2, sign: bool = False) -> str:
    """A number for a table; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:{'+' if sign else ''}.{digits}f}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table padded to equal widths, so that it also reads well in a terminal."""
    lines = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(3, *(len(row[column]) for row in lines)) for column in range(len(header))]
    text = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in lines
    ]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


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
    """One diagram."""

    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]


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
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
