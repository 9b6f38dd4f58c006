"""What is not a number changes no network and replaces no sound file; a run that has nothing else ends."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import training_toys as toys
from torch import Tensor

from options.train_options import COACHES
from training import (
    adversary,
    auxiliary_training,
    coach_latent_encoder,
    coach_psp,
    coach_reaging_gan,
    coach_stylegan2,
    guard,
    two_passes,
)
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint

USERS = (
    *(adversary, auxiliary_training, coach_latent_encoder, coach_psp, coach_reaging_gan, coach_stylegan2),
    two_passes,
)
QUIET = ("--val_interval=0", "--board_interval=2", "--save_interval=2")
BAD = (math.nan, math.inf, -math.inf)
Spoil = Callable[[Tensor], Tensor]


def loss_is(value: float) -> Spoil:
    """A loss of another value, whose gradients stay what they were."""
    return lambda loss: loss + value


def gradient_is(value: float) -> Spoil:
    """A loss of the same value with other gradients."""

    def spoil(loss: Tensor) -> Tensor:
        loss = loss * 1
        loss.register_hook(lambda gradient: gradient * value)
        return loss

    return spoil


def spoil_steps(patch: pytest.MonkeyPatch, coach: str, steps: set[int], spoil: Spoil) -> None:
    """Spoils the losses of some steps, counted from 1."""
    kind, now = toys.coach_class(coach), [0]
    step = kind.training_step

    def counted(self: Any) -> dict[str, Tensor]:
        now[0] = self.step + 1
        return step(self)

    def spoiled(loss: Tensor, share: float = 1.0) -> None:
        guard.backward_pass(spoil(loss) if now[0] in steps else loss, share)

    patch.setattr(kind, "training_step", counted)
    for module in USERS:
        patch.setattr(module, "backward_pass", spoiled)


def state_of(run: Path) -> dict[str, Any]:
    return load_checkpoint(run / "checkpoints" / "resume_state.pt")


def flat(content: Any) -> list[Tensor]:
    return list(guard.tensors_of(content))


def skipped(run: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for line in (run / "logs/skipped_steps.jsonl").read_text(encoding="utf-8").splitlines()
    ]


# ---------------------------------------------------------------- a step


@pytest.mark.parametrize("coach", COACHES)
def test_a_spoiled_step_changes_nothing(
    coach: str,
    files: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Networks, averages, statistics and moments stay; the step is counted and its pictures are named."""
    spoil = random.Random(coach).choice([loss_is, gradient_is])(random.Random(coach).choice(BAD))
    before = toys.arguments(coach, files, tmp_path, *QUIET, "--max_steps=2", "--path_regularize=0")
    command = [word for word in before if coach == "stylegan2" or "path_reg" not in word]
    toys.train(command)
    run = toys.run_folder(coach, tmp_path)
    sound = state_of(run)
    spoil_steps(monkeypatch, coach, {3}, spoil)
    toys.train([*command, "--max_steps=3"])
    after = state_of(run)
    assert (after["step"], after["skipped"]) == (3, 1)
    for kind in ("networks", "optimizers"):
        assert all(torch.equal(a, b) for a, b in zip(flat(sound[kind]), flat(after[kind]), strict=True))
    assert "step 3 skipped: a loss or gradient is not finite; its pictures: " in capsys.readouterr().err
    (row,) = skipped(run)
    size = int(next(word for word in reversed(command) if "--batch_size" in word).split("=")[1])
    assert row["step"] == 3 and len(row["files"]) == size
    assert all(Path(name).is_file() for name in row["files"])


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("kind", [loss_is, gradient_is])
def test_every_kind_of_bad_number_is_seen(kind: Callable[[float], Spoil], value: float) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight])
    guard.Guard().watch(optimizer)
    guard.backward_pass(kind(value)(weight.square().sum()))
    with pytest.raises(guard.NotFiniteError):
        optimizer.step()
    assert torch.equal(weight, torch.ones(3)) and not optimizer.state


def test_a_sound_backward_pass_is_bit_identical() -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        weight = torch.randn(5, 5, requires_grad=True)
        loss = (weight @ weight).tanh().square().mean() * 10.0 ** (seed - 10)
        (expected,) = torch.autograd.grad(loss, weight, retain_graph=True)
        guard.backward_pass(loss)
        assert weight.grad is not None and torch.equal(weight.grad, expected)


