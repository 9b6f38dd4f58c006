"""The projector: its formulas by hand, photos found again, the class of each, files, and bad input."""

from collections.abc import Sequence
from pathlib import Path

import commands
import numpy as np
import pytest
import torch
from inference_toys import files_below, make_photo, pixels
from PIL import Image
from toy_networks import (
    SMALL_VGG,
    TINY_GENERATOR,
    directed_checkpoint,
    network_file,
    stylegan2_checkpoint,
)

from criteria.perceptual_loss import PerceptualLoss
from inference.projection import group_of
from inference.projector import Projector, irregularity, learning_rate_share, normalise
from models.generator_files import load_face_generator
from models.stylegan2.model import Generator, StyleGAN2Config
from options.projection_options import parse_projection_options
from utils.age_groups import parse_age_groups
from utils.errors import InputError
from utils.files.checkpoints import save_checkpoint
from utils.pictures import animation

GROUPS = "0-20,21-50,51-90"


def write_generator(folder: Path, c_dim: int = 0, groups: str | None = None) -> Path:
    """A file of a toy generator of 16 pixels."""
    torch.manual_seed(0)
    content = {"g_ema": stylegan2_checkpoint(c_dim, TINY_GENERATOR)["g_ema"]}
    if groups:
        content["classes"] = {"age_groups": groups}
    return save_checkpoint(content, folder / "generator.pt")


class Pixels(PerceptualLoss):
    """Squared difference of pixels."""

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [images]

    def distance(self, first: Sequence[torch.Tensor], second: Sequence[torch.Tensor]) -> torch.Tensor:
        return squared(first[0], second[0])


