"""Editing at every age: directions of the generator and of files, grids, what the judges say of each."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from commands import run
from inference_toys import files_below, make_photo, pixels, save_toy, toy
from PIL import Image
from toy_networks import SMALL_FACE, SMALL_VGG, directed_checkpoint, network_file, reaging_content

from evaluation.editing import DirectionFigures, ranked, score
from inference.editing import read_directions
from models.judges import load_judges
from models.psp_aging import PSPAgingModel
from models.stylegan2.directions import closed_form_directions, modulations, one_deviation
from utils.errors import InputError
from utils.files.checkpoints import save_checkpoint

N_STYLES, STYLE_DIM = 8, 12


# ---------------------------------------------------------------- directions of a generator


def test_the_strongest_directions_change_the_most() -> None:
    weights = [torch.randn(30, STYLE_DIM), torch.randn(20, STYLE_DIM)]
    weights[0][:, 4] *= 20  # what the layers listen to
    directions = closed_form_directions(weights, STYLE_DIM)
    torch.testing.assert_close(directions @ directions.T, torch.eye(STYLE_DIM), rtol=0, atol=1e-5)
    rows = torch.nn.functional.normalize(torch.cat(weights), dim=1)
    heard = (rows @ directions.T).square().sum(0)
    assert (heard[:-1] >= heard[1:]).all()
    assert directions[0].abs().argmax() == 4 and directions[0, 4] > 0.9
    other_scale = closed_form_directions([7 * weights[0], weights[1]], 3)
    torch.testing.assert_close(other_scale, directions[:3])
    with pytest.raises(ValueError, match="12 directions are all there are"):
        closed_form_directions(weights, STYLE_DIM + 1)


def test_every_style_has_a_layer_of_its_own() -> None:
    network = toy()
    weights = modulations(network.decoder)
    layers = {style: set() for style in range(N_STYLES)}
    for style, convolution in network.decoder.modulated_convolutions():
        layers[style].add(convolution.modulation.weight.data_ptr())
    assert len(weights) == N_STYLES
    assert all(weight.data_ptr() in layers[style] for style, weight in enumerate(weights))
    assert len({weight.data_ptr() for weight in weights}) == N_STYLES
    assert not any(weight.requires_grad for weight in weights)


def test_strength_one_is_a_deviation_of_random_codes() -> None:
    w = torch.randn(4000, STYLE_DIM) * torch.linspace(0.5, 3, STYLE_DIM)
    codes = w[:, None].expand(-1, N_STYLES, -1)
    direction = torch.zeros(N_STYLES, STYLE_DIM)
    direction[2:5, 7] = 11.0
    step = one_deviation(direction, codes)
    assert not step[[0, 1, 5, 6, 7]].any()
    torch.testing.assert_close(step[2:5, 7], w[:, 7].std().expand(3))
    whole = one_deviation(torch.ones(N_STYLES, STYLE_DIM), codes)
    torch.testing.assert_close(whole[3].norm(), w.sum(1).std() / STYLE_DIM**0.5)
    torch.testing.assert_close(one_deviation(whole, codes), whole)  # of its own file


# ---------------------------------------------------------------- directions of files


def test_directions_of_files(tmp_path: Path) -> None:
    one, whole = torch.randn(STYLE_DIM), torch.randn(N_STYLES, STYLE_DIM)
    np.save(tmp_path / "smile.npy", one.double().numpy())
    torch.save(whole, tmp_path / "glasses.pt")
    torch.save({"wide eyes": one[None], "b": torch.stack([whole, 2 * whole])}, tmp_path / "many.pt")
    save_checkpoint({"tall": whole, "state_dict": {"c/d": one}}, tmp_path / "safe.safetensors")

    def read(name: str) -> dict[str, torch.Tensor]:
        return read_directions(tmp_path / name, N_STYLES, STYLE_DIM)

    torch.testing.assert_close(read("smile.npy"), {"smile": one[None]})
    torch.testing.assert_close(read("glasses.pt"), {"glasses": whole})
    expected = {"many_wide_eyes": one[None], "many_b_01": whole, "many_b_02": 2 * whole}
    torch.testing.assert_close(read("many.pt"), expected)
    assert {value.shape for value in read("safe.safetensors").values()} == {one[None].shape, whole.shape}
    assert all("/" not in name for name in read("safe.safetensors"))


class Evil:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("hacked"),))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npy", np.array([Evil()], dtype=object), "a.npy is no array of numbers"),
        ("a.pt", Evil(), "a.pt is not opened"),
        ("a.pt", torch.ones(STYLE_DIM + 1), r"a.pt: its content is \[13\], not a direction of this model"),
        ("a.pt", {"x": torch.zeros(STYLE_DIM)}, "a.pt: x is zero"),
        ("a.pt", {"x": "words"}, "a.pt: x is a str, not a tensor"),
        ("a.pt", torch.full((STYLE_DIM,), torch.nan), "a.pt: its content holds numbers that are not finite"),
        ("a.npy", b"nothing", "a.npy is no array of numbers"),
        ("a.safetensors", b"nothing", "a.safetensors is damaged"),
        ("a.pkl", b"nothing", "a.pkl: give a file of one of the formats"),
        ("a.npy", None, "no such file: .*a.npy"),
    ],
)
def test_files_that_are_no_directions(
    name: str, content: object, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif isinstance(content, np.ndarray):
        np.save(tmp_path / name, content, allow_pickle=True)
    elif content is not None:
        torch.save(content, tmp_path / name)
    with pytest.raises(InputError, match=message):
        read_directions(tmp_path / name, N_STYLES, STYLE_DIM)
    assert not (tmp_path / "hacked").exists()


# ---------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Photos, a model, judges, and a direction that changes the colour of everybody."""
    folder = tmp_path_factory.mktemp("editing")
    torch.manual_seed(0)
    for index, age in enumerate((30, 50)):
        make_photo(folder / "photos" / f"{age}_{index}.png", index)
    judges = {
        kind: save_checkpoint(network_file(kind, sizes), folder / f"{kind}.pt")
        for kind, sizes in (("judge_age", SMALL_VGG), ("judge_identity", SMALL_FACE))
    }
    np.save(folder / "colour.npy", np.random.default_rng(0).normal(size=STYLE_DIM))
    return SimpleNamespace(
        folder=folder,
        sam=save_toy(folder / "sam.pt", toy()),
        colour=folder / "colour.npy",
        flags=[f"--data_path={folder / 'photos'}", *(f"--{kind}={file}" for kind, file in judges.items())]
        + ["--test_workers=0", "--device=cpu"],
        judges=judges,
    )