def test_large_numbers_are_numbers() -> None:
    assert guard.all_finite([torch.full((4,), 3e38), torch.tensor([1]), torch.empty(0)])
    for bad in BAD:
        values = torch.full((4, 5), 3e38)
        values[2, 3] = bad
        assert not guard.all_finite([torch.ones(3), values])
        assert guard.broken_entry({"a": 1, "b": {"c": [values]}}) == "b"


# ---------------------------------------------------------------- a run


def test_healthy_steps_go_on_after_spoiled_ones(
    files: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = toys.arguments("psp", files, tmp_path, *QUIET, "--max_steps=12", "--max_skipped=4")
    spoil_steps(monkeypatch, "psp", {2, 3, 7, 12}, loss_is(math.nan))
    toys.train(command)
    state = state_of(tmp_path)
    assert (state["step"], state["skipped"]) == (12, 4)
    assert [row["step"] for row in skipped(tmp_path)] == [2, 3, 7, 12]
    assert guard.all_finite(flat(state)) and (tmp_path / "checkpoints/iteration_12.pt").exists()
    assert all(math.isfinite(value) for value in toys.scalars(tmp_path, "train/loss"))


@pytest.mark.parametrize("coach", ["psp", "stylegan2", "mytimemachine"])
def test_a_run_that_only_fails_ends_with_its_last_sound_state(
    coach: str, files: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = toys.arguments(coach, files, tmp_path, *QUIET, "--max_steps=9", "--max_skipped=4")
    run = toys.run_folder(coach, tmp_path)
    with monkeypatch.context() as patch:
        spoil_steps(patch, coach, {6, 7, 8, 9}, loss_is(math.inf))
        with pytest.raises(InputError, match="4 steps to step 9 .*resume_state.pt holds step 4.*: lower"):
            toys.train(command)
    names = {path.stem for path in (run / "checkpoints").glob("iteration_*")}
    assert state_of(run)["step"] == 4 and names == {"iteration_2", "iteration_4"}
    toys.train(command)
    assert state_of(run)["step"] == 9 and (run / "checkpoints/iteration_6.pt").exists()


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_last_step_is_tried_before_its_state_is_kept(
    steps: int, files: SimpleNamespace, tmp_path: Path
) -> None:
    """Nothing follows it that would show what it spoiled."""
    command = toys.arguments("mytimemachine", files, tmp_path, "--save_interval=1", "--val_interval=0")
    with pytest.raises(
        InputError, match="no sound state was saved, so it begins anew: lower --learning_rate"
    ):
        toys.train([*command, f"--max_steps={steps}", "--learning_rate=1e30"])
    assert not list(tmp_path.rglob("*.pt"))
    toys.train([*command, f"--max_steps={steps}"])
    assert state_of(tmp_path / "00000")["step"] == steps


@pytest.mark.parametrize(
    ("coach", "rate"),
    [
        ("sam", "1e10"),
        *(pytest.param(coach, "1e10", marks=pytest.mark.slow) for coach in COACHES if coach != "sam"),
        *(pytest.param(coach, "1e30", marks=pytest.mark.slow) for coach in COACHES),
    ],
)
def test_a_ruined_state_never_replaces_a_sound_one(
    coach: str, rate: str, files: SimpleNamespace, tmp_path: Path
) -> None:
    """Too high a learning rate from the start, or in a run that was sound so far."""
    command = toys.arguments(coach, files, tmp_path, "--save_interval=2", "--val_interval=0")
    run = toys.run_folder(coach, tmp_path)
    toys.train([*command, "--max_steps=2"])
    sound = (run / "checkpoints/resume_state.pt").read_bytes()
    try:
        toys.train([*command, "--max_steps=24", f"--learning_rate={rate}"])
    except InputError as error:
        assert "resume_state.pt holds step" in str(error) and "lower --learning_rate" in str(error)
        states = [load_checkpoint(path) for path in (run / "checkpoints").glob("*.pt")]
        assert all(guard.all_finite(flat(state)) for state in states)
        told = state_of(run)["step"]
        assert f"holds step {told}," in str(error)
        if told == 2:
            assert (run / "checkpoints/resume_state.pt").read_bytes() == sound
        toys.train([*command, f"--max_steps={told + 1}"])
        assert state_of(run)["step"] == told + 1
    else:  # a network whose norms take any weights
        assert guard.all_finite(flat(state_of(run)))
