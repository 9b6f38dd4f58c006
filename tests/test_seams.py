"""Another method, another coach, another loss term: each is one new file and one line, with no branch."""

import json
from pathlib import Path
from types import SimpleNamespace

import commands
import inference_toys
import numpy as np
import pytest
import toy_aging
import training_toys as toys
from PIL import Image
from skimage.data import astronaut
from toy_term import REDNESS

from criteria.sam_objective import SAM
from models.aging_model import load_aging_model
from models.kinds import KINDS, Kind, official_content, what_is
from options.train_options import COACHES, CoachEntry, parse_train_options
from utils.errors import InputError, StoppedError
from utils.files.checkpoints import load_checkpoint

# ---------------------------------------------------------------- a method


@pytest.fixture
def tint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file of the toy method; this is the one line."""
    monkeypatch.setitem(KINDS, "tint", Kind("a tinting model", loads="toy_aging:load_tint"))
    return toy_aging.write_tint(tmp_path / "tint.pt")


def test_a_method_ages_photos(tint: Path, tmp_path: Path) -> None:
    photo = inference_toys.make_photo(tmp_path / "photos" / "a.png", size=32)
    command = (f"--checkpoint_path={tint}", f"--data_path={photo.parent}", f"--exp_dir={tmp_path / 'out'}")
    result = commands.run("inference", *command, "--target_age=0,100", "--couple_outputs")
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "out" / "inference_results"
    same, old = (inference_toys.pixels(folder / age / "a.png") for age in ("0", "100"))
    assert np.abs(same - inference_toys.pixels(photo)).max() <= 1
    assert (old == (255, 0, 0)).all()
    result = commands.run("inference_side_by_side", *command, "--target_age=10,+20", "--input_age=30")
    assert result.returncode == 0, result.stderr
    assert Image.open(tmp_path / "out" / "inference_side_by_side" / "a.png").size == (96, 32)


def test_a_method_ages_faces_in_whole_photos(tint: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(astronaut()).save(photos / "a.png")
    result = commands.run(
        "inference",
        f"--checkpoint_path={tint}",
        f"--data_path={photos}",
        f"--exp_dir={tmp_path / 'out'}",
        "--align",
        "--sweep=grid",
        "--target_age=20,90",
    )
    assert result.returncode == 0, result.stderr
    aged = inference_toys.pixels(tmp_path / "out" / "inference_results" / "90" / "a.png")
    change = np.abs(aged - astronaut().astype(int)).sum(2)
    assert change[100, 225] > 100 and not change[300:].any()  # the face, and nothing beside it
    assert (tmp_path / "out" / "inference_sweep" / "a.png").is_file()


def test_a_method_is_measured(tint: Path, files: SimpleNamespace, tmp_path: Path) -> None:
    command = (f"--checkpoint_path={tint}", f"--data_path={files.faces}", f"--exp_dir={tmp_path / 'out'}")
    result = commands.run("evaluate", *command, "--target_age=20,60", "--n_images=4", "--device=cpu")
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert (figures["kind"], figures["photos"], figures["target_ages"]) == ("tint", 4, [20.0, 60.0])


def test_what_a_method_lacks_is_said_in_one_sentence(
    tint: Path, files: SimpleNamespace, tmp_path: Path
) -> None:
    command = (f"--checkpoint_path={tint}", f"--data_path={files.faces}", f"--exp_dir={tmp_path / 'out'}")
    for script, more in (("style_mixing", "--latent_mask=1"), ("reference_guided_inference", "--seed=1")):
        references = tmp_path / "references.txt"
        references.write_text(f"{next(Path(files.faces).iterdir())}\n")
        flags = (*command, "--target_age=50", f"--ref_images_paths_file={references}", more)
        result = commands.run(script, *flags)
        assert result.returncode == 2 and f"{tint} is a model without styles" in result.stderr
    with pytest.raises(InputError, match="--global_checkpoint is for .*tint.pt is a tinting model"):
        load_aging_model(tint, global_checkpoint=files.sam)
    with pytest.raises(InputError, match="tint.pt is a tinting model; there is no official file"):
        official_content(load_checkpoint(tint), str(tint))
    assert what_is({"kind": "tint"}) == "a tinting model"


def test_a_wrong_file_is_told_which_methods_there_are(tint: Path, files: SimpleNamespace) -> None:
    with pytest.raises(InputError, match=r"is an age classifier, not an ageing model \(.*sam.*tint\)"):
        load_aging_model(files.age_classifier)


# ---------------------------------------------------------------- a coach


@pytest.fixture
def toy_coach(monkeypatch: pytest.MonkeyPatch) -> None:
    """This is the one line."""
    monkeypatch.setitem(COACHES, "toy", CoachEntry("toy_coach:CoachToy", "toy_coach:ToyOptions", "a colour"))


@pytest.mark.usefixtures("toy_coach")
def test_a_coach_trains_by_its_preset_and_resumes(
    tint: Path, files: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = tmp_path / "toy.args"
    preset.write_text("# a colour\n--coach=toy\n--strength=0.25 --learning_rate=0.1\n--optim_name=adam\n")
    more = ["--max_steps=6", f"--train_dataset={files.faces}", "--image_interval=0", "--val_interval=2"]
    whole, parts = ([f"@{preset}", *more, f"--exp_dir={tmp_path / name}"] for name in ("whole", "parts"))
    assert parse_train_options(whole).record()["strength"] == 0.25
    toys.train(whole)
    with monkeypatch.context() as patch, pytest.raises(StoppedError, match="stopped at step 3"):
        toys.terminate_at(patch, "toy", 3)
        toys.train(parts)
    toys.train(parts)
    first, second = (tmp_path / name / "checkpoints" / "iteration_6.pt" for name in ("whole", "parts"))
    expected = load_checkpoint(first)["colour"]
    assert (load_checkpoint(second)["colour"] == expected).all()
    assert (tmp_path / "whole" / "checkpoints" / "best_model.pt").is_file()
    assert (load_aging_model(first).colour == expected).all()
    with pytest.raises(InputError, match="--strength: 3 does not lie between 0 and 1"):
        parse_train_options([*whole, "--strength=3"])


# ---------------------------------------------------------------- a loss term


@pytest.fixture
def redness(monkeypatch: pytest.MonkeyPatch) -> None:
    """This is the one line."""
    monkeypatch.setattr("options.sam_options.SAMOptions.objective", [*SAM, REDNESS])


@pytest.mark.usefixtures("redness")
def test_a_term_joins_the_objective_of_sam(files: SimpleNamespace, tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = toys.arguments("sam", files, run, "--redness_lambda=0.5", "--max_steps=3")
    assert parse_train_options(command).record()["redness_lambda"] == 0.5
    toys.train(command)
    assert len(toys.scalars(run, "train/loss_redness_real")) == 3
    assert load_checkpoint(run / "checkpoints" / "iteration_3.pt")["opts"]["redness_lambda"] == 0.5
    without = tmp_path / "without"
    toys.train(toys.arguments("sam", files, without, "--max_steps=3"))
    assert toys.scalars(run, "train/loss_real")[0] > toys.scalars(without, "train/loss_real")[0]


@pytest.mark.usefixtures("redness")
def test_a_term_of_sam_is_no_matter_of_mytimemachine(files: SimpleNamespace, tmp_path: Path) -> None:
    toys.train(toys.arguments("mytimemachine", files, tmp_path, "--max_steps=1"))
    with pytest.raises(InputError, match="unrecognized arguments: --redness_lambda=1"):
        parse_train_options(toys.arguments("mytimemachine", files, tmp_path, "--redness_lambda=1"))
