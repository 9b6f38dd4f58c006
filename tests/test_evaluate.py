"""The commands of evaluation on toy networks: what they leave, and what they refuse."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from commands import run
from inference_toys import make_photo, toy
from PIL import Image
from toy_networks import ADAPTER, SMALL_FACE, SMALL_VGG, directed_checkpoint, network_file

from configs.paths_config import model_paths
from datasets.faces import FaceFolder
from evaluation.folds import age_folds, make_folds
from models import auxiliary
from models.psp_files import psp_checkpoint
from options.evaluate_options import parse_evaluate_options, parse_people_options
from options.mytimemachine_options import MyTimeMachineOptions
from utils.errors import InputError
from utils.files.checkpoints import save_checkpoint

# ---------------------------------------------------------------- the commands on toy networks


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with toy weights: sam.pt, personal.pt, judges, and the networks of the losses."""
    folder = tmp_path_factory.mktemp("weights")
    network, personal_network = toy(), toy(blender=ADAPTER)
    personal_network.load_state_dict(network.state_dict(), strict=False)
    save_checkpoint(psp_checkpoint(network), folder / "sam.pt")
    save_checkpoint(psp_checkpoint(personal_network), folder / "personal.pt")
    small_vgg_face = {**SMALL_VGG, "num_classes": 12}
    for kind, architecture in (
        ("age_classifier", SMALL_VGG),
        ("judge_age", {**SMALL_FACE, "embedding_dim": 101, "normalize": False}),
        ("identity", SMALL_FACE),
        ("judge_identity", small_vgg_face),
    ):
        extra = {"teacher": "dlib"} if "identity" in kind else {}
        opts = {"data_share": "60-100" if "judge" in kind else "0-60", "seed": int("judge" in kind)}
        save_checkpoint(network_file(kind, architecture, opts=opts, **extra), folder / f"{kind}.pt")
    return folder


def judged_by(weights: Path) -> list[str]:
    return [f"--judge_age={weights / 'judge_age.pt'}", f"--judge_identity={weights / 'judge_identity.pt'}"]


def make_photos(folder: Path, *ages: int) -> Path:
    for index, age in enumerate(ages):
        make_photo(folder / f"{age}_{index}.png", seed=index)
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_evaluate_an_ageing_model(weights: Path, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 10, 30, 50, 70)
    (photos / "notes.txt").write_text("no picture")
    out = tmp_path / "out"
    result = run(
        "evaluate",
        f"--checkpoint_path={weights / 'sam.pt'}",
        f"--data_path={photos}",
        f"--exp_dir={out}",
        "--target_age=10,80",
        "--n_images=3",
        "--n_examples=2",
        "--device=cpu",
        *judged_by(weights),
    )
    assert result.returncode == 0, result.stderr
    assert names(out) == {"evaluation.json", "evaluation.md", "curves.png", "examples.png"}
    found = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    assert found["photos"] == 3 and found["target_ages"] == [10, 80] and len(found["per_age"]) == 2
    assert (
        found["judges"]["age"]["data_share"] == "60-100" and found["judges"]["identity"]["teacher"] == "dlib"
    )
    assert found["command"].startswith("python scripts/evaluate.py --checkpoint_path=")
    text = (out / "evaluation.md").read_text(encoding="utf-8")
    for part in ("Spearman correlation", "judge_identity: vgg, 32 px", "two photos of different people"):
        assert part in text and part in result.stdout
    assert Image.open(out / "curves.png").size[0] > 400


def test_methods_side_by_side(weights: Path, tmp_path: Path) -> None:
    """A row a method in table and picture, each with the report that it gets alone."""
    photos, out = make_photos(tmp_path / "photos", 10, 30, 50), tmp_path / "out"
    save_checkpoint(directed_checkpoint(), tmp_path / "pair.pt")
    save_checkpoint(psp_checkpoint(toy(seed=4)), tmp_path / "sam.pt")
    files = [weights / "sam.pt", tmp_path / "pair.pt", tmp_path / "sam.pt"]
    common = [f"--data_path={photos}", "--target_age=10,80", "--n_examples=2", "--device=cpu"]
    common += judged_by(weights)
    together = f"--checkpoint_path={','.join(map(str, files))}"
    result = run("evaluate", together, f"--exp_dir={out}", *common)
    assert result.returncode == 0, result.stderr
    first = f"{weights.name}_sam"
    second = f"{tmp_path.name}_sam"
    assert names(out) == {"methods.json", "methods.md", "methods.png", "pair", first, second}
    found = json.loads((out / "methods.json").read_text(encoding="utf-8"))["methods"]
    kinds = {name: row["kind"] for name, row in found.items()}
    assert kinds == {first: "sam", "pair": "directed", second: "sam"}
    text = (out / "methods.md").read_text(encoding="utf-8")
    assert all(f"| {name}" in text for name in found) and text.count("| sam ") == 2
    sheet, alone = (Image.open(path) for path in (out / "methods.png", out / first / "examples.png"))
    assert sheet.height > 2.5 * alone.height
    assert names(out / "pair") == {"evaluation.json", "evaluation.md", "curves.png", "examples.png"}
    run("evaluate", f"--checkpoint_path={files[0]}", f"--exp_dir={tmp_path / 'alone'}", *common)
    single = json.loads((tmp_path / "alone" / "evaluation.json").read_text(encoding="utf-8"))
    assert single["identity"] == found[first]["identity"]  # its faces are the largest, so it sees the same
    for more in ("--global_checkpoint=x.pt", "--encoder_path=x.pt", "--personalized_checkpoint=x.pt"):
        refused = run("evaluate", together, f"--exp_dir={out}", *common, more)
        assert refused.returncode == 2 and more.partition("=")[0] in refused.stderr


