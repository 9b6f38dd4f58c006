"""Tables and JSON of a benchmark."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.benchmark.suite import Row
from evaluation.markdown import markdown_table, number

_PARTS = 6  # that a table names


def header(machine: Mapping[str, Any], ceiling: Mapping[str, float]) -> str:
    """What it ran on, in a few lines."""
    lines = [f"{name}: {_text(value)}" for name, value in machine.items()]
    for name, value in ceiling.items():
        lines.append(f"{name}: {value:.3g} {'GB/s' if name == 'copy' else 'TFLOP/s'}")
    return "\n".join(lines)


def _text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def speed_table(rows: Sequence[Row]) -> str:
    """Seconds, images a second, memory, operations and ratio of every row."""
    cells = []
    for row in rows:
        found = row.record()
        cells.append(
            [
                row.title,
                str(found["pixels"]),
                str(found["batch"]),
                row.variant,
                _milliseconds(found["seconds"]),
                f"{_milliseconds(found['quickest'])}-{_milliseconds(found['slowest'])}",
                f"{found['images_per_second']:.3g}",
                number(None if row.peak is None else row.peak / 2**30),
                f"{row.operations.dispatched:.0f}",
                f"{row.operations.with_kernel:.0f}",
                number(row.ratio),
            ]
        )
    columns = ["work", "pixels", "batch", "variant", "ms", "from-to", "images/s", "GB"]
    return markdown_table([*columns, "operations", "with kernel", "ratio"], cells)


def _milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.0f}" if seconds >= 0.1 else f"{1e3 * seconds:.3g}"


def parts_table(rows: Sequence[Row]) -> str:
    """The largest parts of every step."""
    cells = []
    for row in rows:
        shares = [f"{name} {100 * share:.0f} %" for name, share in list(row.parts.items())[:_PARTS]]
        if shares:
            cells.append([row.title, str(row.case.setting.sizes.pixels), row.variant, ", ".join(shares)])
    return markdown_table(["work", "pixels", "variant", "share of the time"], cells)


def as_json(machine: Mapping[str, Any], ceiling: Mapping[str, float], rows: Sequence[Row]) -> str:
    """All figures as one line of JSON."""
    return json.dumps(
        {"machine": dict(machine), "ceiling": dict(ceiling), "rows": [row.record() for row in rows]}
    )
