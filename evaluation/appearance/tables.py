"""The Markdown tables of what the eye sees, made of the plain figures of an evaluation's JSON file."""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.appearance.colours import SIDES
from evaluation.appearance.regions import REGIONS
from evaluation.markdown import markdown_table, number

Figures = Mapping[str, Any]


def appearance_tables(figures: Figures) -> str:
    """Tables of ``AppearanceMeter.figures``, a row an age: detail and grids, teeth, whites, irises."""
    return "\n\n".join([_detail(figures), *(_colours(name, figures["per_age"]) for name in REGIONS)])


def _detail(figures: Figures) -> str:
    header = [
        "target age",
        "spectrum, dB",
        "peak, dB",
        "at x, y (cycles a pixel)",
        "over photos, dB",
        "Frechet distance",
        "halves of photos",
        "photos",
    ]
    halves = figures["halves_of_photos"]
    rows = [
        ["halves of photos", *_spectrum_cells(halves), number(halves["frechet"], 3), "-", _compared(figures)]
    ]
    for row in figures["per_age"]:
        distances = [number(row[name], 3) for name in ("frechet", "frechet_halves_of_photos")]
        rows.append([f"{row['target_age']:g}", *_spectrum_cells(row), *distances, _compared(row)])
    return markdown_table(header, rows)


def _compared(row: Figures) -> str:
    """How many photos a row was compared with."""
    if "compared_photos" not in row:
        return f"all {row['photos']}"
    return f"{'near' if row['near_age'] else 'all'} {row['compared_photos']}"


def _spectrum_cells(row: Figures) -> list[str]:
    peak = row["peak"]
    place = f"{number(peak['x'])}, {number(peak['y'])}"
    return [
        number(row["spectrum"], 1),
        number(peak["height"], 1),
        place,
        number(peak["over_photos"], 1, sign=True),
    ]


def _colours(region: str, rows: Sequence[Figures]) -> str:
    """How the colour of a region changed from the photo."""
    header = [f"{region}, target age", "a*", "b*", *SIDES, "outside photos", "faces"]
    cells = []
    for row in rows:
        own = row["colours"].get(region, {})
        changes = [number(own.get(name), 1, sign=True) for name in ("a", "b")]
        shares = [*(own.get("shares", {}).get(side) for side in SIDES), own.get("outside")]
        faces = f"{own.get('faces', 0)} of {own.get('photos', 0)}"
        cells.append([f"{row['target_age']:g}", *changes, *map(_percent, shares), faces])
    return markdown_table(header, cells)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{number(100 * share, 0)} %"


def appearance_of_methods(methods: Mapping[str, Figures]) -> str:
    """Several methods side by side: means over the target ages, and the highest peak."""
    header = ["method", "spectrum, dB", "peak, dB", "over photos, dB", "Frechet distance"]
    header += [f"{name} outside photos" for name in REGIONS]
    rows = []
    for name, figures in methods.items():
        ages = figures["appearance"]["per_age"]
        highest = max((row["peak"] for row in ages), key=lambda peak: peak["height"])
        shares = [[row["colours"].get(region, {}).get("outside") for row in ages] for region in REGIONS]
        rows.append(
            [
                name,
                number(_mean([row["spectrum"] for row in ages]), 1),
                number(highest["height"], 1),
                number(highest["over_photos"], 1, sign=True),
                number(_mean([row["frechet"] for row in ages]), 3),
                *(_percent(_mean(values)) for values in shares),
            ]
        )
    return markdown_table(header, rows)


def _mean(values: Sequence[float | None]) -> float | None:
    """The mean of those that there are."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
