"""What age classifiers see in photos of each age, and training towards it."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import training_toys as toys
from torch import nn

from datasets.faces import FaceFolder
from training.seen_ages import seen_ages
from utils.errors import InputError
from utils.local_regression import by_whole_year

MANY = tuple(range(2, 98, 4))


def redness(scale: float) -> nn.Module:
    network = nn.Module()
    network.predict_age = lambda images: scale * (images[:, 0] - images[:, 1]).mean(dim=(1, 2))
    return network


def test_a_line_comes_back_and_nothing_falls() -> None:
    ages = torch.linspace(5, 80, 300).double()
    noise = torch.randn(300, generator=torch.Generator().manual_seed(1)).double()
    found = by_whole_year(ages, torch.stack([20 + 0.5 * ages + noise, 90 - ages]))
    line = 20 + 0.5 * torch.arange(101)
    assert (found[0] - line)[5:80].abs().max() < 1
    assert (found[0] - line).abs().max() < 8  # also where no photo is
    assert (found.diff(dim=1) >= 0).all() and found.min() >= 0 and found.max() <= 100


def test_curves_follow_the_names_of_the_photos(tmp_path: Path) -> None:
    faces = FaceFolder(toys.make_faces(tmp_path / "many", MANY), 16, progress=False)
    curves = seen_ages([redness(50), redness(100)], faces, 16, torch.device("cpu"))
    assert curves.shape == (2, 101)
    torch.testing.assert_close(2 * curves[0], curves[1])
    assert curves[1, 90] > curves[1, 10] + 5  # the toys are redder with age


def test_a_training_compares_with_photos(files: SimpleNamespace, tmp_path: Path) -> None:
    many = toys.make_faces(tmp_path / "many", MANY)
    command = toys.arguments("sam", files, tmp_path / "run", "--aging_targets=photos", "--max_steps=2")
    coach = toys.coach([*command, f"--train_dataset={many}"])
    seen = coach.aging._seen
    assert seen is not None and seen.shape == (1, 101)
    toys.train([*command, f"--train_dataset={many}"])
    assert len(toys.scalars(tmp_path / "run", "train/loss_aging_real")) > 0


def test_photos_without_ages_are_refused(files: SimpleNamespace, tmp_path: Path) -> None:
    command = toys.arguments("sam", files, tmp_path, "--aging_targets=photos")
    with pytest.raises(InputError, match="--aging_targets=photos needs ages in the names"):
        toys.coach(command)
