"""`scripts/evaluate_generator.py`: figures over all photos and by class, the sheet, and bad input."""

import json
from pathlib import Path
from types import SimpleNamespace

import commands
import pytest
import torch
from PIL import Image
from toy_networks import (
    SMALL_FACE,
    SMALL_VGG,
    TINY_GENERATOR,
    directed_checkpoint,
    network_file,
    stylegan2_checkpoint,
)

from datasets.labels import labels_by_age, labels_path, write_labels
from utils.age_groups import parse_age_groups
from utils.files.checkpoints import save_checkpoint
from utils.pictures.listing import list_images

GROUPS = "0-30,31-50,51-99"  # two, three and three of the toy faces


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("judges")
    torch.manual_seed(0)
    age = save_checkpoint(network_file("judge_age", {**SMALL_VGG, "num_classes": 101}), folder / "age.pt")
    identity = save_checkpoint(network_file("judge_identity", SMALL_FACE), folder / "identity.pt")
    return [f"--judge_age={age}", f"--judge_identity={identity}"]


def write_generator(folder: Path, c_dim: int) -> Path:
    torch.manual_seed(0)
    content = {"g_ema": stylegan2_checkpoint(c_dim, TINY_GENERATOR)["g_ema"]}
    return save_checkpoint(content, folder / "generator.pt")


def words(generator: Path, photos: str | Path, out: Path, judges: list[str], *more: str) -> list[str]:
    own = ["--device=cpu", "--test_workers=0", "--metric_samples=12", "--n_samples=4"]
    return [
        f"--checkpoint_path={generator}",
        f"--data_path={photos}",
        f"--exp_dir={out}",
        *own,
        *judges,
        *more,
    ]


def test_a_pair_is_measured_in_every_age_group(
    files: SimpleNamespace, judges: list[str], tmp_path: Path
) -> None:
    pair = save_checkpoint(directed_checkpoint(groups=GROUPS), tmp_path / "pair.pt")
    out = tmp_path / "out"
    result = commands.run("evaluate_generator", *words(pair, files.faces, out, judges))
    assert result.returncode == 0, result.stderr
    figures = json.loads((out / "generator.json").read_text(encoding="utf-8"))
    assert [row["class"] for row in figures["rows"]] == [None, *GROUPS.split(",")]
    assert [row["photos"] for row in figures["rows"]] == [8, 2, 3, 3]
    assert figures["samples"] == {"frechet": 12} and figures["photos"] == 8
    total, rare, *_ = figures["rows"]
    assert total["frechet"] > 0 and total["frechet_halves"] > 0 and rare["frechet_halves"] is None
    assert f"| 0-30 | 2 | {rare['frechet']:.4f} | - |" in (out / "generator.md").read_text(encoding="utf-8")
    sheet = Image.open(out / "generator.png")
    assert sheet.height == 3 * 16 + 2 * 2 and sheet.width > 4 * 16
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    assert commands.run("evaluate_generator", *words(pair, files.faces, out, judges)).returncode == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first


def test_classes_by_labels_and_by_given_groups_are_the_same(
    files: SimpleNamespace, judges: list[str], tmp_path: Path
) -> None:
    photos = tmp_path / "faces"
    photos.mkdir()
    for path in Path(files.faces).iterdir():
        (photos / path.name).write_bytes(path.read_bytes())
    write_labels(labels_by_age(photos, list_images(photos), parse_age_groups(GROUPS)), labels_path(photos))
    generator = write_generator(tmp_path, 3)
    found = []
    for more in ("--cond", f"--age_groups={GROUPS}"):
        result = commands.run(
            "evaluate_generator", *words(generator, photos, tmp_path / more[2:6], judges, more)
        )
        assert result.returncode == 0, result.stderr
        found.append(
            json.loads((tmp_path / more[2:6] / "generator.json").read_text(encoding="utf-8"))["rows"]
        )
    assert found[0] == found[1]


def test_an_unconditional_generator_has_one_row(
    files: SimpleNamespace, judges: list[str], tmp_path: Path
) -> None:
    generator, out = write_generator(tmp_path, 0), tmp_path / "out"
    result = commands.run("evaluate_generator", *words(generator, files.faces, out, judges))
    assert result.returncode == 0, result.stderr
    assert len(json.loads((out / "generator.json").read_text(encoding="utf-8"))["rows"]) == 1
    result = commands.run("evaluate_generator", *words(generator, files.faces, out, judges, "--metrics=none"))
    assert result.returncode == 0 and (out / "generator.png").is_file()


@pytest.mark.parametrize(
    ("c_dim", "more", "problem"),
    [
        (0, "--cond", "has no classes; leave --cond and --age_groups out"),
        (3, "--seed=1", "does not say which ages its 3 classes have; name them with --age_groups"),
        (3, "--age_groups=0-50,51-99", "has 3 classes, and there are 2 age groups"),
        (3, "--cond", "no dataset.json"),
        (3, "--exp_dir=", "the name of a folder is needed"),
    ],
)
def test_bad_input_is_one_sentence(
    files: SimpleNamespace, judges: list[str], tmp_path: Path, c_dim: int, more: str, problem: str
) -> None:
    generator = write_generator(tmp_path, c_dim)
    result = commands.run(
        "evaluate_generator", *words(generator, files.faces, tmp_path / "out", judges, more)
    )
    assert result.returncode == 2 and problem in result.stderr
    assert not (tmp_path / "out").exists()


def test_labels_of_another_number_of_classes(
    files: SimpleNamespace, judges: list[str], tmp_path: Path
) -> None:
    photos = tmp_path / "faces"
    photos.mkdir()
    for path in Path(files.faces).iterdir():
        (photos / path.name).write_bytes(path.read_bytes())
    write_labels(
        labels_by_age(photos, list_images(photos), parse_age_groups("0-50,51-99")), labels_path(photos)
    )
    generator = write_generator(tmp_path, 3)
    result = commands.run("evaluate_generator", *words(generator, photos, tmp_path / "out", judges, "--cond"))
    assert result.returncode == 2 and "has 2 classes and" in result.stderr