def test_evaluate_age_classifiers_only(weights: Path, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 10, 30, 55)
    files = [str(weights / "age_classifier.pt"), str(weights / "judge_age.pt")]
    result = run(
        "evaluate",
        f"--data_path={photos}",
        f"--exp_dir={tmp_path / 'out'}",
        f"--age_classifier={','.join(files)}",
        "--device=cpu",
    )
    assert result.returncode == 0, result.stderr
    assert names(tmp_path / "out") == {"age_classifiers.json", "age_classifiers.md"}
    found = json.loads((tmp_path / "out" / "age_classifiers.json").read_text(encoding="utf-8"))["classifiers"]
    assert [row["file"] for row in found] == files and found[0]["photos"] == 3
    assert [row["from_age"] for row in found[0]["decades"]] == [10, 30, 50]
    assert "50-59" in result.stdout
    network = auxiliary.load_age_classifier(files[0])
    folder = FaceFolder(photos, 64, resample="lanczos")
    with torch.no_grad():
        errors = (network.predict_age(folder.batch([0, 1, 2])["image"]) - folder.ages).abs()
    assert found[0]["mean_absolute_error"] == pytest.approx(float(errors.mean()), abs=1e-3)


def test_evaluate_a_personalised_model(weights: Path, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 20, 40, 60)
    common = [
        f"--checkpoint_path={weights / 'sam.pt'}",
        f"--personalized_checkpoint={weights / 'personal.pt'}",
        f"--data_path={photos}",
        "--device=cpu",
        *judged_by(weights),
    ]
    out = tmp_path / "out"
    result = run("evaluate", *common, f"--exp_dir={out}", "--training_ages=20-50")
    assert result.returncode == 0, result.stderr
    expected = {"personalization.json", "personalization.md", "personalization.png", "life_span.png"}
    assert names(out) == expected
    found = json.loads((out / "personalization.json").read_text(encoding="utf-8"))
    assert found["overall"]["pairs"] == 6 and found["outside_training_range"]["pairs"] == 2
    assert "personalised" in result.stdout
    one = tmp_path / "one"
    photo = photos / "40_1.png"
    result = run("evaluate", *common, f"--exp_dir={one}", f"--input_path={photo}")
    assert result.returncode == 0, result.stderr
    again = json.loads((one / "personalization.json").read_text(encoding="utf-8"))
    same = [pair for pair in found["pairs"] if pair["input"] == "40_1.png"]
    for ours, theirs in zip(again["pairs"], same, strict=True):
        assert ours["truth"] == theirs["truth"]
        assert ours["judged_age"] == pytest.approx(theirs["judged_age"], abs=1e-3)


@pytest.fixture
def people(tmp_path: Path) -> Iterator[Path]:
    make_photos(tmp_path / "people" / "anna", 10, 20, 30, 40)
    make_photos(tmp_path / "people" / "few", 10, 20)
    yield tmp_path / "people"


