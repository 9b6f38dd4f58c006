"""Evaluation: figures by value, models whose behaviour is known, the commands on toy networks, bad input."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from inference_toys import run
from PIL import Image
from test_dex_vgg import SMALL_FACE, SMALL_VGG
from torch import Tensor

from datasets.faces import FaceFolder
from evaluation import figures, personal, tables
from evaluation.ageing import evaluate_ageing, evenly, spread_photos
from evaluation.judges import NetworkCard, independence, loss_network_cards
from evaluation.markdown import markdown_table, number
from evaluation.personal import PersonPhotos
from models import auxiliary
from models.aging_model import AgingModel
from models.blender import BlenderConfig
from models.encoders.psp_encoders import EncoderConfig
from models.psp import pSp
from models.stylegan2.model import StyleGAN2Config
from options.evaluate_options import parse_evaluate_options, parse_people_options
from utils.errors import InputError
from utils.files.checkpoints import save_checkpoint
from utils.files.writing import write_json
from utils.pictures.writing import write_image

ROOT = Path(__file__).resolve().parents[1]
INPUT, OUTPUT = 64, 32

# ---------------------------------------------------------------- figures


def test_ranks_share_ties() -> None:
    assert figures.ranks([10, 30, 20, 20]).tolist() == [1.0, 4.0, 2.5, 2.5]


def test_spearman_with_ties_and_its_limits() -> None:
    assert figures.spearman([1, 2, 2, 40], [1, 3, 2, 4]) == pytest.approx(4.5 / (4.5 * 5) ** 0.5)
    assert figures.spearman([1, 2, 3], [10, 100, 1000]) == pytest.approx(1)
    assert figures.spearman([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert np.isnan(figures.spearman([1, 1, 1], [1, 2, 3])) and np.isnan(figures.spearman([1], [1]))
    with pytest.raises(ValueError, match="2 values cannot be correlated with 3"):
        figures.spearman([1, 2], [1, 2, 3])


def test_errors_and_distributions() -> None:
    assert figures.mean_absolute_error([1, 5], torch.tensor([2.0, 2.0])) == 2
    found = figures.distribution(range(101))
    assert found == pytest.approx(
        {"count": 101, "mean": 50, "std": 29.1547595, "p5": 5, "p50": 50, "p95": 95}
    )
    assert figures.distribution([]) == {"count": 0}


def test_similarities_leave_out_a_photo_and_itself() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    torch.testing.assert_close(figures.similarity_within(rows), torch.tensor([0.0, 0.6, 0.8]))
    others = figures.similarity_to_others(rows, rows.flip(1))
    torch.testing.assert_close(others, torch.tensor([1.0, 0.8, 1.0, 0.6, 0.8, 0.6]))


def test_separation_is_the_share_of_pairs_in_order() -> None:
    assert figures.separation([2, 3], [0, 1]) == 1
    assert figures.separation([0, 1], [2, 3]) == 0
    assert figures.separation([1, 1], [1]) == 0.5
    assert figures.separation([1, 3], [2, 0]) == 0.75


def test_evenly_spread() -> None:
    assert evenly(10, 5) == [0, 2, 4, 6, 8] and evenly(3, None) == evenly(3, 9) == [0, 1, 2]


def test_report_text(tmp_path: Path) -> None:
    table = markdown_table(["a", "long header"], [["1", "2"]])
    assert table.splitlines() == ["| a   | long header |", "|-----|-------------|", "| 1   | 2           |"]
    assert [number(0.126), number(None), number(float("nan")), number(3, 1, sign=True)] == [
        "0.13",
        "-",
        "-",
        "+3.0",
    ]
    write_json({"a": float("nan"), "b": [1.5, Path("x")]}, tmp_path / "deep" / "a.json")
    assert json.loads((tmp_path / "deep" / "a.json").read_text()) == {"a": None, "b": [1.5, "x"]}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.json"]
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        write_json({}, tmp_path / "file" / "a.json")


# ---------------------------------------------------------------- models and judges of known behaviour


class Brightness(AgingModel):
    """Writes the target age (times a factor) into the red channel and keeps the others, the identity."""

    kind = "sam"
    input_size = output_size = 8

    def __init__(self, factor: float = 1.0, person: Tensor | None = None) -> None:
        super().__init__()
        self.factor, self.person = factor, person

    def age_path(self, images: Tensor, ages: object) -> Tensor:
        years = torch.as_tensor(ages, dtype=torch.float32).reshape(1, -1).expand(len(images), -1)
        out = images[:, None].repeat(1, years.shape[1], 1, 1, 1)
        if self.person is not None:
            out[:, :, 1:] = self.person
        out[:, :, 0] = (self.factor * years / 50 - 1)[..., None, None]
        return out


class Colours:
    """Reads the age from red, the identity from green and blue."""

    def measure(self, images: Tensor) -> tuple[Tensor, Tensor]:
        red, *rest = images.clamp(-1, 1).mean((-2, -1)).unbind(-1)
        return 50 * (red + 1), torch.nn.functional.normalize(torch.stack(rest, -1), dim=-1)


def person(*ages: float, colour: tuple[float, float] = (0.6, 0.8)) -> PersonPhotos:
    images = torch.ones(len(ages), 3, 8, 8)
    images[:, 0] = (torch.tensor(ages) / 50 - 1)[:, None, None]
    images[:, 1:] = torch.tensor(colour)[:, None, None]
    return PersonPhotos(images, torch.tensor(ages), tuple(f"{age:g}_0.png" for age in ages))


@pytest.fixture
def colourful(tmp_path: Path) -> FaceFolder:
    for index, (age, angle) in enumerate(((20, 0.0), (40, 1.5), (60, 3.0))):
        colour = (float(np.cos(angle)), float(np.sin(angle)))
        write_image(person(age, colour=colour).images[0], tmp_path / f"{age}_{index}.png")
    return FaceFolder(tmp_path, 8)


def test_a_perfect_model_has_perfect_figures(colourful: FaceFolder) -> None:
    result = evaluate_ageing(
        Brightness(), colourful, [10, 50, 80], Colours(), batch_size=2, examples=2, progress=False
    )
    found = result.figures()
    assert found["age"]["spearman"] == found["age"]["spearman_within_a_photo"] == pytest.approx(1)
    assert found["age"]["mean_absolute_error"] == pytest.approx(0, abs=1e-3)
    assert found["age"]["judge_error_on_labelled_photos"] == pytest.approx(0, abs=0.3)
    assert found["identity"]["input_and_output"]["mean"] == pytest.approx(1, abs=1e-5)
    assert found["identity"]["input_and_output"]["count"] == 9
    assert found["identity"]["different_people"]["count"] == 3
    assert found["identity"]["input_and_output_of_others"]["count"] == 18
    expected = (2 * np.cos(1.5) + np.cos(3.0)) / 3
    assert found["identity"]["different_people"]["mean"] == pytest.approx(expected, abs=0.02)
    assert found["identity"]["separation_from_different_people"] == 1
    assert [row["target_age"] for row in found["per_age"]] == [10, 50, 80]
    assert [row["judged_age"]["mean"] for row in found["per_age"]] == pytest.approx([10, 50, 80], abs=1e-3)
    assert len(result.examples) == 2 and result.examples[0].shape == (4, 3, 8, 8)
    assert result.sheet().width == 4 * 8 + 3 * 2
    assert "| 50 " in tables.ageing_table(found) and tables.ageing_curves(found).width > 400


def test_a_model_without_ages_or_people_is_found_out(colourful: FaceFolder) -> None:
    mask = torch.tensor([0.6, 0.8])[:, None, None]
    model = Brightness(0.5, person=mask)
    found = evaluate_ageing(model, colourful, [20, 80], Colours(), examples=1, progress=False).figures()
    assert found["age"]["mean_absolute_error"] == pytest.approx(25, abs=1e-3)
    assert found["age"]["bias"] == pytest.approx(-25, abs=1e-3)
    same, others = (
        found["identity"][key]["mean"] for key in ("input_and_output", "input_and_output_of_others")
    )
    assert same == pytest.approx(others, abs=1e-5), "everybody becomes the same person"
    assert found["identity"]["separation_from_output_of_others"] == pytest.approx(0.5)


def test_one_photo_cannot_be_compared(colourful: FaceFolder, tmp_path: Path) -> None:
    for path in colourful.paths[1:]:
        path.unlink()
    with pytest.raises(InputError, match="one photo only"):
        evaluate_ageing(Brightness(), FaceFolder(tmp_path, 8), [20], Colours(), progress=False)


def test_a_limited_folder_is_spread_over_its_ages(colourful: FaceFolder, tmp_path: Path) -> None:
    assert spread_photos(tmp_path, 8).ages.tolist() == [20, 40, 60]
    write_image(torch.zeros(3, 8, 8), tmp_path / "70_3.png")
    assert spread_photos(tmp_path, 8, 2).ages.tolist() == [20, 60]


# ---------------------------------------------------------------- personalisation


def test_ordered_pairs_are_those_of_different_ages() -> None:
    assert personal.ordered_pairs([20, 20, 50], [20, 50]) == [(0, 1), (1, 1), (2, 0)]
    assert personal.ordered_pairs([float("nan")], [20, 50]) == [(0, 0), (0, 1)]


def test_personalisation_is_compared_pair_by_pair() -> None:
    truths = person(20, 40, 60, 60)
    turned = person(20).images[0, 1:].flip(0)  # (0.8, 0.6): similarity 0.96 to the person
    global_model, personal_model = Brightness(0.9, person=turned), Brightness(1.0)
    pairs = personal.evaluate_personalization(global_model, personal_model, truths, Colours(), progress=False)
    assert len(pairs) == 10
    first = pairs[0]
    assert (first.input, first.truth, first.input_age, first.target_age) == ("20_0.png", "40_0.png", 20, 40)
    assert first.similarity == pytest.approx({"input": 1, "global": 0.96, "personalized": 1}, abs=1e-5)
    assert first.judged_age == pytest.approx({"input": 20, "global": 36, "personalized": 40}, abs=1e-3)
    found = personal.summarize_pairs(pairs, (20, 40))
    assert found["overall"]["pairs"] == 10 and len(found["pairs"]) == 10
    gain = found["overall"]["gain"]
    assert gain["similarity"] == pytest.approx(0.04, abs=1e-5)
    assert gain["age_error"] == pytest.approx(-(3 * 2 + 3 * 4 + 4 * 6) / 10, abs=1e-3)
    assert gain["share_of_pairs_with_higher_similarity"] == 1
    assert [(row["target_age"], row["pairs"]) for row in found["per_age"]] == [(20, 3), (40, 3), (60, 4)]
    assert found["inside_training_range"]["pairs"] == 6 and found["outside_training_range"]["pairs"] == 4
    table = personal.personalization_table(found).splitlines()
    assert table[-1].startswith("| all") and "+0.040" in table[-1] and "outside 20-40" in table[-2]
    assert tables.personal_curves(found).width > 400
    json.dumps(found)


def test_inputs_may_be_other_photos_without_an_age() -> None:
    photo = PersonPhotos(person(33).images, torch.tensor([float("nan")]), ("me.png",))
    pairs = personal.evaluate_personalization(
        Brightness(), Brightness(), person(20, 40), Colours(), photo, progress=False
    )
    assert [(pair.input, pair.truth) for pair in pairs] == [("me.png", "20_0.png"), ("me.png", "40_0.png")]


@pytest.mark.parametrize(("ages", "sentence"), [((30,), "one photo only"), ((30, 30), "one age only, 30")])
def test_personalisation_needs_two_ages(ages: tuple[float, ...], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        personal.evaluate_personalization(
            Brightness(), Brightness(), person(*ages), Colours(), progress=False
        )


def test_columns_of_the_life_span_take_the_nearest_true_photos() -> None:
    columns = personal.picture_columns([61, 24, 28, 23], grid=(0, 10, 20, 30, 40, 50, 60))
    assert columns == [(0, None), (10, None), (23, 3), (28, 2), (40, None), (50, None), (61, 0)]


@pytest.mark.parametrize("age", [40, float("nan")])
def test_life_span_has_three_rows(age: float) -> None:
    truths = person(20, 40, 60)
    photo = PersonPhotos(truths.images[1:2], torch.tensor([age]), ("40_0.png",))
    bright = Brightness(), Brightness(0.5)
    picture = np.asarray(personal.life_span_picture(*bright, photo, truths, (0, 20, 40, 60)))
    cells = picture[-28:, -48:].reshape(28, 48, 3)[:, :, 0].astype(int)
    assert cells.shape[1] == 5 * 8 + 4 * 2
    rows = [cells[y, 4::10] for y in (4, 14, 24)]
    assert rows[0][0] == 102 and rows[0][2] == 51 and rows[0][4] == 153, "true photos of 40, 20 and 60"
    assert rows[0][1] == rows[0][3] == 255, "no true photo but the input itself: white"
    own = [102, 51] if np.isfinite(age) else [255, 255]
    assert [rows[1][0], rows[2][0]] == own
    assert rows[1][4] == 153 and rows[2][4] == 76


def test_middle_photo() -> None:
    assert personal.middle_photo(person(60, 20, 40)).names == ("40_0.png",)


# ---------------------------------------------------------------- judges


def test_a_judge_tells_what_it_shares_with_the_losses() -> None:
    judge = NetworkCard("judge.pt", "judge_identity", "vgg", 64, "60-100", 1, "dlib")
    loss = NetworkCard("identity.pt", "identity", "ir_se", 64, "0-60", 0, "dlib")
    assert (
        judge.sentence() == "judge.pt (judge_identity: vgg, 64 px, data share 60-100, seed 1, teacher dlib)"
    )
    assert "shares teacher with" in independence(judge, loss)[0]
    other = NetworkCard("identity.pt", "identity", "ir_se", 64, "0-60", 0, "folders")
    assert "shares nothing recorded" in independence(judge, other)[0]
    assert "prove nothing" in independence(loss, loss)[1]
    assert "does not tell" in independence(judge, None)[0]


def test_cards_of_the_loss_networks_are_read_where_they_are(tmp_path: Path) -> None:
    network = auxiliary.build_network(SMALL_VGG)
    content = auxiliary.network_checkpoint("age_classifier", SMALL_VGG, network, opts={"data_share": "0-60"})
    path = save_checkpoint(content, tmp_path / "classifier_of_mine.pt")
    cards = loss_network_cards({"age_classifier": str(path), "identity_network": str(tmp_path / "gone.pt")})
    assert cards["age"] is not None and cards["age"].data_share == "0-60" and cards["age"].network == "vgg"
    assert cards["identity"] is None


# ---------------------------------------------------------------- the commands on toy networks


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with toy weights: sam.pt, personal.pt, judges, and the networks of the losses."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    generator = StyleGAN2Config(size=OUTPUT, style_dim=16, n_mlp=2, channels={4: 8, 8: 8, 16: 8, 32: 8})
    encoder = EncoderConfig(input_size=INPUT, channels=(8, 8, 8, 8, 8), units=(1, 1, 1, 1), style_channels=8)
    adapter = BlenderConfig(bottleneck=4, hidden=6, zero_init=False)
    network = pSp(generator, encoder).eval()
    personal_network = pSp(generator, encoder, blender=adapter).eval()
    personal_network.load_state_dict(network.state_dict(), strict=False)
    save_checkpoint(network.to_checkpoint(), folder / "sam.pt")
    save_checkpoint(personal_network.to_checkpoint(), folder / "personal.pt")
    small_vgg_face = {**SMALL_VGG, "num_classes": 12}
    for kind, architecture in (
        ("age_classifier", SMALL_VGG),
        ("judge_age", {**SMALL_FACE, "embedding_dim": 101, "normalize": False}),
        ("identity", SMALL_FACE),
        ("judge_identity", small_vgg_face),
    ):
        made = auxiliary.build_network(architecture).eval()
        extra = {"teacher": "dlib"} if "identity" in kind else {}
        opts = {"data_share": "60-100" if "judge" in kind else "0-60", "seed": int("judge" in kind)}
        content = auxiliary.network_checkpoint(kind, architecture, made, opts=opts, **extra)
        save_checkpoint(content, folder / f"{kind}.pt")
    return folder


def judged_by(weights: Path) -> list[str]:
    return [f"--judge_age={weights / 'judge_age.pt'}", f"--judge_identity={weights / 'judge_identity.pt'}"]


def make_photos(folder: Path, *ages: int) -> Path:
    for index, age in enumerate(ages):
        small = np.random.default_rng(index).integers(0, 255, (5, 5, 3), dtype=np.uint8)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(small).resize((80, 80), Image.Resampling.BICUBIC).save(folder / f"{age}_{index}.png")
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
    found = json.loads((out / "evaluation.json").read_text())
    assert found["photos"] == 3 and found["target_ages"] == [10, 80] and len(found["per_age"]) == 2
    assert (
        found["judges"]["age"]["data_share"] == "60-100" and found["judges"]["identity"]["teacher"] == "dlib"
    )
    assert found["command"].startswith("python scripts/evaluate.py --checkpoint_path=")
    text = (out / "evaluation.md").read_text()
    for part in ("Spearman correlation", "judge_identity: vgg, 32 px", "two photos of different people"):
        assert part in text and part in result.stdout
    assert Image.open(out / "curves.png").size[0] > 400


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
    found = json.loads((tmp_path / "out" / "age_classifiers.json").read_text())["classifiers"]
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
    found = json.loads((out / "personalization.json").read_text())
    assert found["overall"]["pairs"] == 6 and found["outside_training_range"]["pairs"] == 2
    assert "personalised" in result.stdout
    one = tmp_path / "one"
    photo = photos / "40_1.png"
    result = run("evaluate", *common, f"--exp_dir={one}", f"--input_path={photo}")
    assert result.returncode == 0, result.stderr
    again = json.loads((one / "personalization.json").read_text())
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
    found = json.loads((out / "people.json").read_text())
    assert found["people"]["anna"]["overall"]["pairs"] == 4
    assert [fold["left_out"] for fold in found["people"]["anna"]["folds"]] == [[10, 30], [20, 40]]
    assert "too few for 2 folds" in found["people"]["few"]["failed"]
    assert found["overall"]["people"] == 1
    lines = (out / "people.md").read_text()
    assert "| anna " in lines and "| few " in lines and "mean over people" in lines
    assert {"fold_1_of_2", "fold_2_of_2"} == names(out / "anna")
    trained_on = {path.resolve().name for path in (out / "anna" / "fold_1_of_2" / "photos").iterdir()}
    assert trained_on == {"20_1.png", "40_3.png"}, "left-out photos are never trained on"
    assert (out / "anna" / "fold_1_of_2" / "life_span.png").is_file()

    again = run("evaluate_people", *command)  # nothing is trained a second time
    assert again.returncode == 0 and "CoachPersonalized" not in again.stderr
    assert json.loads((out / "people.json").read_text())["people"] == found["people"]

    other = run("evaluate_people", *command, "--learning_rate=0.5")
    assert other.returncode == 2 and "other photos or options" in other.stderr


def test_folds_reach_over_all_ages() -> None:
    run("evaluate_people")  # puts scripts/ on the path
    age_folds = importlib.import_module("evaluate_people").age_folds
    assert age_folds([30, 10, 20, 40, 50, 60, 60], 3) == [[10, 40], [20, 50], [30, 60]]
    with pytest.raises(InputError, match="photos of 3 different ages are too few for 2 folds"):
        age_folds([10, 20, 30, 30], 2)


# ---------------------------------------------------------------- bad input

BAD_OPTIONS = {
    "no exp_dir": (["--data_path=x"], "--exp_dir=DIR is needed"),
    "no data": (["--exp_dir=x"], "--data_path=DIR is needed"),
    "age": (["--exp_dir=x", "--data_path=x", "--target_age=abc"], "'abc' is no age"),
    "too old": (["--exp_dir=x", "--data_path=x", "--target_age=130"], "130 is outside 0 to 100"),
    "random": (["--exp_dir=x", "--data_path=x", "--target_age=uniform_random"], "needs fixed ages"),
    "count": (["--exp_dir=x", "--data_path=x", "--n_images=0"], "--n_images=0 must be at least 1"),
    "a file": ([f"--exp_dir={__file__}", "--data_path=x"], "is a file; name a folder"),
    "range": (
        ["--exp_dir=x", "--data_path=x", "--personalized_checkpoint=x", "--training_ages=old"],
        "--training_ages=old: give two ages",
    ),
    "input without a person": (["--exp_dir=x", "--data_path=x", "--input_path=x"], "--input_path needs"),
    "unknown": (["--exp_dir=x", "--data_path=x", "--judge=x"], "unrecognized arguments: --judge=x"),
}


@pytest.mark.parametrize(("arguments", "sentence"), BAD_OPTIONS.values(), ids=BAD_OPTIONS.keys())
def test_bad_options(arguments: list[str], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_evaluate_options(arguments)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_bad_people_options(tmp_path: Path) -> None:
    common = ["--exp_dir=x", f"--people={tmp_path}"]
    for arguments, sentence in (
        (["--folds=1"], "--folds=1 must be at least 2"),
        (["--preset=nowhere.args"], "--preset=nowhere.args: no such file"),
        (["--train_dataset=x"], "--train_dataset is set for every fold"),
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
