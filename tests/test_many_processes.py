"""Several processes: what one sees all do, the end of one ends all, and patience for the first."""

import json
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import training_toys as toys
from kill_lab import Lab

from utils.errors import BAD_INPUT, STOPPED
from utils.files.checkpoints import load_checkpoint

TWO = ("--batch_size=4", "--max_steps=4", "--save_interval=2", "--val_interval=4")
SPOILED = """
from training import guard, two_passes
from training.coach_personalized import CoachPersonalized as Kind
step = Kind.training_step
def spoiled(self):
    bad = rank == 1 and self.step + 1 in {steps}
    two_passes.backward_pass = lambda loss, share: guard.backward_pass(loss * float("nan") if bad else loss)
    return step(self)
Kind.training_step = spoiled
"""
PATIENCE = """
import time
from datetime import timedelta
from training.coach_personalized import CoachPersonalized as Kind
from utils import distributed
if {patience}:
    distributed.PATIENCE = timedelta(seconds={patience})
validation = Kind.validation_step
Kind.validation_step = lambda self: time.sleep({pause}) or validation(self)
"""
DYING = """
import os, signal
from training.coach_personalized import CoachPersonalized as Kind
step = Kind.training_step
def dying(self):
    if rank == {rank} and self.step + 1 == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self)
Kind.training_step = dying
"""


def test_all_skip_what_one_cannot_use(lab: Lab, files: SimpleNamespace, tmp_path: Path) -> None:
    command = toys.arguments("mytimemachine", files, tmp_path, *TWO)
    answer = lab.train(command, tmp_path / "log", processes=2, patch=SPOILED.format(steps={3}))
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert answer["codes"] == [0, 0], said
    run = tmp_path / "00000"
    state = load_checkpoint(run / "checkpoints/resume_state.pt")
    assert (state["step"], state["skipped"]) == (4, 1)
    (row,) = [
        json.loads(line)
        for line in (run / "logs/skipped_steps.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert row["step"] == 3 and len(row["files"]) == 4  # of both processes
    assert said.count("step 3 skipped") == 1
    more = ("--max_steps=9", "--max_skipped=2")
    answer = lab.train([*command, *more], tmp_path / "log", processes=2, patch=SPOILED.format(steps={6, 7}))
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert answer["codes"] == [BAD_INPUT, BAD_INPUT] and said.count("error: ") == 1, said
    assert "resume_state.pt holds step 4, from which it goes on" in said


@pytest.mark.parametrize("dead", [0, 1])
def test_the_end_of_one_process_ends_all_with_a_sentence(
    dead: int, lab: Lab, files: SimpleNamespace, tmp_path: Path
) -> None:
    """Without a launcher that watches them; the same command goes on."""
    command = toys.arguments("mytimemachine", files, tmp_path, *TWO)
    begin = time.monotonic()
    answer = lab.train(command, tmp_path / "log", processes=2, patch=DYING.format(rank=dead))
    assert time.monotonic() - begin < 60
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert answer["codes"][dead] == -signal.SIGKILL and answer["codes"][1 - dead] == STOPPED, said
    assert "another of the 2 processes has ended; the same command continues from the last saved" in said
    assert "Traceback" not in said
    assert lab.train(command, tmp_path / "log", processes=2)["codes"] == [0, 0]
    assert load_checkpoint(tmp_path / "00000/checkpoints/resume_state.pt")["step"] == 4


@pytest.mark.slow
def test_the_others_wait_for_a_long_validation(lab: Lab, files: SimpleNamespace, tmp_path: Path) -> None:
    """As long as the patience of the group, which without it (counter-test) ends them."""
    for patience, codes in ((0, [0, 0]), (2, [STOPPED, STOPPED])):
        more = (*TWO, "--val_interval=2", "--cycle_lambda=0")
        command = toys.arguments("mytimemachine", files, tmp_path / f"{patience}", *more)
        patch = PATIENCE.format(patience=patience, pause=6)
        answer = lab.train(command, tmp_path / "log", processes=2, patch=patch)
        assert answer["codes"] == codes, (tmp_path / "log").read_text(encoding="utf-8")


def test_a_signal_to_all_processes_is_saved_once(lab: Lab, files: SimpleNamespace, tmp_path: Path) -> None:
    command = toys.arguments("mytimemachine", files, tmp_path, *TWO, "--max_steps=100000", "--val_interval=0")
    sent = (8, signal.SIGTERM, "all")
    answer = lab.train([*command, "--save_interval=0"], tmp_path / "log", processes=2, sent=sent)
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert answer["codes"] == [STOPPED, STOPPED], said
    step = load_checkpoint(tmp_path / "00000/checkpoints/resume_state.pt")["step"]
    assert said.count(f"stopped at step {step}; the same command continues") == 1


def test_a_folder_in_use_ends_all(lab: Lab, files: SimpleNamespace, tmp_path: Path) -> None:
    run = tmp_path / "00000"
    run.mkdir()
    (run / "run.lock").write_text(json.dumps({"pid": 1, "host": "elsewhere", "since": "today"}))
    command = toys.arguments("mytimemachine", files, tmp_path, *TWO)
    answer = lab.train(command, tmp_path / "log", processes=2)
    assert answer["codes"] == [BAD_INPUT, STOPPED]
    assert "is in use: process 1 on elsewhere" in (tmp_path / "log").read_text(encoding="utf-8")
