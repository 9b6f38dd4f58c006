"""The protocol of the MyTimeMachine paper: who is aged to what, what is compared, which columns count."""

import json
from pathlib import Path

import pytest
import torch
from commands import run
from inference_toys import make_photo, toy
from torch import Tensor
from toy_networks import SMALL_FACE, SMALL_VGG, network_file

from configs.personalization import VARIANTS
from evaluation.folds import given_split
from evaluation.person_photos import PersonPhotos
from evaluation.published_people import published_table
from evaluation.published_protocol import judged_task, make_task, mean_of_tasks, summarize_task
from models.aging_model import Ages, AgingModel, age_grid
from models.psp_files import psp_checkpoint
from options.evaluate_options import parse_people_options
from options.mytimemachine_options import MyTimeMachineOptions
from utils.errors import InputError
from utils.files.checkpoints import save_checkpoint


def named(*ages: float) -> list[Path]:
    return [Path(f"{age:g}_{index}.png") for index, age in enumerate(ages)]


def ages_of(photos: tuple[Path, ...]) -> list[float]:
    return [float(photo.name.split("_")[0]) for photo in photos]


EVERY = named(*range(10, 75, 5))  # 10, 15, ... 70


def test_regression_begins_with_the_oldest_photo() -> None:
    task = make_task("regression", EVERY, None, 50, 40)
    assert ages_of(task.inputs) == [70] and task.start == 70
    assert task.targets() == [0, 10, 20, 30, 40, 50, 60, 70]
    assert min(ages_of(task.training)) >= 30 and 70 not in ages_of(task.training)
    assert len(task.training) == 5, "of eight photos of 30 to 65 years a third is held out"
    assert set(task.training).isdisjoint(task.references)
    assert set(task.training) | set(task.references) == set(EVERY), "whoever is not trained on is a reference"
    assert min(ages_of(make_task("regression", EVERY, None, 50, 20).training)) >= 50
    assert len(make_task("regression", EVERY, None, 3, 40).training) == 3


def test_progression_begins_with_about_forty() -> None:
    task = make_task("progression", named(18, 22, 25, 28, 33, 37, 41, 52, 63), None, 50, 40)
    assert ages_of(task.inputs) == [41]
    assert task.targets() == [20, 30, 40, 50, 60, 70, 80, 90, 100]
    assert set(ages_of(task.training)) < {22, 25, 28, 33, 37}
    with pytest.raises(InputError, match="progression: no photo is of about 40 years, the nearest of 29"):
        make_task("progression", named(20, 25, 29), None, 50, 40)
    with pytest.raises(InputError, match="1 photos of 20 to 40 years are left to train on"):
        make_task("progression", named(30, 36, 40, 70), None, 50, 40)


def test_columns_are_those_of_the_tables() -> None:
    regression = make_task("regression", EVERY, None, 50, 40)
    counted = {
        column: [age for age in regression.targets() if regression.counts(column, age)]
        for column in ("all", "near", "far")
    }
    assert counted["all"] == regression.targets()
    assert counted["near"] == [50, 60, 70] and counted["far"] == [30, 40, 50, 60, 70]
    progression = make_task("progression", EVERY, None, 50, 40)
    counted = {
        column: [age for age in progression.targets() if progression.counts(column, age)]
        for column in ("all", "near", "younger")
    }
    assert counted["all"] == [40, 50, 60, 70, 80, 90, 100]
    assert counted["near"] == [40, 50, 60] and counted["younger"] == [20, 30, 40]


def test_a_given_split_is_kept() -> None:
    photos = [Path("ann/train/30_0.png"), Path("ann/train/35_1.png"), Path("ann/held_out/40_2.png")]
    split = given_split(Path("ann"), photos)
    assert split == (photos[:2], photos[2:])
    assert given_split(Path("ann"), photos[:2]) is None
    task = make_task("regression", *split, 50, 40)
    assert task.training == tuple(photos[:2]) and task.references == task.inputs == (photos[2],)


class Marked(AgingModel):
    """Writes the target age into every picture."""

    kind = "sam"
    input_size = output_size = 4

    def age_path(self, images: Tensor, ages: Ages) -> Tensor:
        years = age_grid(ages, images)
        return years[..., None, None, None].expand(*years.shape, 3, 4, 4)


class Clock:
    """Reads ten years too many; two pictures are the more alike the nearer their ages."""

    def measure(self, images: Tensor) -> tuple[Tensor, Tensor]:
        years = images[..., 0, 0, 0]
        angle = years / 100
        return years + 10, torch.stack([angle.cos(), angle.sin()], dim=-1)


def test_identity_is_that_of_the_most_similar_photo_within_three_years() -> None:
    files = named(28, 29, 44, 48, 52, 60, 69, 70)
    ages = torch.tensor([28.0, 29, 44, 48, 52, 60, 69, 70])
    images = ages[:, None, None, None].expand(-1, 3, 4, 4)
    photos = PersonPhotos(images, ages, tuple(file.name for file in files))
    task = make_task("regression", [files[2], files[5]], [files[i] for i in (0, 1, 3, 4, 6, 7)], 50, 40)
    assert ages_of(task.inputs) == [70]
    rows = {row["target_age"]: row for row in judged_task(task, Marked(), photos, files, Clock())}
    assert rows[30]["references"] == 2 and rows[40]["references"] == 0
    assert rows[40]["similarity"] is None
    assert rows[30]["similarity"] == pytest.approx(float(torch.tensor(0.01).cos()))
    assert rows[70]["references"] == 1, "the input itself is no reference"
    found = summarize_task(task, list(rows.values()))
    assert found["all"]["targets"] == 8 and found["all"]["compared"] == 3
    assert found["near"]["compared"] == 2 and found["far"]["compared"] == 3
    assert found["all"]["age_error"] == pytest.approx(10)
    nobody = {column: {**cell, "similarity": None, "compared": 0} for column, cell in found.items()}
    mean = mean_of_tasks([found, nobody])
    assert mean["all"]["similarity"] == found["all"]["similarity"] and mean["all"]["targets"] == 16