@pytest.fixture(scope="module")
def edited(place: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the command on two photos at three ages."""
    out = tmp_path_factory.mktemp("out")
    more = ["--target_age=20,40,80", "--n_directions=2", "--strengths=-2,1.5"]
    result = run(
        "edit",
        *place.flags,
        f"--exp_dir={out}",
        f"--checkpoint_path={place.sam}",
        *more,
        f"--directions={place.colour}",
    )
    assert result.returncode == 0, result.stderr
    assert "2 photos aged" in result.stdout and "| colour" in result.stdout
    return out / "editing"


def test_a_grid_for_each_photo_and_direction(edited: Path) -> None:
    names = ("closed_form_01", "closed_form_02", "colour")
    grids = {f"{name}/{photo}" for name in names for photo in ("30_0.png", "50_1.png")}
    kept = {f"directions/{name}.npy" for name in names}
    assert files_below(edited) == {*grids, *kept, "directions.json", "directions.md", "report.html"}
    grid = Image.open(edited / "colour" / "30_0.png")
    assert 3 * 32 < grid.width < 5 * 32 and 3 * 32 < grid.height < 5 * 32


def test_all_ages_move_alike(edited: Path, place: SimpleNamespace) -> None:
    model = PSPAgingModel(toy())
    photo = torch.from_numpy(pixels(place.folder / "photos" / "30_0.png")).permute(2, 0, 1)[None] / 127.5 - 1
    step = torch.from_numpy(np.load(edited / "directions" / "closed_form_01.npy"))
    codes = model.codes(photo, (20.0, 40.0, 80.0))
    grid = torch.from_numpy(pixels(edited / "closed_form_01" / "30_0.png")).permute(2, 0, 1).float()
    top, left = grid.shape[1] - 3 * 32 - 2 * 2, grid.shape[2] - 3 * 32 - 2 * 2
    for row, strength in enumerate((-2.0, 0.0, 1.5)):
        expected = (model.render(codes + strength * step)[0].clamp(-1, 1) + 1) * 127.5
        for column in range(3):
            y, x = top + row * 34, left + column * 34
            found = grid[:, y : y + 32, x : x + 32]
            assert (found - expected[column]).abs().mean() < 1.5  # the photo is resized once more


def test_the_figures(edited: Path) -> None:
    content = json.loads((edited / "directions.json").read_text(encoding="utf-8"))
    assert content["command"].startswith("python scripts/edit.py")
    scores = [row["score"] for row in content["directions"].values()]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True) and scores[-1] > 0
    for row in content["directions"].values():
        assert [at["strength"] for at in row["strengths"]] == [-2.0, 1.5]
        assert row["picture_change"] > 0 and -1 <= row["lowest_identity"] <= row["identity"] <= 1
    first = next(iter(content["directions"]))
    table = (edited / "directions.md").read_text(encoding="utf-8")
    assert table.index(f"| {first}") == min(table.index(f"| {name}") for name in content["directions"])


def test_a_kept_direction_gives_the_same_grid(edited: Path, place: SimpleNamespace, tmp_path: Path) -> None:
    file = edited / "directions" / "closed_form_02.npy"
    more = ["--target_age=20,40,80", "--n_directions=0", "--strengths=-2,1.5", f"--directions={file}"]
    result = run("edit", *place.flags, f"--exp_dir={tmp_path}", f"--checkpoint_path={place.sam}", *more)
    assert result.returncode == 0, result.stderr
    again = pixels(tmp_path / "editing" / "closed_form_02" / "30_0.png")
    assert np.abs(again - pixels(edited / "closed_form_02" / "30_0.png")).max() <= 1


def test_some_styles_only(place: SimpleNamespace, tmp_path: Path) -> None:
    more = ["--n_directions=1", "--target_age=40", "--latent_mask=0,3", "--n_images=1"]
    result = run("edit", *place.flags, f"--exp_dir={tmp_path}", f"--checkpoint_path={place.sam}", *more)
    assert result.returncode == 0, result.stderr
    step = np.load(tmp_path / "editing" / "directions" / "closed_form_01.npy")
    assert [bool(row.any()) for row in step] == [index in (0, 3) for index in range(N_STYLES)]
    assert np.allclose(step[0], step[3])


def test_directed_generation_is_edited_too(place: SimpleNamespace, tmp_path: Path) -> None:
    file = save_checkpoint(directed_checkpoint(), tmp_path / "directed.pt")
    more = ["--n_directions=1", "--target_age=10,40", "--n_images=1", f"--checkpoint_path={file}"]
    result = run("edit", *place.flags, f"--exp_dir={tmp_path}", *more)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "editing" / "closed_form_01" / "30_0.png").is_file()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--n_directions=0"], "there is no direction to edit along"),
        (["--strengths=0"], "give other strengths than 0"),
        (["--strengths=a"], "--strengths"),
        (["--latent_mask=8"], "--latent_mask: there is no style 8, the codes have 0..7"),
        (["--n_directions=13"], "--n_directions=13: .*sam.pt has 12, not more"),
        (["--directions=none.npy"], "--directions: no such file: none.npy"),
        (["--directions={colour},{colour}"], "another direction called colour; rename the file"),
        (["--checkpoint_path={reaging}"], "reaging.pt is a model without styles; use inference.py"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    more: list[str], message: str, place: SimpleNamespace, tmp_path: Path
) -> None:
    reaging = save_checkpoint(reaging_content(), tmp_path / "reaging.pt")
    words = [word.format(colour=place.colour, reaging=reaging) for word in more]
    out = tmp_path / "out"
    result = run("edit", *place.flags, f"--exp_dir={out}", f"--checkpoint_path={place.sam}", *words)
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert result.returncode == 2 and len(errors) == 1, result.stderr
    assert re.search(message, errors[0])
    assert not out.exists()


# ---------------------------------------------------------------- the ranking


def test_useful_directions_change_much_for_little() -> None:
    assert score(10.0, 0.9, 2.0) > score(10.0, 0.8, 2.0) > score(10.0, 0.8, 4.0) > score(5.0, 0.8, 4.0)
    assert score(0.0, 1.0, 0.0) == 0.0


def test_nothing_changed_is_measured_as_nothing(place: SimpleNamespace) -> None:
    judges = load_judges(place.judges["judge_age"], place.judges["judge_identity"])
    still, moved = DirectionFigures(), DirectionFigures()
    pictures = torch.rand(2, 1, 2, 3, 32, 32).expand(-1, 3, -1, -1, -1, -1)
    still.add(pictures, 1, judges)
    factors = torch.tensor([0.0, 1.0, 0.5])[:, None, None, None, None]
    moved.add(pictures * factors, 1, judges)
    figures = ranked({"still": still, "moved": moved}, (-1.0, 0.0, 1.0))
    assert list(figures) == ["moved", "still"]
    assert figures["still"]["picture_change"] == 0 and figures["still"]["absolute_age_change"] == 0
    assert figures["still"]["identity"] == pytest.approx(1)
    at = figures["moved"]["strengths"]
    assert at[0]["picture_change"] == pytest.approx(127.5 * float(pictures[:, 0].mean()), rel=1e-4)
    assert at[0]["picture_change"] == pytest.approx(2 * at[1]["picture_change"], rel=1e-4)
    assert figures["moved"]["lowest_identity"] < 1
