"""A run folder keeps two sound states, belongs to one training at a time, and says what it cannot write."""

import json
import os
import platform
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import training_toys as toys
from commands import ROOT, run
from damage import truncated
from kill_lab import Death, Lab

from training import run_lock
from training.logs import EventLog, LineLog, RunLogs, step_of_note, step_of_row
from training.run_folder import RunFolder
from training.run_lock import RunLock
from utils.errors import BAD_INPUT, STOPPED, InputError
from utils.files.checkpoints import load_checkpoint


def state(step: int) -> dict[str, Any]:
    """The least that counts as the state of a training."""
    entries = {"networks": {"net": {"w": torch.full((100,), float(step))}}, "coach": "Coach"}
    return {"step": step, "best_value": 0.0, "optimizers": {}, "random": {}, "extra": {}, **entries}


def steps_in(run: RunFolder) -> list[int]:
    """The steps of all readable states, the newest first."""
    found = []
    for path in run._states():
        try:
            found.append(load_checkpoint(path)["step"])
        except InputError:
            continue
    return found


# ---------------------------------------------------------------- states


def test_a_damaged_state_never_takes_the_place_of_a_sound_one(tmp_path: Path) -> None:
    """Cut short at any length, between any two saves of one process or of two."""
    draws = random.Random(3)
    for case in range(12):
        run = RunFolder(tmp_path / f"{case}")
        run.create({})
        for step in (2, 4):
            run.save_state(state(step))
        newest = run.checkpoints / "resume_state.pt"
        newest.write_bytes(newest.read_bytes()[: draws.randrange(newest.stat().st_size)])
        if case % 2:  # the next process, as after a crash
            run.close()
            run = RunFolder(run.path)
            run.open()
            loaded = run.load_state()
            assert loaded is not None and loaded["step"] == 2
            run.create({})
        run.save_state(state(6))
        assert steps_in(run) == [6, 2]
        run.save_state(state(8))
        assert steps_in(run) == [8, 6]
        run.close()


def test_interrupted_rotation_is_finished(tmp_path: Path) -> None:
    """The new state is whole, and the others stand anywhere on their way."""
    for moved in (False, True):
        run = RunFolder(tmp_path / f"{moved}")
        run.create({})
        for step in (2, 4, 6):
            run.save_state(state(step))
        run.close()
        newest = run.checkpoints / "resume_state.pt"
        newest.rename(run.checkpoints / "resume_state_next.pt")
        if not moved:
            (run.checkpoints / "resume_state_previous.pt").rename(newest)
        again = RunFolder(run.path)
        loaded = again.load_state()
        assert loaded is not None and loaded["step"] == 6
        again.create({}) if not again.path.exists() else again.open()
        again.tidy()
        assert steps_in(again) == [6, 4]
        assert not (again.checkpoints / "resume_state_next.pt").exists()
        again.close()


def test_of_many_damaged_states_none_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunFolder(tmp_path)
    run.create({})
    for step in (2, 4):
        run.save_state(state(step))
    newest = run.checkpoints / "resume_state.pt"
    sound, draws = newest.read_bytes(), random.Random(5)
    for _ in range(60):
        newest.write_bytes(truncated(sound, draws))
        loaded = RunFolder(tmp_path).load_state()
        assert loaded is not None and loaded["step"] == 2
    assert capsys.readouterr().err.count("trying the state before it") == 60
    run.close()


def test_only_the_newest_checkpoints_and_sheets_stay(files: SimpleNamespace, tmp_path: Path) -> None:
    more = ("--save_interval=1", "--image_interval=1", "--keep_checkpoints=2", "--keep_sheets=3")
    toys.train(toys.arguments("psp", files, tmp_path, *more, "--max_steps=6", "--val_interval=3"))
    names = {path.name for path in (tmp_path / "checkpoints").glob("*.pt")}
    states = {"best_model.pt", "resume_state.pt", "resume_state_previous.pt"}
    assert names == {"iteration_5.pt", "iteration_6.pt", *states}
    sheets = sorted(path.name for path in (tmp_path / "logs/images/test/faces").glob("*.jpg"))
    assert sheets == [f"reconstruction_000000{step}.jpg" for step in (4, 5, 6)]


