"""Curves of trainings in one picture."""

from pathlib import Path

import commands
import numpy as np
import pytest
from PIL import Image

from evaluation.training_curves import training_curves
from training.logs import EventLog
from utils.errors import InputError


def make_run(folder: Path, values: list[float]) -> Path:
    (folder / "logs").mkdir(parents=True)
    log = EventLog(folder / "logs")
    for step, value in enumerate(values, start=1):
        log.scalar("train/d_loss", value, 10 * step)
    log.flush()
    return folder


def test_two_runs_in_one_panel(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / "a", [1.0, 0.5, 0.2]), make_run(tmp_path / "b", [1.0, 0.9, 0.9, 0.8])]
    target = tmp_path / "curves.png"
    done = commands.run(
        "plot_runs", *map(str, runs), "--figures=d_loss", "--height=0.6", f"--output={target}"
    )
    assert done.returncode == 0, done.stderr
    one, both = (np.asarray(training_curves(some, ["train/d_loss"])) for some in (runs[:1], runs))
    assert one.shape == both.shape and (one != both).any()
    assert Image.open(target).size == (both.shape[1], both.shape[0])
    assert np.asarray(training_curves(runs, ["d_loss", "d_loss"])).shape[1] == 2 * both.shape[1]


def test_what_cannot_be_drawn(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", [1.0])
    with pytest.raises(InputError, match="has no figure r1; it has train/d_loss"):
        training_curves([run], ["r1"])
    with pytest.raises(InputError, match="is no folder of a training"):
        training_curves([tmp_path / "b"], ["r1"])
