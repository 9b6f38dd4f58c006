"""Figures by value, and models and judges whose behaviour is known."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_networks import SMALL_VGG, network_file

from datasets.faces import FaceFolder
from datasets.person_photos import PersonPhotos, middle_photo
from evaluation import curves, figures, personal, tables
from evaluation.ageing import evaluate_ageing, spread_photos
from evaluation.judges import independence, loss_network_cards
from evaluation.markdown import markdown_table, number
from evaluation.summaries import mean_over_people, summarize_pairs
from models.aging_model import Ages, AgingModel, HasAdapter, age_grid
from models.judges import NetworkCard
from training.life_span import global_name, life_span, picture_columns
from utils.errors import InputError
from utils.files.checkpoints import save_checkpoint
from utils.files.writing import write_json
from utils.pictures.curves import draw_panels
from utils.pictures.writing import write_image
from utils.spacing import evenly

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
    assert json.loads((tmp_path / "deep" / "a.json").read_text(encoding="utf-8")) == {
        "a": None,
        "b": [1.5, "x"],
    }
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.json"]
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        write_json({}, tmp_path / "file" / "a.json")


# ---------------------------------------------------------------- models and judges of known behaviour


class Brightness(AgingModel):
    """Writes the target age (times a factor) into the red channel and keeps the others, the identity."""

    kind = "sam"
    input_size = output_size = 8
    crop = "tight"

    def __init__(self, factor: float = 1.0, person: Tensor | None = None) -> None:
        super().__init__()
        self.factor, self.person = factor, person

    def age_path(self, images: Tensor, ages: Ages) -> Tensor:
        years = age_grid(ages, images)
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


def test_ages_are_compared_with_those_that_the_judge_sees_in_photos(colourful: FaceFolder) -> None:
    """A judge that takes 80 for 58 does not hold that against a model; years that are missing it shows."""
    targets = [20.0, 40.5, 80.0]
    result = evaluate_ageing(Brightness(), colourful, targets, Colours(), examples=0, progress=False)
    assert result.figures()["age"]["bias_against_photos"] is None  # three photos say nothing of an age
    assert " - " in tables.ageing_table(result.figures())
    labels = torch.arange(5, 95).float()
    seen = torch.tensor([10 + 0.6 * age for age in targets])
    embeddings = torch.eye(2)[torch.arange(90) % 2]
    many = replace(
        result,
        labels=labels,
        input_ages=10 + 0.6 * labels,
        input_embeddings=embeddings,
        own_embeddings=embeddings,
        embeddings=embeddings[:, None].repeat(1, 3, 1),
        judged_ages=(seen - torch.tensor([0.0, 3.0, 5.0])).expand(90, 3),
        appearance=SimpleNamespace(figures=lambda *_: result.figures()["appearance"]),
    )
    found = many.figures()
    assert [row["seen_in_photos"] for row in found["per_age"]] == pytest.approx(seen.tolist(), abs=0.1)
    assert found["age"]["bias_against_photos"] == pytest.approx(-8 / 3, abs=0.1)
    assert found["age"]["bias_against_photos_40_to_80"] == pytest.approx(-4, abs=0.1)
    oldest = found["judge_by_decade"][-1]
    assert (oldest["from_age"], oldest["photos"]) == (90, 5)
    assert (
        oldest["bias"] == pytest.approx(-26.8, abs=0.1) and oldest["mean_absolute_error"] == -oldest["bias"]
    )
    assert "| 90-99 " in tables.ageing_table(found)


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
    own = found["identity"]["input_and_output_at_own_age"]
    assert own["count"] == 3 and own["mean"] == pytest.approx(1, abs=1e-5)
    assert found["identity"]["separation_at_own_age"] == 1
    assert [row["target_age"] for row in found["per_age"]] == [10, 50, 80]
    assert [row["judged_age"]["mean"] for row in found["per_age"]] == pytest.approx([10, 50, 80], abs=1e-3)
    assert len(result.examples) == 2 and result.examples[0].shape == (4, 3, 8, 8)
    assert result.sheet().width == 4 * 8 + 3 * 2
    assert "| 50 " in tables.ageing_table(found) and draw_panels(curves.ageing_panels(found)).width > 400


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
    assert found["identity"]["input_and_output_at_own_age"]["mean"] == pytest.approx(same, abs=1e-5)


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
    found = summarize_pairs(pairs, (20, 40))
    assert found["overall"]["pairs"] == 10 and len(found["pairs"]) == 10
    gain = found["overall"]["gain"]
    assert gain["similarity"] == pytest.approx(0.04, abs=1e-5)
    assert gain["age_error"] == pytest.approx(-(3 * 2 + 3 * 4 + 4 * 6) / 10, abs=1e-3)
    assert gain["share_of_pairs_with_higher_similarity"] == 1
    assert [(row["target_age"], row["pairs"]) for row in found["per_age"]] == [(20, 3), (40, 3), (60, 4)]
    assert found["inside_training_range"]["pairs"] == 6 and found["outside_training_range"]["pairs"] == 4
    table = tables.personalization_table(found).splitlines()
    middle = table.index("")
    assert "+0.040" in table[middle - 1] and "outside 20-40" in table[middle - 2]
    assert "| sharpness: input |" in table[middle + 1] and table[-1].startswith("| all")
    assert draw_panels(curves.personal_panels(found)).width > 400
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
    columns = picture_columns([61, 24, 28, 23], grid=(0, 10, 20, 30, 40, 50, 60))
    assert columns == [(0, None), (10, None), (23, 3), (28, 2), (40, None), (50, None), (61, 0)]


@pytest.mark.parametrize("age", [40, float("nan")])
def test_life_span_has_three_rows(age: float) -> None:
    truths = person(20, 40, 60)
    photo = PersonPhotos(truths.images[1:2], torch.tensor([age]), ("40_0.png",))
    bright = Brightness(), Brightness(0.5)
    picture = np.asarray(life_span(*bright, photo, truths, (0, 20, 40, 60)).picture())
    cells = picture[-28:, -48:].reshape(28, 48, 3)[:, :, 0].astype(int)
    assert cells.shape[1] == 5 * 8 + 4 * 2
    rows = [cells[y, 4::10] for y in (4, 14, 24)]
    assert rows[0][0] == 102 and rows[0][2] == 51 and rows[0][4] == 153, "true photos of 40, 20 and 60"
    assert rows[0][1] == rows[0][3] == 255, "no true photo but the input itself: white"
    own = [102, 51] if np.isfinite(age) else [255, 255]
    assert [rows[1][0], rows[2][0]] == own
    assert rows[1][4] == 153 and rows[2][4] == 76


class Adapted(Brightness, HasAdapter):
    """The same with an adapter, which does nothing."""

    kind = "toy"

    def switch_off_adapter(self) -> None:
        pass


def test_only_a_global_and_a_personalised_model_are_compared() -> None:
    personal.check_models(Brightness(), Adapted())
    for models, kinds in (
        ((Brightness(), Brightness()), "sam and sam"),
        ((Adapted(), Adapted()), "toy and toy"),
        ((Adapted(), Brightness()), "toy and sam"),
    ):
        with pytest.raises(InputError, match=f"here they are {kinds}"):
            personal.check_models(*models)
    assert global_name(Brightness()) == "global SAM"
    assert global_name(Adapted()) == "global toy"


def test_every_person_counts_once() -> None:
    pairs = personal.evaluate_personalization(
        Brightness(0.9), Brightness(), person(20, 40, 60), Colours(), progress=False
    )
    people = {
        "anna": summarize_pairs(pairs),
        "bert": summarize_pairs(pairs[:2]),  # 20 to 40 and to 60
        "carl": {"failed": "no photos"},
    }
    found = mean_over_people(people)
    assert found is not None and found["people"] == 2 and found["pairs"] == 8
    assert found["global"]["age_error"] == pytest.approx((4 + 5) / 2, abs=1e-3)
    assert found["gain"]["age_error"] == pytest.approx(-(4 + 5) / 2, abs=1e-3)
    assert mean_over_people({"carl": people["carl"]}) is None
    lines = tables.people_table({"people": people, "overall": found}).splitlines()
    labels = [line.split("|")[1].strip() for line in lines if line]
    assert labels[2:6] == ["anna", "bert", "carl", "mean over people"]
    assert labels[8:] == ["anna", "bert", "mean over people"], "sharpness of whom there are pictures"
    assert lines[4].count("failed") == len(tables.PAIRS_HEADER) - 1


def test_middle_photo() -> None:
    assert middle_photo(person(60, 20, 40)).names == ("40_0.png",)


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
    content = network_file("age_classifier", SMALL_VGG, opts={"data_share": "0-60"})
    path = save_checkpoint(content, tmp_path / "classifier_of_mine.pt")
    cards = loss_network_cards({"age_classifier": str(path), "identity_network": str(tmp_path / "gone.pt")})
    assert cards["age"] is not None and cards["age"].data_share == "0-60" and cards["age"].network == "vgg"
    assert cards["identity"] is None