def test_what_the_end_should_have_left_is_made_up_for(files: SimpleNamespace, tmp_path: Path) -> None:
    """Stopped at a step that becomes the last one only now; and files that are gone."""
    command = toys.arguments("psp", files, tmp_path, "--val_interval=2", "--save_interval=2", "--seed=1")
    toys.train([*command, "--max_steps=4"])
    places = [tmp_path / "checkpoints/iteration_4.pt", tmp_path / "checkpoints/best_model.pt"]
    before = [path.read_bytes() for path in places]
    for path in places:
        path.unlink()
    toys.train([*command, "--max_steps=4"])
    assert [path.read_bytes() for path in places] == before
    rows = (tmp_path / "logs/validation.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(row)["step"] for row in rows] == [2, 4]


def test_a_stopped_run_ends_where_fewer_steps_are_asked_for(
    files: SimpleNamespace, tmp_path: Path, lab: Lab
) -> None:
    command = toys.arguments("age_classifier", files, tmp_path / "run", "--val_interval=3")
    command += ["--board_interval=3", "--save_minutes=1e-9"]
    codes = lab.train([*command, "--max_steps=9"], tmp_path / "log", Death("bytes", 2.5e6))["codes"]
    assert codes == [-signal.SIGKILL]
    step = load_checkpoint(tmp_path / "run/checkpoints/resume_state.pt")["step"]
    weights = tmp_path / f"run/checkpoints/iteration_{step}.pt"
    assert 0 < step < 9 and not weights.exists()
    toys.train([*command, f"--max_steps={step}"])
    assert weights.exists() and toys.scalars(tmp_path / "run", "train/cross_entropy")
    rows = (tmp_path / "run/logs/validation.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(rows[-1])["step"] == step


# ---------------------------------------------------------------- logs


def test_text_logs_end_at_the_step(tmp_path: Path) -> None:
    """Whatever an interruption left: later rows, a cut one, bytes that are no text."""
    rows = [json.dumps({"step": step, "loss": 0.5}) + "\n" for step in (1, 2, 3, 4)]
    for end in ("", '{"step": 5', "\xff\xfe", '{"loss": 1}\n', "[]\n"):
        log = LineLog(tmp_path / "log", step_of_row)
        log.path.write_bytes(("".join(rows) + end).encode("latin-1"))
        log.cut(3)
        assert log.path.read_text(encoding="utf-8") == "".join(rows[:3]) and log.steps() == {1, 2, 3}
    log = LineLog(tmp_path / "timestamp.txt", step_of_note)
    for step in (2, 10, 30):
        log.append(f"2026-01-01 12:00:00 iteration_{step}: step {step}, loss 4")
    log.cut(10)
    assert log.steps() == {2, 10}


def test_events_end_at_the_step_wherever_a_file_breaks_off(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventLog(tmp_path / "whole")
    log.folder.mkdir()
    for step in range(1, 9):
        log.scalar("a", step / 2, step)
    log.close()
    (path,) = log.folder.iterdir()
    data, draws = path.read_bytes(), random.Random(1)
    for case, length in enumerate(draws.sample(range(1, len(data)), 40)):
        part = EventLog(tmp_path / f"{case}")
        part.folder.mkdir()
        (part.folder / path.name).write_bytes(data[:length])
        part.cut(5)
        steps = _steps(EventAccumulator, part.folder)
        assert steps == list(range(1, len(steps) + 1)) and len(steps) <= 5
        for step in range(len(steps) + 1, 9):
            part.scalar("a", step / 2, step)
        part.close()
        assert _steps(EventAccumulator, part.folder) == list(range(1, 9))


def _steps(reader: Any, folder: Path) -> list[int]:
    log = reader(str(folder))
    log.Reload()
    return [event.step for event in log.Scalars("a")] if "a" in log.Tags()["scalars"] else []


def test_nothing_stays_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0
    for number in range(20):
        run = RunFolder(tmp_path / f"{number}")
        run.create({})
        run.logs.events.scalar("a", 1.0, 1)
        run.close()
        assert not (run.path / run_lock.NAME).exists()
    assert sys.platform != "linux" or len(os.listdir("/proc/self/fd")) == before
    assert isinstance(run.logs, RunLogs)


# ---------------------------------------------------------------- one training a folder


@pytest.mark.parametrize("coach", ["age_classifier", "mytimemachine"])
def test_a_second_training_is_refused_while_the_first_runs(
    coach: str, lab: Lab, files: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also with numbered runs; a killed one locks nobody out, though its lock file is still there."""
    long = toys.arguments(coach, files, tmp_path / "run", "--max_steps=1000000", "--val_interval=0")
    run = toys.run_folder(coach, tmp_path / "run")
    script = [sys.executable, str(ROOT / "scripts/train.py"), *long]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(script, stdout=log, stderr=log) as first:
        try:
            wait_until(lambda: (run / "opt.json").exists() or first.poll() is not None)
            answer = lab.train([*long, "--max_steps=2"], tmp_path / "second")
            assert answer["codes"] == [BAD_INPUT]
            said = (tmp_path / "second").read_text(encoding="utf-8").splitlines()[-1]
            assert f"error: {run} is in use: process {first.pid} on " in said
            assert not list((run / "checkpoints").glob("*.pt"))
        finally:
            first.kill()
    assert (run / run_lock.NAME).exists()
    toys.train([*long, "--max_steps=2"])
    assert not (run / run_lock.NAME).exists() and (run / "checkpoints/iteration_2.pt").exists()


def test_locks_of_other_machines(tmp_path: Path) -> None:
    """Where the system's lock does not reach, signs of life count."""
    path = tmp_path / run_lock.NAME
    holder = {"pid": 1, "host": "elsewhere", "since": "2026-01-01 12:00:00"}
    path.write_text(json.dumps(holder))
    lock = RunLock(tmp_path)
    with pytest.raises(InputError, match="is in use: process 1 on elsewhere, since 2026-01-01"):
        lock.acquire()
    old = time.time() - 2 * run_lock.STALE
    os.utime(path, (old, old))
    lock.acquire()
    assert json.loads(path.read_text(encoding="utf-8"))["pid"] == os.getpid()
    lock.release()
    for content in ("", "{", "[1]", json.dumps({"pid": 99999999, "host": platform.node()})):
        path.write_text(content)
        lock.acquire()
        lock.release()
    assert not path.exists()


def test_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock, "BEAT", 0.05)
    lock = RunLock(tmp_path)
    lock.acquire()
    os.utime(lock.path, (1, 1))
    wait_until(lambda: lock.path.stat().st_mtime > time.time() - 60)
    lock.release()


def wait_until(holds: Any, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


# ---------------------------------------------------------------- what cannot be written


def test_full_disk_is_a_sentence_and_the_states_stay(files: SimpleNamespace, tmp_path: Path) -> None:
    command = toys.arguments("mytimemachine", files, tmp_path, "--save_interval=2", "--val_interval=0")
    toys.train([*command, "--max_steps=4"])
    run = RunFolder(tmp_path / "00000")
    before = {path.name: path.read_bytes() for path in run.checkpoints.glob("resume_state*.pt")}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, limits[1]))  # weights fit, the state does not
        with pytest.raises(InputError, match="cannot write .*resume_state"):
            toys.train([*command, "--max_steps=6"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    for name, content in before.items():
        assert (run.checkpoints / name).read_bytes() == content
    assert not list(run.checkpoints.glob(".*"))
    toys.train([*command, "--max_steps=6"])
    assert steps_in(run) == [6, 4]


# ---------------------------------------------------------------- signals


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_to_all_processes_finishes_the_step(
    name: str, lab: Lab, files: SimpleNamespace, tmp_path: Path
) -> None:
    """The helpers that decode pictures do not die of it before their parent is done with them."""
    command = toys.arguments("age_classifier", files, tmp_path / "run", "--max_steps=100000", "--workers=2")
    command += ["--val_interval=0", "--board_interval=0"]
    number = getattr(signal, name)
    answer = lab.train(command, tmp_path / "log", sent=(6, number, "all"), cache=False)
    said = (tmp_path / "log").read_text(encoding="utf-8")
    assert answer["codes"] == [STOPPED], said
    step = load_checkpoint(tmp_path / "run/checkpoints/resume_state.pt")["step"]
    assert f"stopped at step {step}; the same command continues" in said and "Traceback" not in said


def test_a_signal_before_the_first_step_ends_with_code_3(
    files: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = toys.coach_class("sam")
    monkeypatch.setattr(kind, "build", lambda self: os.kill(os.getpid(), signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    result = run("train", *toys.arguments("sam", files, tmp_path / "run", "--max_steps=4"))
    signal.signal(signal.SIGTERM, before)
    assert result.returncode == STOPPED and result.stderr.startswith("stopped; what was finished is kept")


TWICE = """
import os, signal, time
from training.coach_psp import CoachPSP as Kind
def step(self):
    for pause in ({pause}, 300):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(pause)
Kind.training_step = step
"""


def test_a_second_signal_ends_at_once(lab: Lab, files: SimpleNamespace, tmp_path: Path) -> None:
    """In the middle of a step that takes for ever."""
    command = toys.arguments("psp", files, tmp_path / "run", "--max_steps=4")
    answer = lab.train(command, tmp_path / "log", patch=TWICE.format(pause=1.5))
    assert answer["codes"] == [STOPPED] and "stopped at once" in (tmp_path / "log").read_text(
        encoding="utf-8"
    )
