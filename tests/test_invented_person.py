"""The fictional person of the demo: an album by the command, the same one from the same seed."""

from pathlib import Path

import pytest
import torch
from commands import run
from inference_toys import files_below, save_toy, toy
from PIL import Image

from inference import invented_person
from inference.invented_person import spaced_ages


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few candidates and few ages: a tenth of the time."""
    monkeypatch.setattr(invented_person, "CANDIDATES", 16)
    monkeypatch.setattr(invented_person, "GRID", torch.arange(0.0, 101.0, 20.0))


def test_the_same_seed_makes_the_same_album(tmp_path: Path) -> None:
    for name in ("a", "b"):
        result = run("make_demo_person", f"--output_dir={tmp_path / name}", "--train=2", "--held_out=1")
        assert result.returncode == 0, result.stderr
        assert f"wrote 3 pictures to {tmp_path / name}" in result.stdout
    files = files_below(tmp_path / "a")
    assert files == {"train/20_00.png", "train/60_01.png", "held_out/20_00.png"}
    assert Image.open(tmp_path / "a/train/20_00.png").size == (128, 128)
    contents = [[(tmp_path / name / file).read_bytes() for file in sorted(files)] for name in ("a", "b")]
    assert contents[0] == contents[1] and len(set(contents[0])) == 3


def test_ages_are_spread_over_the_range() -> None:
    assert spaced_ages(5, (20, 60)) == [20, 30, 40, 50, 60]
    assert spaced_ages(1, (20, 75)) == [20]


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--train=1", "--train: 1 is less than 2"),
        ("--deviation=1.5", "--deviation: 1.5 does not lie between 0 and 1"),
        ("--stylegan_weights={sam}", "is a SAM checkpoint; a file of --coach=stylegan2 is needed"),
        ("--sam=missing.pt", "no such checkpoint: missing.pt"),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, flag: str, sentence: str) -> None:
    flag = flag.format(sam=save_toy(tmp_path / "sam.pt", toy()))
    result = run("make_demo_person", f"--output_dir={tmp_path / 'out'}", flag)
    assert result.returncode == 2 and sentence in result.stderr
    assert not (tmp_path / "out").exists()