def test_evaluate_people(weights: Path, people: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [
        f"--people={people}",
        f"--checkpoint_path={weights / 'sam.pt'}",
        f"--exp_dir={out}",
        "--folds=2",
        "--device=cpu",
        f"--age_classifier={weights / 'age_classifier.pt'}",
        f"--identity_network={weights / 'identity.pt'}",
        "--max_steps=2",
        "--batch_size=2",
        "--optim_name=adam",
        "--image_interval=0",
        "--val_interval=0",
        *judged_by(weights),
    ]
    result = run("evaluate_people", *command)
    assert result.returncode == 0, result.stderr
    found = json.loads((out / "people.json").read_text(encoding="utf-8"))
    assert found["people"]["anna"]["overall"]["pairs"] == 4
    assert [fold["left_out"] for fold in found["people"]["anna"]["folds"]] == [[10, 30], [20, 40]]
    assert "too few for 2 folds" in found["people"]["few"]["failed"]
    assert found["overall"]["people"] == 1
    lines = (out / "people.md").read_text(encoding="utf-8")
    assert "| anna " in lines and "| few " in lines and "mean over people" in lines
    assert {"fold_1_of_2", "fold_2_of_2"} == names(out / "anna")
    trained_on = {path.resolve().name for path in (out / "anna" / "fold_1_of_2" / "photos").iterdir()}
    assert trained_on == {"20_1.png", "40_3.png"}, "left-out photos are never trained on"
    assert (out / "anna" / "fold_1_of_2" / "life_span.png").is_file()

    again = run("evaluate_people", *command)  # nothing is trained a second time
    assert again.returncode == 0 and "CoachPersonalized" not in again.stderr
    assert json.loads((out / "people.json").read_text(encoding="utf-8"))["people"] == found["people"]

    other = run("evaluate_people", *command, "--learning_rate=0.5")
    assert other.returncode == 2 and "other photos or options" in other.stderr


def test_folds_reach_over_all_ages() -> None:
    assert age_folds([30, 10, 20, 40, 50, 60, 60], 3) == [[10, 40], [20, 50], [30, 60]]
    with pytest.raises(InputError, match="photos of 3 different ages are too few for 2 folds"):
        age_folds([10, 20, 30, 30], 2)


def test_a_fold_knows_what_it_is_trained_on() -> None:
    photos = [Path(f"{age}_0.png") for age in (10, 20, 30, 40)]
    first, second = make_folds(photos, 2, Path("out"))
    assert first.folder == Path("out/fold_1_of_2") and second.folder == Path("out/fold_2_of_2")
    assert first.left_out == (10, 30) and first.photos == (photos[1], photos[3])
    assert first.training_range == (20, 40) and second.training_range == (10, 30)


# ---------------------------------------------------------------- bad input

BAD_OPTIONS = {
    "no exp_dir": (["--data_path=x"], "required: --exp_dir"),
    "no data": (["--exp_dir=x"], "required: --data_path"),
    "age": (["--exp_dir=x", "--data_path=x", "--target_age=abc"], "'abc' is no age"),
    "too old": (["--exp_dir=x", "--data_path=x", "--target_age=130"], "130 is outside 0 to 100"),
    "random": (
        ["--exp_dir=x", "--data_path=x", "--target_age=uniform_random"],
        "fixed ages in years are needed",
    ),
    "count": (["--exp_dir=x", "--data_path=x", "--n_images=0"], "--n_images: 0 is less than 1"),
    "an empty name": (["--exp_dir=", "--data_path=x"], "--exp_dir: the name of a folder is needed"),
    "a file": ([f"--exp_dir={__file__}", "--data_path=x"], "is a file; name a folder"),
    "range": (
        ["--exp_dir=x", "--data_path=x", "--personalized_checkpoint=x", "--training_ages=old"],
        "--training_ages: old: give two ages",
    ),
    "falling range": (
        ["--exp_dir=x", "--data_path=x", "--personalized_checkpoint=x", "--training_ages=60-20"],
        "--training_ages: 60-20: the ages must rise",
    ),
    "two commands": (
        ["--exp_dir=x", "--data_path=x", "--personalized_checkpoint=x", "--age_classifier=x"],
        "are two commands",
    ),
    "input without a person": (["--exp_dir=x", "--data_path=x", "--input_path=x"], "--input_path needs"),
    "unknown": (["--exp_dir=x", "--data_path=x", "--judge=x"], "unrecognized arguments: --judge=x"),
}


@pytest.mark.parametrize(("arguments", "sentence"), BAD_OPTIONS.values(), ids=BAD_OPTIONS.keys())
def test_bad_options(arguments: list[str], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_evaluate_options(arguments)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_options_are_read_once() -> None:
    options = parse_evaluate_options(["--exp_dir=x", "--data_path=y", "--target_age=10, 62.5"])
    assert options.target_ages == [10, 62.5] and options.training_ages is None and options.ages_people
    assert options.model_path == model_paths["demo_sam"]
    classifiers = ["--exp_dir=x", "--data_path=y", "--age_classifier=a.pt,b.pt"]
    options = parse_evaluate_options(classifiers)
    assert options.age_classifier == ("a.pt", "b.pt") and not options.ages_people
    assert parse_evaluate_options([*classifiers, "--checkpoint_path=c.pt"]).ages_people
    personal = ["--exp_dir=x", "--data_path=y", "--personalized_checkpoint=p.pt", "--training_ages=20-60"]
    assert parse_evaluate_options(personal).training_ages == (20, 60)


def test_further_flags_of_evaluate_people_go_to_the_training() -> None:
    common = ["--exp_dir=x", "--people=y", "--checkpoint_path=sam.pt", "--device=cpu"]
    options = parse_people_options([*common, "--max_steps=7", "--only=anna,bert"])
    assert options.only == ("anna", "bert") and options.training_flags == ("--max_steps=7",)
    training = options.training_options("photos", "run")
    assert isinstance(training, MyTimeMachineOptions)
    assert training.max_steps == 7 and training.exp_dir == "run" and training.device == "cpu"
    assert training.train_dataset == "photos" and training.checkpoint_path == "sam.pt"


def test_bad_people_options(tmp_path: Path) -> None:
    common = ["--exp_dir=x", f"--people={tmp_path}"]
    for arguments, sentence in (
        (["--folds=1"], "--folds: 1 is less than 2"),
        (["--preset=nowhere.args"], "--preset=nowhere.args: no such file"),
        (["--train_dataset=x"], "--train_dataset is set for every fold"),
        (["--no_such_flag=1"], "unrecognized arguments: --no_such_flag=1"),
    ):
        with pytest.raises(InputError, match=sentence):
            parse_people_options([*common, *arguments])


def test_bad_input_is_one_sentence_and_leaves_nothing(weights: Path, tmp_path: Path) -> None:
    good = make_photos(tmp_path / "good", 20, 40)
    empty = tmp_path / "empty"
    empty.mkdir()
    unnamed = tmp_path / "unnamed"
    unnamed.mkdir()
    (good / "20_0.png").rename(unnamed / "me.png")
    make_photos(good, 20, 40)
    torn = make_photos(tmp_path / "torn", 20)
    (torn / "20_0.png").write_bytes((torn / "20_0.png").read_bytes()[:300])
    sam, mine = (
        f"--checkpoint_path={weights / 'sam.pt'}",
        f"--personalized_checkpoint={weights / 'personal.pt'}",
    )
    judge = str(weights / "judge_age.pt")
    cases = {
        "no folder": ([sam, f"--data_path={tmp_path / 'nowhere'}"], "no such folder"),
        "empty": ([sam, f"--data_path={empty}"], "no pictures in"),
        "torn": ([sam, f"--data_path={torn}"], "cannot be used, more than a tenth"),
        "one photo": ([sam, f"--data_path={unnamed}"], "one photo only"),
        "no checkpoint": (
            [f"--data_path={good}", f"--checkpoint_path={empty / 'no.pt'}"],
            "no such checkpoint",
        ),
        "a judge that is no judge": (
            [sam, f"--data_path={good}", f"--judge_identity={judge}"],
            "judge_age.pt is an age judge, not",
        ),
        "photos without an age": (
            [f"--data_path={unnamed}", f"--age_classifier={judge}"],
            "no age in the file name",
        ),
        "person without an age": ([sam, mine, f"--data_path={unnamed}"], "no age in the file name"),
        "swapped models": (
            [f"--checkpoint_path={weights / 'personal.pt'}", mine, f"--data_path={good}"],
            "here they are mytimemachine and mytimemachine",
        ),
    }
    for name, (arguments, sentence) in cases.items():
        out = tmp_path / f"out of {name}"
        result = run("evaluate", f"--exp_dir={out}", "--device=cpu", *judged_by(weights), *arguments)
        last = result.stderr.strip().splitlines()[-1]
        assert result.returncode == 2 and last.startswith("error: "), f"{name}: {result.stderr}"
        assert sentence in last and "Traceback" not in result.stderr, f"{name}: {result.stderr}"
        assert not out.exists(), f"{name}: something was written"
    people = ["--device=cpu", f"--checkpoint_path={weights / 'sam.pt'}", *judged_by(weights)]
    for folder, sentence in ((tmp_path / "nowhere", "no such folder"), (empty, "has no sub-folders")):
        result = run("evaluate_people", f"--exp_dir={tmp_path / 'p'}", f"--people={folder}", *people)
        assert result.returncode == 2 and sentence in result.stderr
        assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("place", ["people", "people/results", "people/../people/anna/results"])
def test_results_among_the_people_are_refused(place: str, tmp_path: Path) -> None:
    (tmp_path / "people" / "anna").mkdir(parents=True)
    result = run("evaluate_people", f"--people={tmp_path / 'people'}", f"--exp_dir={tmp_path / place}")
    assert result.returncode == 2 and "lies among the people; choose one outside --people" in result.stderr
