"""An identity network that learns from another one, and trainings that listen to both."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import training_toys as toys

from models.auxiliary import load_identity
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint


def command(files: SimpleNamespace, folder: Path, *more: str) -> list[str]:
    taught = ("--teacher=network", f"--teacher_network={files.identity}", "--network_depths=1,1,1,1")
    faces = (f"--train_dataset={files.faces}", f"--test_dataset={files.test}")
    return toys.arguments("identity", files, folder, *taught, *faces, *more)


def similarity(run: Path) -> float:
    """To the teacher on the validation pictures, by the last line of the log."""
    text = (run / "logs" / "validation.jsonl").read_text(encoding="utf-8")
    return json.loads(text.splitlines()[-1])["similarity_to_teacher"]


def test_it_begins_as_its_teacher_or_learns_from_it(files: SimpleNamespace, tmp_path: Path) -> None:
    small = ("--max_steps=1", "--val_interval=1", "--learning_rate=1e-6")
    sizes = ("--network_channels=4,4,8,8,16",)
    toys.train(command(files, tmp_path / "same", "--start_from_teacher", *sizes, *small))
    toys.train(command(files, tmp_path / "new", *sizes, *small))
    assert similarity(tmp_path / "same") > similarity(tmp_path / "new") + 0.4
    content = load_checkpoint(tmp_path / "new" / "checkpoints" / "iteration_1.pt")
    assert content["teacher"] == "network"
    embedded = load_identity(tmp_path / "new" / "checkpoints" / "iteration_1.pt").embed(
        torch.zeros(1, 3, 64, 64)
    )
    assert embedded.shape == load_identity(files.identity).embed(torch.zeros(1, 3, 64, 64)).shape


def test_hard_pictures_are_harder(files: SimpleNamespace, tmp_path: Path) -> None:
    for radius in ("0", "5"):
        toys.train(command(files, tmp_path / radius, "--max_steps=2", f"--hard_radius={radius}"))
    easy, hard = (toys.scalars(tmp_path / radius, "train/distance")[0] for radius in ("0", "5"))
    assert hard > easy


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--teacher=dlib"], "--teacher=network and --teacher_network=FILE go together"),
        (["--start_from_teacher", "--network_channels=8,8,8,8,4"], "identity.pt"),
        (["--teacher_network=/no/such.pt"], "/no/such.pt"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(
    files: SimpleNamespace, tmp_path: Path, more: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        toys.coach(command(files, tmp_path, *more))


def test_sam_listens_to_two_identity_networks(files: SimpleNamespace, tmp_path: Path) -> None:
    more = [f"--further_identity_networks={files.identity}", "--max_steps=1"]
    coach = toys.coach(toys.arguments("sam", files, tmp_path, *more))
    assert coach.identity is not None and len(coach.identity.networks) == 2
    toys.train(toys.arguments("sam", files, tmp_path, *more))
    with pytest.raises(InputError, match="a further face recognition network"):
        toys.coach(toys.arguments("sam", files, tmp_path / "b", "--further_identity_networks=/no/such.pt"))
