"""Killed anywhere, started again: a run ends with the bytes and logs that it would have had anyway."""

import os
import random
import re
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import training_toys as toys
from kill_lab import Death, Lab

from options.train_options import COACHES

SEED = 12
KILLS = 3  # of each run in `make test`
MANY_KILLS = int(os.environ.get("AGELAB_KILLS", "240"))  # in all, of the slow test
SHORT = ("--max_steps=6", "--val_interval=3", "--board_interval=3", "--save_interval=2", "--image_interval=4")
ADVERSARY = ("--adversarial_lambda=0.1", "--discriminator_every=2", "--r1=0.1")
STEADY = ("--ema_halflife=8", "--learning_rate_schedule=cosine")
CONDITIONAL = (f"--age_groups={toys.AGE_GROUPS}", "--aug=ada", "--initstrength=0.2", "--ada_kimg=0.1")
CONDITIONAL += ("--class_balance=0.5", "--features_lambda=0.5")
VARIANTS = {
    **{coach: (coach, ()) for coach in COACHES},
    "psp with its generator": ("psp", ("--train_decoder", *ADVERSARY, *STEADY)),
    "sam against a discriminator": ("sam", (*ADVERSARY, *STEADY, "--aging_augment")),
    "stylegan2 with classes": ("stylegan2", CONDITIONAL),
    "stylegan2 in parts": ("stylegan2", ("--gradient_accumulation_steps=2", "--activation_checkpointing")),
}
# Statistics of its own, a cache of features; and what the discriminator's augmentation observed.
TOGETHER = ["stylegan2", "mytimemachine", pytest.param("reaging_gan", marks=pytest.mark.slow)]


def events(run: Path) -> list[tuple[int, str, Any]]:
    """Everything that TensorBoard shows of a run: step, name and value, in the order of the files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(run / "logs"), size_guidance={"scalars": 0, "images": 0})
    log.Reload()
    scalars = [(e.step, name, e.value) for name in log.Tags()["scalars"] for e in log.Scalars(name)]
    images = [
        (e.step, name, e.encoded_image_string) for name in log.Tags()["images"] for e in log.Images(name)
    ]
    return scalars + images


def leavings(run: Path) -> dict[str, Any]:
    """What a run left, without the clock: bytes of weights, states and sheets, and its logs."""
    found: dict[str, Any] = {"events": events(run)}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if path.is_dir() or "tfevents" in name or path.name.startswith("."):
            continue
        found[name] = path.read_bytes()
    found["checkpoints/timestamp.txt"] = re.sub(
        rb"(?m)^[-\d]+ [:\d]+ ", b"", found["checkpoints/timestamp.txt"]
    )
    del found["opt.json"]  # names the folder of the run
    return found


def check_same(one: Path, other: Path) -> None:
    first, second = leavings(one), leavings(other)
    assert first.keys() == second.keys()
    differing = [name for name in first if first[name] != second[name]]
    assert not differing, differing
    assert any("resume_state.pt" in name for name in first) and len(first["events"]) >= 4


def kill_and_finish(
    lab: Lab, command: list[str], folder: Path, draws: random.Random, whole: dict[str, float], **more: Any
) -> int:
    """Kills a run again and again, then lets it end; returns how often it was killed."""
    killed = 0
    for _ in range(more.pop("kills")):
        unit = draws.choice(["changes", "changes", "bytes", "seconds"])
        death = Death(unit, draws.uniform(0, 0.6 * whole[unit]))
        codes = lab.train(command, folder / "log", death, **more)["codes"]
        # of several processes the others end by themselves, and say that they can go on
        assert codes[0] in (-signal.SIGKILL, 0) and set(codes[1:]) <= {0, 3}, (folder / "log").read_text(
            encoding="utf-8"
        )
        killed += codes[0] != 0
    codes = lab.train(command, folder / "log", **more)["codes"]
    assert set(codes) == {0}, (folder / "log").read_text(encoding="utf-8")
    return killed


def whole_and_parts(
    lab: Lab,
    files: SimpleNamespace,
    variant: str,
    folder: Path,
    draws: random.Random,
    rounds: int = 1,
    **more: Any,
) -> int:
    """Compares an uninterrupted run with killed ones."""
    coach, flags = VARIANTS[variant]
    if more.get("processes", 1) > 1:
        flags = (*flags, "--batch_size=4")
    command = toys.arguments(coach, files, folder / "whole", *SHORT, *flags)
    processes = {name: value for name, value in more.items() if name == "processes"}
    result = lab.train(command, folder / "log", **processes)
    assert set(result["codes"]) == {0}, (folder / "log").read_text(encoding="utf-8")
    killed = 0
    for number in range(rounds):
        parts = folder / f"parts_{number}"
        command = toys.arguments(coach, files, parts, *SHORT, *flags)
        killed += kill_and_finish(lab, command, folder, draws, result["counts"], **more)
        check_same(toys.run_folder(coach, folder / "whole"), toys.run_folder(coach, parts))
    return killed


@pytest.mark.parametrize("coach", COACHES)
def test_a_killed_run_ends_as_an_uninterrupted_one(
    lab: Lab, files: SimpleNamespace, coach: str, tmp_path: Path
) -> None:
    draws = random.Random(f"{SEED} {coach}")
    assert whole_and_parts(lab, files, coach, tmp_path, draws, kills=KILLS) > 0


@pytest.mark.parametrize("coach", TOGETHER)
def test_two_killed_processes_end_as_uninterrupted_ones(
    lab: Lab, files: SimpleNamespace, coach: str, tmp_path: Path
) -> None:
    draws = random.Random(f"{SEED} {coach} together")
    assert whole_and_parts(lab, files, coach, tmp_path, draws, kills=2, processes=2) > 0


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_hundreds_of_kills(lab: Lab, files: SimpleNamespace, tmp_path: Path) -> None:
    """At least 200 kills with one and two processes, of every coach; the seed is ``SEED``."""
    draws, killed, number = random.Random(SEED), 0, 0
    cases = [*((variant, 1) for variant in VARIANTS), *((variant, 2) for variant in COACHES)]
    while killed < MANY_KILLS:
        variant, processes = cases[number % len(cases)]
        folder = tmp_path / f"{number}"
        folder.mkdir()
        killed += whole_and_parts(lab, files, variant, folder, draws, rounds=2, kills=5, processes=processes)
        number += 1
    assert killed >= 200 or MANY_KILLS < 200
    print(f"{killed} kills, seed {SEED}")
