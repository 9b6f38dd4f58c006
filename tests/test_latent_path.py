"""Latent paths: terms by hand, what is optimised, the command and its files, and `--codes` of the others."""

from pathlib import Path

import commands
import numpy as np
import pytest
import torch
from inference_toys import files_below, make_photo, pixels, save_toy, toy
from torch import Tensor
from toy_aging import ShadeModel
from toy_networks import SMALL_FACE, SMALL_VGG, network_file, reaging_content

from criteria.path_terms import distances, diversity, smoothness
from criteria.perceptual_loss import PerceptualLoss
from inference.path_files import LatentPath, in_small, read_paths, write_path
from inference.path_model import PathModel
from inference.path_optimizer import PathNetworks, PathOptimizer
from models.aging_model import Ages, age_grid
from options.path_options import PathWeights
from utils.errors import InputError
from utils.files.checkpoints import save_checkpoint

# ---------------------------------------------------------------- terms


def test_smoothness_follows_the_ages() -> None:
    codes = torch.tensor([0.0, 5.0, 1.0]).view(1, 3, 1, 1).expand(1, 3, 1, 2)
    ages = torch.tensor([[10.0, 30.0, 20.0]])
    assert smoothness(codes, ages).tolist() == [1.0 + 16.0]


def test_diversity_counts_up_to_a_bound() -> None:
    codes = torch.tensor([0.0, 3.0, 1.0]).view(1, 3, 1, 1)
    assert distances(codes)[0].round(decimals=4).tolist() == [[0, 3, 1], [3, 0, 2], [1, 2, 0]]
    assert float(diversity(codes, torch.full((1, 3, 3), 9.0))) == pytest.approx(-(4 + 5 + 3) / 2, abs=1e-4)
    most = torch.full((1, 3, 3), 1.5)
    assert float(diversity(codes, most)) == pytest.approx(-(2.5 + 3 + 2.5) / 2, abs=1e-4)
    apart = torch.tensor([0.0, 9.0]).view(1, 2, 1, 1).requires_grad_(True)
    assert not torch.autograd.grad(diversity(apart, torch.ones(1, 2, 2)).sum(), apart)[0].any()


def test_codes_that_are_the_same_have_a_finite_gradient() -> None:
    codes = torch.ones(1, 2, 2, 3, requires_grad=True)
    value = diversity(codes, torch.ones(1, 2, 2)).sum() + smoothness(codes, torch.ones(1, 2)).sum()
    assert torch.autograd.grad(value, codes)[0].isfinite().all()


# ---------------------------------------------------------------- what is optimised


class Shades(ShadeModel):
    """Its encoder says 0.4 of the right shade."""

    def codes(self, images: Tensor, ages: Ages) -> Tensor:
        offset = images.mean((1, 2, 3))[:, None] / 10
        return (0.4 * age_grid(ages, images) / 100 + offset)[:, :, None, None].expand(-1, -1, 2, 3)


class Pixels(PerceptualLoss):
    """Squared difference of pixels."""

    def features(self, images: Tensor) -> list[Tensor]:
        return [images]

    def combine(self, layers: list[Tensor]) -> Tensor:
        return layers[0]


NETWORKS = PathNetworks(
    ages=lambda pictures: 100 * pictures.mean((1, 2, 3)),
    identities=lambda pictures: torch.nn.functional.normalize(pictures.mean((2, 3)) + 1, dim=1),
    perceptual=Pixels(),
)
TARGETS, OWN = torch.tensor([[20.0, 60.0, 80.0]] * 2), torch.tensor([30.0, 60.0])


