"""Diagrams of curves as figures of a page: where each line runs, and the values to show under a pointer."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from utils.pictures.curves import Curve, Panel

WIDTH, HEIGHT = 440, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 18, 8, 36  # space about the axes, for their numbers
COLOURS = 8  # of `page.css`
POINTS = 240  # of a curve; a longer one is drawn by means, within a band from least to most
HELPS_FROM = 30  # largest over smallest value
_TICKS = 5


@dataclass(frozen=True)
class Line:
    """A drawn curve.

    Attributes:
        label: what it shows.
        colour: name of its class in `page.css`.
        dash: of the line, as SVG has it.
        path: of the line, as SVG has it.
        band: corners of the band about it, empty without.
        dots: centres of its points, where they are shown.
        last: its last value.
    """

    label: str
    colour: str
    dash: str
    path: str
    band: str
    dots: Sequence[tuple[float, float]]
    last: str


@dataclass(frozen=True)
class Drawing:
    """A diagram with everything that a page needs to lay it out.

    Attributes:
        panel: what it shows.
        lines: its curves.
        x_ticks, y_ticks: place and text of the numbers at the axes.
        values: axes and curves for the script of the page.
    """

    panel: Panel
    lines: Sequence[Line]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    values: dict[str, Any]


class Axis:
    """Values of an axis, and where they lie between two places.

    Args:
        values: finite ones, at least one.
        start, end: places of the least and the largest value.
        log: whether it is logarithmic; all values are above 0 then.
        margin: share of the range that is added at both ends.
    """

    def __init__(
        self, values: Sequence[float], start: float, end: float, log: bool = False, margin: float = 0.0
    ) -> None:
        self._start, self._end, self._log = start, end, log
        low, high = self._scaled(min(values)), self._scaled(max(values))
        if low == high:
            low, high = low - (0.5 if log else 0.5 * abs(low) or 0.5), high + (0.5 * abs(high) or 0.5)
        gap = margin * (high - low)
        self.low, self.high = low - gap, high + gap

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self._log else value

    def __call__(self, value: float) -> float:
        """The place of a value."""
        share = (self._scaled(value) - self.low) / (self.high - self.low)
        return round(self._start + share * (self._end - self._start), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Place and text of some round values."""
        from matplotlib.ticker import LogLocator, MaxNLocator

        if self._log and self.high - self.low >= 1:
            locator = LogLocator(numticks=_TICKS + 1)
            found = locator.tick_values(10**self.low, 10**self.high)
        elif self._log:
            found = MaxNLocator(_TICKS).tick_values(10**self.low, 10**self.high)
        else:
            found = MaxNLocator(_TICKS, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        inside = (value for value in map(float, found) if not self._log or value > 0)
        kept = [value for value in inside if self.low <= self._scaled(value) <= self.high]
        return [(self(value), short_number(value)) for value in kept]


def short_number(value: float) -> str:
    """A number for people."""
    if abs(value) >= 10_000 and value % 100 == 0:
        return f"{value / 1000:g}k"
    if 1e-12 < abs(value) < 1e-3:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{0.0 if abs(value) < 1e-12 else value:.4g}"


def log_helps(curves: Sequence[Curve]) -> bool:
    """Whether values lie so far apart that a logarithmic axis shows more of them."""
    values = [value for curve in curves for value in curve.y if math.isfinite(value)]
    return bool(values) and min(values) > 0 and max(values) >= HELPS_FROM * min(values)


def drawn(panel: Panel) -> Drawing | None:
    """Draws a diagram; None where no curve has a finite value."""
    curves = [_thinned(_finite(curve)) for curve in panel.curves]
    curves = [curve for curve in curves if curve.x]
    ys = [
        value for curve in curves for part in (curve.y, curve.low or (), curve.high or ()) for value in part
    ]
    if not curves:
        return None
    log = panel.log and min(ys) > 0
    x = Axis([value for curve in curves for value in curve.x], LEFT, WIDTH - RIGHT)
    y = Axis(ys, HEIGHT - BOTTOM, TOP, log, margin=0.04)
    lines = [_line(curve, number, x, y) for number, curve in enumerate(curves)]
    values = {
        "x": [x.low, x.high],
        "log": log,
        "box": [LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM],
        "name": panel.x_label,
        "curves": [
            {
                "label": line.label,
                "colour": line.colour,
                "x": list(map(_short, curve.x)),
                "y": list(map(_short, curve.y)),
            }
            for line, curve in zip(lines, curves, strict=True)
        ],
    }
    return Drawing(panel, lines, x.ticks(), y.ticks(), values)


def _line(curve: Curve, number: int, x: Axis, y: Axis) -> Line:
    places = [(x(a), y(b)) for a, b in zip(curve.x, curve.y, strict=True)]
    band = ""
    if curve.low is not None and curve.high is not None:
        edge = [*zip(curve.x, curve.high, strict=True), *reversed([*zip(curve.x, curve.low, strict=True)])]
        band = " ".join(f"{x(a)},{y(b)}" for a, b in edge)
    neutral = "k" in curve.style
    dash = "6 4" if "--" in curve.style else "2 3" if ":" in curve.style else ""
    if not neutral and number >= COLOURS and not dash:
        dash = "8 3"
    return Line(
        label=curve.label,
        colour="neutral" if neutral else f"c{number % COLOURS}",
        dash=dash,
        path="M" + "L".join(f"{a} {b}" for a, b in places),
        band=band,
        dots=places if "o" in curve.style or len(places) == 1 else (),
        last=short_number(curve.y[-1]),
    )


def _finite(curve: Curve) -> Curve:
    """The curve where it has values."""
    kept = [i for i, point in enumerate(zip(curve.x, curve.y, strict=True)) if all(map(math.isfinite, point))]
    if len(kept) == len(curve.x):
        return curve

    def some(values: Sequence[float] | None) -> list[float] | None:
        return None if values is None else [values[i] for i in kept]

    return Curve(
        curve.label, some(curve.x) or [], some(curve.y) or [], some(curve.low), some(curve.high), curve.style
    )


def _thinned(curve: Curve) -> Curve:
    """A long curve by means of its parts, with a band from their least to their largest value."""
    if len(curve.x) <= POINTS:
        return curve
    parts = list(_parts(len(curve.x)))

    def of(values: Sequence[float], what: Any) -> list[float]:
        return [float(what(values[part])) for part in parts]

    def mean(values: Sequence[float]) -> float:
        return math.fsum(values) / len(values)

    low, high = curve.low or curve.y, curve.high or curve.y
    return Curve(curve.label, of(curve.x, mean), of(curve.y, mean), of(low, min), of(high, max), curve.style)


def _parts(count: int) -> Iterator[slice]:
    for number in range(POINTS):
        yield slice(number * count // POINTS, (number + 1) * count // POINTS)


def _short(value: float) -> float:
    return float(f"{value:.5g}") if abs(value) < 1e5 else round(value, 1)