def test_the_head_of_the_table_names_the_judges() -> None:
    cell = {"targets": 3, "compared": 0, "age_error": 4.0, "similarity": None}
    row = {"people": 1, "all": cell, "near": cell, "far": cell}
    judges = {"age": {"file": "x/dex.pth"}, "identity": {"file": "dlib"}}
    table = published_table({"tasks": {"regression": {"SAM": row}, "progression": {}}, "judges": judges})
    assert "age error (dex.pth)" in table and "identity (dlib): all ages below" in table
    assert table.splitlines()[2].split("|")[1:4] == [" SAM        ", " 1      ", " 4.0                 "]


# ---------------------------------------------------------------- the command


def test_variants_are_training_flags_that_parse() -> None:
    common = ["--exp_dir=x", "--people=y", "--checkpoint_path=sam.pt", "--max_steps=7"]
    options = parse_people_options([*common, f"--variants={','.join(VARIANTS)}"])
    for name in VARIANTS:
        training = options.with_variant(name).training_options("photos", "run")
        assert isinstance(training, MyTimeMachineOptions) and training.max_steps == 7
        assert (training.personalize == "encoder") == name.startswith("fine_tuned")
    with pytest.raises(InputError, match="--variants: other is unknown; choose among bottleneck"):
        parse_people_options([*common, "--variants=other"])
    with pytest.raises(InputError, match="--n_photos: 0 is less than 1"):
        parse_people_options([*common, "--n_photos=0"])


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A command line on toy networks; of two people one is too young."""
    folder = tmp_path_factory.mktemp("people")
    save_checkpoint(psp_checkpoint(toy()), folder / "sam.pt")
    for kind, architecture in (
        ("age_classifier", SMALL_VGG),
        ("judge_age", SMALL_VGG),
        ("identity", SMALL_FACE),
        ("judge_identity", SMALL_FACE),
    ):
        save_checkpoint(network_file(kind, architecture), folder / f"{kind}.pt")
    for name, ages in (("anna", (30, 34, 38, 40, 58, 61)), ("few", (3, 5))):
        for index, age in enumerate(ages):
            make_photo(folder / "people" / name / f"{age}_{index}.png", seed=index)
    for index, (part, age) in enumerate((("train", 32), ("train", 44), ("held_out", 40), ("held_out", 60))):
        make_photo(folder / "split" / "bert" / part / f"{age}_{index}.png", seed=index)
    flags = [f"--{name}={folder / name}.pt" for name in ("age_classifier", "judge_age", "judge_identity")]
    return [
        *(*flags, f"--identity_network={folder / 'identity.pt'}", f"--checkpoint_path={folder / 'sam.pt'}"),
        *("--device=cpu", "--max_steps=1", "--batch_size=2", "--optim_name=adam", "--threads=1"),
        *("--image_interval=0", "--val_interval=0", "--workers=0", f"--people={folder / 'people'}"),
    ]


def test_the_published_protocol_on_toys(command: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    variants = "--variants=delta,fine_tuned"
    result = run("evaluate_people", *command, f"--exp_dir={out}", "--protocol=mytimemachine", variants)
    assert result.returncode == 0, result.stderr
    found = json.loads((out / "people.json").read_text(encoding="utf-8"))
    assert list(found["tasks"]["regression"]) == ["SAM", "delta", "fine_tuned"]
    anna = found["people"]["anna"]["progression"]
    assert anna["start"] == 40 and anna["training_photos"] == 2
    assert len(anna["methods"]["delta"]["rows"]) == 9
    assert "no photo is of about 40" in found["people"]["few"]["progression"]["failed"]
    text = (out / "people.md").read_text(encoding="utf-8")
    assert "| regression " in text and "| progression " in text and "(judge_age.pt)" in text
    assert {path.name for path in (out / "anna" / "regression").iterdir()} == {"delta", "fine_tuned"}


def test_variants_of_a_person_with_a_split(command: list[str], tmp_path: Path) -> None:
    people = Path(next(flag for flag in command if flag.startswith("--people=")).split("=")[1])
    flags = [f"--people={people.parent / 'split'}", f"--exp_dir={tmp_path}", "--variants=blend,linear"]
    result = run("evaluate_people", *command, *flags)
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "people.json").read_text(encoding="utf-8"))["variants"]
    assert list(found) == ["blend", "linear"] and found["blend"]["overall"]["pairs"] == 2
    photos = tmp_path / "blend" / "bert" / "given_split" / "photos"
    assert sorted(path.name for path in photos.iterdir()) == ["32_0.png", "44_1.png"]
    assert "| blend " in result.stdout and "| linear " in result.stdout