def photos() -> Tensor:
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are shown as they are: other shades would be other ages here."""
    monkeypatch.setattr("inference.path_optimizer.AGING_AUGMENT", lambda pictures, draws: pictures)


@pytest.mark.usefixtures("still")
def test_the_path_comes_near_its_ages_and_both_figures_are_of_the_pictures() -> None:
    found = PathOptimizer(Shades(), NETWORKS, PathWeights(steps=60), progress=False).optimize(
        photos(), TARGETS, OWN
    )
    assert found.ages.tolist() == [[20, 60, 80, 30], [20, 60, 80, 60]]
    seen = 100 * found.start.mean((2, 3))
    expected = (seen - found.ages)[:, :-1].abs().mean(1)
    torch.testing.assert_close(found.age_errors[0], expected, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(found.losses["age"][0], 10 * (seen - found.ages).abs().sum(1) / 100)
    assert (found.age_errors[-1] < 0.3 * found.age_errors[0]).all()
    assert (found.identities[-1] > 0.9).all()
    terms = [value for name, value in found.losses.items() if name != "total"]
    torch.testing.assert_close(found.losses["total"], torch.stack(terms).sum(0))
    assert (found.losses["total"][-1] < found.losses["total"][0]).all()


def test_a_face_is_optimised_alike_alone_and_beside_others_and_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    optimizer = PathOptimizer(Shades(), NETWORKS, PathWeights(steps=5), progress=False)
    together = optimizer.optimize(photos(), TARGETS, OWN)
    alone = optimizer.optimize(photos()[1:], TARGETS[1:], OWN[1:])
    torch.testing.assert_close(alone.codes[0], together.codes[1])
    monkeypatch.setattr("inference.path_optimizer.PIXELS_ON_CPU", 3 * 4 * 8 * 8)  # three pictures at a time
    in_parts = optimizer.optimize(photos(), TARGETS, OWN)
    torch.testing.assert_close(in_parts.codes, together.codes)
    for name, values in together.losses.items():
        torch.testing.assert_close(in_parts.losses[name], values)


@pytest.mark.usefixtures("still")
def test_the_weight_of_the_encoder_holds_the_codes() -> None:
    moved = []
    for weight in (0.0, 1000.0):
        weights = PathWeights(steps=20, w_norm_lambda=weight)
        found = PathOptimizer(Shades(), NETWORKS, weights, progress=False).optimize(photos(), TARGETS, OWN)
        moved.append(float((found.codes - found.start).norm()))
    assert moved[1] < 0.2 * moved[0]


# ---------------------------------------------------------------- files, and models that follow them


def path_of(face: Tensor, *ages: float) -> LatentPath:
    codes = torch.tensor(ages).view(-1, 1, 1).expand(-1, 2, 3) / 100
    return LatentPath(torch.tensor(ages), codes, in_small(face[None])[0])


def test_codes_lie_between_those_of_the_path_and_end_with_it() -> None:
    path = path_of(torch.zeros(3, 8, 8), 10.0, 30.0, 30.0, 70.0)
    found = path.at(torch.tensor([10.0, 15.0, 30.0, 50.0, 70.0, 0.0, 99.0]))[:, 0, 0]
    torch.testing.assert_close(found, torch.tensor([0.10, 0.15, 0.30, 0.50, 0.70, 0.10, 0.70]))
    only = path_of(torch.zeros(3, 8, 8), 40.0)
    assert torch.equal(only.at(torch.tensor([3.0])), only.codes)


def test_a_file_holds_every_face_by_rising_age(tmp_path: Path) -> None:
    ages, codes = torch.tensor([[50.0, 20.0], [1.0, 2.0]]), torch.randn(2, 2, 2, 3)
    write_path(tmp_path / "a" / "path.npz", ages, codes, photos())
    first, second = read_paths(tmp_path)
    assert first.ages.tolist() == [20.0, 50.0] and second.ages.tolist() == [1.0, 2.0]
    assert torch.equal(first.codes, codes[0].flip(0)) and torch.equal(second.codes, codes[1])
    assert (first.face - in_small(photos())[0]).abs().max() < 0.01


def test_faces_are_recognised_and_others_get_the_codes_of_the_model(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = photos() * 0.2, photos() * 0.2 + 0.5
    model = PathModel(Shades(), [path_of(first[0], 0.0, 50.0), path_of(second[0], 20.0, 50.0)], "paths")
    images = torch.stack([second[0] + 0.01, -second[0], first[0]])
    for _ in range(2):
        found = model.codes(images, [25.0, 90.0])[:, :, 0, 0]
    own = Shades().codes(images, [25.0, 90.0])[1, :, 0, 0]
    torch.testing.assert_close(found[[0, 2]], torch.tensor([[0.25, 0.5], [0.25, 0.5]]))
    torch.testing.assert_close(found[1], own)
    notes = capsys.readouterr().err
    assert notes.count("faces without a path there get the codes of the model") == 1
    assert notes.count("ages outside 20 to 50 are taken as the nearer end") == 1


def test_paths_of_another_generator_are_refused() -> None:
    wide = LatentPath(torch.tensor([1.0]), torch.zeros(1, 4, 5), torch.zeros(3, 32, 32))
    with pytest.raises(InputError, match="4 styles of 5 numbers, and the model renders 2 of 3"):
        PathModel(Shades(), [wide], "paths")


# ---------------------------------------------------------------- the commands


def optimize(folder: Path, *more: str) -> tuple[str, ...]:
    """The command on two photos, of which one has its age in its name."""
    if not (folder / "sam.pt").exists():
        save_toy(folder / "sam.pt", toy())
        for kind, sizes in (("age_classifier", {**SMALL_VGG, "num_classes": 101}), ("identity", SMALL_FACE)):
            save_checkpoint(network_file(kind, sizes), folder / f"{kind}.pt")
        make_photo(folder / "photos" / "30_1.png", 1)
        make_photo(folder / "photos" / "b.png", 2)
    networks = [f"--{name}={folder / name}.pt" for name in ("age_classifier",)]
    return (
        f"--checkpoint_path={folder / 'sam.pt'}",
        f"--data_path={folder / 'photos'}",
        f"--exp_dir={folder / 'out'}",
        "--device=cpu",
        "--test_workers=0",
        *networks,
        *more,
    )


def test_the_command_its_files_and_the_commands_that_take_them(tmp_path: Path) -> None:
    words = optimize(
        tmp_path, f"--identity_network={tmp_path / 'identity.pt'}", "--steps=3", "--target_age=20,+40"
    )
    first = commands.run("optimize_path", *words)
    assert first.returncode == 0, first.stderr
    assert "30_1.png, 30 years (file name), as the networks of the loss see it: age error" in first.stdout
    out = tmp_path / "out" / "latent_paths"
    names = {"path.npz", "strip.png", "loss.png"}
    assert files_below(out) == {f"{stem}/{name}" for stem in ("30_1", "b") for name in names}
    (path,) = read_paths(out / "30_1")
    assert path.ages.tolist() == [20.0, 30.0, 70.0]

    (out / "b" / "path.npz").unlink()
    before = (out / "30_1" / "path.npz").stat().st_mtime_ns
    again = commands.run("optimize_path", *words)
    assert again.returncode == 0 and "1 of 2 photos have results" in again.stderr
    assert (out / "b" / "path.npz").exists() and (out / "30_1" / "path.npz").stat().st_mtime_ns == before
    done = commands.run("optimize_path", *words)
    assert done.returncode == 0 and "nothing is left to do" in done.stdout

    made = commands.run("inference", *optimize(tmp_path, f"--codes={out}", "--target_age=20,70"))
    assert made.returncode == 0 and "without a path" not in made.stderr, made.stderr
    for age, code in ((20, path.codes[0]), (70, path.codes[2])):
        with torch.inference_mode():
            picture = toy().decode(code[None]).clamp(-1, 1)[0]
        expected = ((picture + 1) * 127.5).round().permute(1, 2, 0).numpy()
        result = pixels(tmp_path / "out" / "inference_results" / str(age) / "30_1.png")
        assert np.abs(result - expected).max() <= 1
    span = commands.run(
        "inference_lifespan",
        f"--model_path={tmp_path / 'sam.pt'}",
        f"--img_dir={tmp_path / 'photos'}",
        f"--output_dir={tmp_path / 'span'}",
        "--desc=x",
        "--target_age=20",
        "--device=cpu",
        "--test_workers=0",
        f"--codes={out}",
    )
    assert span.returncode == 0, span.stderr
    latent = np.load(tmp_path / "span" / "x" / "latent_30_1_20.npy", allow_pickle=False)
    np.testing.assert_allclose(latent[0], path.codes[0], atol=1e-6)


def test_codes_that_became_no_numbers_cost_their_photo_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = optimize(tmp_path, f"--identity_network={tmp_path / 'identity.pt'}", "--target_age=20")
    monkeypatch.setattr("options.path_options.FASTEST", 1e30)
    result = commands.run("optimize_path", *words, "--steps=3", "--learning_rate=1e30")
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "its codes became no numbers; give a lower --learning_rate" in result.stderr
    assert not list((tmp_path / "out").rglob("path.npz"))


def broken(folder: Path) -> dict[str, Path]:
    """Files that hold no path."""
    whole = folder / "whole" / "path.npz"
    write_path(whole, torch.tensor([[1.0]]), torch.zeros(1, 1, 8, 12), torch.zeros(1, 3, 8, 8))
    content = whole.read_bytes()
    files = {name: folder / f"{name}.npz" for name in ("cut", "text", "pickled", "nan", "apart", "falling")}
    files["cut"].write_bytes(content[: len(content) // 2])
    files["text"].write_text("no archive")
    arrays = {"ages": np.ones((1, 2), "f4"), "codes": np.zeros((1, 2, 8, 12), "f4")}
    arrays["faces"] = np.zeros((1, 3, 32, 32), "u1")
    np.savez(files["pickled"], **(arrays | {"codes": np.array([{}], dtype=object)}))
    np.savez(files["nan"], **(arrays | {"codes": arrays["codes"] + np.float32(np.nan)}))
    np.savez(files["apart"], **(arrays | {"ages": np.ones((1, 3), "f4")}))
    np.savez(files["falling"], **(arrays | {"ages": np.array([[2, 1]], "f4")}))
    return files


def test_files_that_hold_no_path_are_named(tmp_path: Path) -> None:
    for file in broken(tmp_path).values():
        with pytest.raises(InputError, match=f"{file.name} is no path of codes"):
            read_paths(file)
    with pytest.raises(InputError, match="no such file or folder"):
        read_paths(tmp_path / "absent.npz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no path.npz; optimize_path.py writes"):
        read_paths(tmp_path / "empty")


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("--refine_steps=3", "are final; leave --refine_steps out"),
        ("--exp_dir=x", "no such file or folder"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(tmp_path: Path, more: str, problem: str) -> None:
    result = commands.run("inference", *optimize(tmp_path, "--codes=absent.npz", more))
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and problem in result.stderr


def test_a_model_without_codes_has_no_path(tmp_path: Path) -> None:
    model = save_checkpoint(reaging_content(), tmp_path / "reaging.pt")
    for script, flag in (("optimize_path", "--target_age=20"), ("inference", "--codes=absent.npz")):
        words = (*optimize(tmp_path, flag), f"--checkpoint_path={model}")
        result = commands.run(script, *words)
        assert result.returncode == 2 and result.stderr.count("\n") == 1
        assert "W+ codes" in result.stderr or "without styles" in result.stderr


def test_steps_that_leave_every_face_behind_are_refused(tmp_path: Path) -> None:
    result = commands.run("optimize_path", *optimize(tmp_path, "--learning_rate=1e38"))
    assert (
        result.returncode == 2 and "--learning_rate=1e+38: the numbers of a code are about 1" in result.stderr
    )
