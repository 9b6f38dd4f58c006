"""The same bytes twice, nothing that grows, and values that would crash a library."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import training_toys as toys
from commands import run
from kill_lab import LONGEST, Lab

from configs.paths_config import REPOSITORY, dataset_paths
from utils.errors import BAD_INPUT

SHORT = ("--max_steps=4", "--val_interval=2", "--save_interval=2", "--image_interval=2")
STEPS = int(os.environ.get("AGELAB_STEPS", "5000"))  # of the slow test
WATCHED = """
import json, os
from training.coach import Coach
after = Coach._after_step
rows = []
def watch(self, bar):
    after(self, bar)
    if self.step % {every} == 0:
        with open("/proc/self/statm") as file:
            memory = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        rows.append([self.step, memory, len(os.listdir("/proc/self/fd"))])
        with open({report!r}, "w") as file:
            json.dump(rows, file)
Coach._after_step = watch
"""
UNSTEADY = """
import torch
from training.coach_psp import CoachPSP as Kind
def step(self):
    torch.zeros(3).put_(torch.tensor([0]), torch.tensor([1.0]), accumulate=False)
    return {}
Kind.training_step = step
"""


# ---------------------------------------------------------------- the same bytes


@pytest.mark.parametrize("coach", ["stylegan2", "psp", pytest.param("mytimemachine", marks=pytest.mark.slow)])
def test_two_runs_write_the_same_bytes(coach: str, lab: Lab, files: SimpleNamespace, tmp_path: Path) -> None:
    """Helpers decode the pictures, in whatever order they come to it; another seed writes other bytes."""
    bytes_of = []
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        more = (*SHORT, "--deterministic", f"--seed={seed}", "--workers=2")
        command = toys.arguments(coach, files, tmp_path / name, *more)
        assert lab.train(command, tmp_path / "log", cache=False)["codes"] == [0], (
            tmp_path / "log"
        ).read_text(encoding="utf-8")
        place = toys.run_folder(coach, tmp_path / name) / "checkpoints"
        bytes_of.append({path.name: path.read_bytes() for path in place.glob("*.pt")})
    one, two, three = bytes_of
    assert len(one) >= 4 and one == two
    assert all(one[name] != three[name] for name in one)


def test_an_operation_without_deterministic_form_is_named(
    lab: Lab, files: SimpleNamespace, tmp_path: Path
) -> None:
    command = toys.arguments("psp", files, tmp_path / "run", *SHORT, "--deterministic")
    answer = lab.train(command, tmp_path / "log", patch=UNSTEADY)
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert answer["codes"] == [BAD_INPUT] and "Traceback" not in said
    assert "error: --deterministic: put_ has no deterministic form on cpu; leave the flag out" in said


# ---------------------------------------------------------------- growth


def grown(
    lab: Lab, command: list[str], folder: Path, steps: int, longest: float = LONGEST
) -> list[list[int]]:
    """Step, memory in bytes and open files, ten times in a training."""
    patch = WATCHED.format(every=steps // 10, report=str(folder / "report"))
    answer = lab.train([*command, f"--max_steps={steps}"], folder / "log", patch=patch, longest=longest)
    assert answer["codes"] == [0], (folder / "log").read_text(encoding="utf-8")
    return json.loads((folder / "report").read_text(encoding="utf-8"))


def check_steady(rows: list[list[int]], allowed: float) -> None:
    """The second half of a training needs no more than the first; files never."""
    half = len(rows) // 2
    assert len(rows) == 10
    assert max(row[1] for row in rows[half:]) <= max(row[1] for row in rows[:half]) + allowed, rows
    assert {row[2] for row in rows[1:]} == {rows[1][2]}, rows


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("coach", ["age_classifier", pytest.param("mytimemachine", marks=pytest.mark.slow)])
def test_a_run_does_not_grow(coach: str, lab: Lab, files: SimpleNamespace, tmp_path: Path) -> None:
    more = ("--board_interval=5", "--val_interval=0", "--save_interval=30", "--image_interval=30")
    keep = ("--keep_checkpoints=2", "--keep_sheets=2", "--cycle_lambda=0", "--id_lambda=0")
    more += keep if coach == "mytimemachine" else keep[:2]
    command = toys.arguments(coach, files, tmp_path / "run", *more)
    check_steady(grown(lab, command, tmp_path, 300), 12e6)
    place = toys.run_folder(coach, tmp_path / "run")
    assert len(list((place / "checkpoints").glob("iteration_*.pt"))) == 2
    assert len(list((place / "logs").rglob("*.jpg"))) == (2 if coach == "mytimemachine" else 0)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_thousands_of_steps_of_the_demo_do_not_grow(lab: Lab, tmp_path: Path) -> None:
    preset = REPOSITORY / "configs/demo/mytimemachine.args"
    command = [f"@{preset}", f"--train_dataset={dataset_paths['demo_person']}/train", "--device=cpu"]
    command += [f"--exp_dir={tmp_path / 'run'}", "--val_interval=500", "--save_interval=500", "--threads=1"]
    command += ["--batch_size=1", "--keep_checkpoints=2", "--keep_sheets=2"]
    rows = grown(lab, command, tmp_path, STEPS, longest=4 * 3600)
    print(rows)
    check_steady(rows, 50e6)


# ---------------------------------------------------------------- values


@pytest.mark.parametrize("value", ["100000", "-1", "1e3", str(2**70), "9" * 5000, ""])
@pytest.mark.parametrize(
    "flag", ["threads", "workers", "batch_size", "seed", "max_steps", "save_interval", "keep_sheets"]
)
def test_numbers_out_of_range_are_refused(
    flag: str, value: str, files: SimpleNamespace, tmp_path: Path
) -> None:
    if (flag, value) in {(name, "100000") for name in ("seed", "max_steps", "save_interval", "keep_sheets")}:
        return
    result = run("train", *toys.arguments("psp", files, tmp_path / "run", f"--{flag}={value}"))
    assert result.returncode == BAD_INPUT and f"--{flag}" in result.stderr
    assert result.stderr.count("\n") == 1 and not (tmp_path / "run").exists()
