"""Curves of some trainings side by side, from what they logged for TensorBoard."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from utils.errors import InputError
from utils.pictures.curves import Curve, Panel, draw_panels


def training_curves(
    runs: Sequence[str | Path], figures: Sequence[str], height: float | None = None
) -> Image.Image:
    """One panel a figure, one curve a run.

    Args:
        runs: run folders.
        figures: names as TensorBoard shows them, with or without ``train/``.
        height: draw a dashed line there, a target for instance.

    Raises:
        InputError: a folder is no run, or one of them logged no such figure.
    """
    logs = {Path(run): _scalars(Path(run)) for run in runs}
    panels = []
    for name in figures:
        curves = []
        for run, scalars in logs.items():
            found = scalars.get(name, scalars.get(f"train/{name}"))
            if found is None:
                raise InputError(f"{run} has no figure {name}; it has {', '.join(sorted(scalars))}")
            steps, values = found
            curves.append(Curve(run.name, steps, values, style="-"))
        if height is not None:
            ends = [min(min(curve.x) for curve in curves), max(max(curve.x) for curve in curves)]
            curves.append(Curve(f"{height:g}", ends, [height, height], style="k--"))
        panels.append(Panel(name, "step", name, curves))
    return draw_panels(panels)


def _scalars(run: Path) -> dict[str, tuple[list[float], list[float]]]:
    """Steps and values of every figure of a run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if not (run / "logs").is_dir():
        raise InputError(f"{run} is no folder of a training (it has no logs/); name the --exp_dir of one")
    log = EventAccumulator(str(run / "logs"), size_guidance={"scalars": 0})
    log.Reload()
    found = {}
    for name in log.Tags()["scalars"]:
        events = log.Scalars(name)
        found[name] = ([float(event.step) for event in events], [float(event.value) for event in events])
    return found