def squared(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return (first - second).square().mean((1, 2, 3))


def projector(path: Path, steps: int) -> Projector:
    """A generator of pictures within [-1, 1] on which noise has little influence."""
    generator = load_face_generator(path).network
    for name, parameter in generator.named_parameters():
        if name.endswith("noise.weight"):
            parameter.mul_(0.02)
        if name.startswith("to_rgb"):
            parameter.mul_(0.1)
    return Projector(generator, Pixels(), steps, progress=False)


def sees(generator: Generator, seed: int, labels: torch.Tensor | None = None) -> torch.Tensor:
    """Pictures (2, 3, 16, 16) of random latents."""
    z = torch.randn(2, generator.style_dim, generator=torch.Generator().manual_seed(seed))
    return generator([z], labels=labels, randomize_noise=False)[0].clamp(-1, 1)


# ---------------------------------------------------------------- formulas


def test_learning_rate_rises_for_a_twentieth_and_falls_for_a_quarter() -> None:
    shares = [learning_rate_share(share) for share in (0, 0.025, 0.05, 0.5, 0.75, 0.875, 1)]
    assert shares == pytest.approx([0, 0.5, 1, 1, 1, 0.5, 0])


def test_irregularity_is_the_squared_correlation_of_neighbours() -> None:
    stripes = torch.tensor([1.0, -1.0]).repeat(4).expand(1, 1, 8, 8)  # along a row -1, along a column 1
    assert irregularity(stripes).tolist() == [2.0]
    wide = stripes.repeat_interleave(2, 2).repeat_interleave(2, 3)  # 16 pixels: once more, averaged to 8
    # Along a row half of the neighbours agree and half do not; along a column all agree.
    assert irregularity(wide).tolist() == [0 + 1 + 2]
    white = torch.randn(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    assert irregularity(white).shape == (3,) and float(irregularity(white).max()) < 0.05


def test_noise_is_brought_to_mean_0_and_variance_1_for_each_photo() -> None:
    plane = 3 + 2 * torch.randn(2, 1, 8, 8)
    normalise(plane)
    torch.testing.assert_close(plane.mean((1, 2, 3)), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(plane.square().mean((1, 2, 3)), torch.ones(2))


# ---------------------------------------------------------------- what is found


@pytest.mark.parametrize("c_dim", [0, 3])
def test_a_picture_of_the_generator_is_found_again(tmp_path: Path, c_dim: int) -> None:
    found = projector(write_generator(tmp_path, c_dim), 40)
    classes = [2, 0] if c_dim else None
    labels = torch.eye(3)[classes] if c_dim else None
    photos = sees(found.generator, 5, labels)
    result = found.project(photos, classes)
    assert result.path.shape == (40, 2, 12) and torch.equal(result.codes, result.path[-1])
    start = squared(found.render(found._start(2, classes)[0], result.noise), photos)
    end = squared(found.render(result.codes, result.noise), photos)
    assert (end < 0.2 * start).all()
    assert end.tolist() == pytest.approx(result.distances.tolist(), rel=0.2)
    for plane in result.noise:
        torch.testing.assert_close(plane.square().mean((1, 2, 3)), torch.ones(2))


def test_a_photo_is_projected_alike_alone_and_beside_others(tmp_path: Path) -> None:
    found = projector(write_generator(tmp_path, 3), 3)
    photos = sees(found.generator, 5, torch.eye(3)[[1, 2]])
    together, alone = found.project(photos, [1, 2]), found.project(photos[1:], [2])
    torch.testing.assert_close(alone.path[:, 0], together.path[:, 1], rtol=1e-3, atol=1e-4)
    again = found.project(photos[1:], [2])
    assert torch.equal(again.path, alone.path)


def test_the_start_is_the_mean_of_the_class(tmp_path: Path) -> None:
    found = projector(write_generator(tmp_path, 3), 1)
    mean, spread = found._start(2, [1, 2])
    torch.testing.assert_close(mean, found.class_means()[[1, 2]])
    assert spread.shape == (2, 1) and (spread > 0).all()
    z = torch.randn(20_000, 12, generator=torch.Generator().manual_seed(9))
    w = found.generator.get_latent(z, torch.eye(3)[1].expand(20_000, -1))
    torch.testing.assert_close(mean[0], w.mean(0), atol=0.05, rtol=0)
    deviation = (w - w.mean(0)).square().sum(1).mean().sqrt()
    assert float(spread[0]) == pytest.approx(float(deviation), rel=0.05)


def test_an_age_between_two_groups_belongs_to_the_nearer() -> None:
    groups = parse_age_groups("0-20,31-40,61-90")
    assert [group_of(years, groups) for years in (0, 20.9, 22, 30, 40, 59, 99)] == [0, 0, 0, 1, 1, 2, 2]


# ---------------------------------------------------------------- the command


def command(folder: Path, generator: Path, photos: Path, *more: str) -> tuple[str, ...]:
    classifier = save_checkpoint(
        network_file("age_classifier", {**SMALL_VGG, "num_classes": 101}), folder / "age.pt"
    )
    own = (
        f"--age_classifier={classifier}",
        "--device=cpu",
        "--num-steps=2",
        "--save-video=0",
        "--perceptual=dex",
    )
    return (f"--network={generator}", f"--target={photos}", f"--outdir={folder / 'out'}", *own, *more)


def test_one_photo_with_the_flags_of_nvidia(tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "photo.png", size=16)
    result = commands.run("project", *command(tmp_path, write_generator(tmp_path), photo))
    assert result.returncode == 0, result.stderr
    assert "perceptual distance: dex" in result.stdout and "photo.png: distance 0." in result.stdout
    out = tmp_path / "out"
    assert files_below(out) == {"target.png", "proj.png", "projected_w.npz"}
    assert np.abs(pixels(out / "target.png") - pixels(photo)).max() <= 1
    with np.load(out / "projected_w.npz", allow_pickle=False) as content:
        w = content["w"]
    assert w.shape == (1, 6, 12) and w.dtype == np.float32 and (w == w[:, :1]).all()


def test_photos_of_known_age_in_a_conditional_generator_and_once_more(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for index, name in enumerate(("70_1.png", "30_1.png", "30_1.jpg")):
        make_photo(photos / name, index, size=16)
    pair = save_checkpoint(directed_checkpoint(groups=GROUPS), tmp_path / "pair.pt")
    first = commands.run("project", *command(tmp_path, pair, photos, "--test_batch_size=2"))
    assert first.returncode == 0, first.stderr
    assert "age group 51-90 (70 years by file name)" in first.stdout
    out = tmp_path / "out"
    names = {"target.png", "proj.png", "ages.png", "projected_w.npz"}
    assert files_below(out) == {
        f"{stem}/{name}" for stem in ("70_1", "30_1_png", "30_1_jpg") for name in names
    }
    # photo, projection, three groups
    assert Image.open(out / "70_1" / "ages.png").width == 5 * 16 + 4 * 2
    (out / "70_1" / "proj.png").unlink()
    (out / "30_1_png" / "projected_w.npz").unlink()
    second = commands.run("project", *command(tmp_path, pair, photos, "--input_age=10"))
    assert second.returncode == 0 and "2 of 3 photos have results" in second.stderr
    assert (
        "30_1.png: distance" in second.stdout and "age group 0-20 (10 years by --input_age)" in second.stdout
    )
    assert not (out / "70_1" / "proj.png").exists() and (out / "30_1_png" / "projected_w.npz").exists()
    third = commands.run("project", *command(tmp_path, pair, photos))
    assert third.returncode == 0 and "distance 0" not in third.stdout


def test_a_film_shows_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: dict[str, object] = {}

    def write(frames: object, path: Path) -> None:
        assert isinstance(frames, animation.Sequence)
        written[path.name] = [frame.size for frame in frames]

    monkeypatch.setattr("inference.projection.write_mp4", write)
    monkeypatch.setattr("options.projection_options.has_video_writer", lambda: True)
    monkeypatch.setattr("options.projection_options.require_video_writer", lambda _: None)
    photo = make_photo(tmp_path / "photo.png", size=16)
    words = command(tmp_path, write_generator(tmp_path), photo, "--save-video=true", "--num-steps=3")
    result = commands.run("project", *words)
    assert result.returncode == 0, result.stderr
    assert written == {"proj.mp4": [(32, 16)] * 3}


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("--checkpoint_path=a.pt", "--network and --checkpoint_path are two names of one thing"),
        ("--save-video=maybe", "'maybe' is neither true nor false"),
        ("--age_groups=20-10", "--age_groups: age group 20-10: give the younger year first"),
        ("--num-steps=0", "0 is less than 1"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(tmp_path: Path, more: str, problem: str) -> None:
    result = commands.run("project", *command(tmp_path, Path("g.pt"), Path("a.png")), more)
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and problem in result.stderr


def test_a_film_needs_its_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.pictures.animation.has_video_writer", lambda: False)
    with pytest.raises(InputError, match="pip install imageio-ffmpeg .or choose --save-video=false"):
        parse_projection_options(["--network=a", "--target=b", "--outdir=c", "--save-video=1"])


def test_wrong_files_are_one_sentence(tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "photo.png", size=16)
    unnamed = write_generator(tmp_path, c_dim=3)
    result = commands.run("project", *command(tmp_path, unnamed, photo))
    assert result.returncode == 2 and "does not say which ages its 3 classes have" in result.stderr
    result = commands.run("project", *command(tmp_path, unnamed, photo, f"--age_groups={GROUPS},91-99"))
    assert result.returncode == 2 and "has 3 classes, and there are 4 age groups" in result.stderr
    result = commands.run(
        "project", *command(tmp_path, unnamed, photo, f"--age_groups={GROUPS}", "--input_age=30")
    )
    assert result.returncode == 0, result.stderr
    result = commands.run("project", *command(tmp_path, tmp_path / "age.pt", photo))
    assert result.returncode == 2 and "is an age classifier, not a StyleGAN2" in result.stderr
    (tmp_path / "out" / "projected_w.npz").unlink()
    target = tmp_path / "out" / "target.png"
    result = commands.run("project", *command(tmp_path, unnamed, target, f"--age_groups={GROUPS}"))
    assert result.returncode == 2 and "would be overwritten" in result.stderr


def test_generators_of_ffhq_size_are_cut_as_ffhq(tmp_path: Path) -> None:
    config = StyleGAN2Config(256, 8, 1, channels={4 << level: 2 for level in range(7)})
    path = save_checkpoint({"g_ema": Generator.from_config(config).state_dict()}, tmp_path / "large.pt")
    assert load_face_generator(path).crop == "ffhq"
    assert load_face_generator(write_generator(tmp_path)).crop == "tight"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_projects_as_the_cpu_does(tmp_path: Path) -> None:
    found = projector(write_generator(tmp_path, 3), 3)
    photos = sees(found.generator, 5, torch.eye(3)[[1, 2]])
    expected = found.project(photos, [1, 2])
    other = Projector(found.generator.to("cuda"), Pixels(), 3, progress=False).project(photos, [1, 2])
    torch.testing.assert_close(other.path, expected.path, rtol=1e-2, atol=1e-2)
