"""Re-Aging GAN: its parts by value, and the model behind the contract."""

import math
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from inference_toys import files_below, make_photo, pixels
from PIL import Image
from skimage.data import astronaut
from torch import Tensor
from toy_networks import TINY_REAGING, reaging_content

from models.aging_model import load_aging_model
from models.reaging_gan.age_code import age_code
from models.reaging_gan.aging import ReAgingModel
from models.reaging_gan.blocks import AdaptiveInstanceNorm2d, ConditionalBatchNorm2d, ResidualBlock
from models.reaging_gan.discriminator import BranchedDiscriminator
from models.reaging_gan.generator import ReAgingGenerator
from utils.errors import InputError
from utils.faces.alignment import CROPS, detect_faces, face_square
from utils.files.checkpoints import load_checkpoint, save_checkpoint

CENTRES = (10.0, 35.5, 70.5)


def faces(count: int = 2, size: int = 16) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(5)) * 2 - 1


def tiny(classes: int = 3) -> ReAgingGenerator:
    return ReAgingGenerator(classes=classes, **TINY_REAGING)


def model(tmp_path: Path, **more: Any) -> ReAgingModel:
    loaded = load_aging_model(save_checkpoint(reaging_content(**more), tmp_path / "reaging.pt"))
    assert isinstance(loaded, ReAgingModel)
    return loaded


# ---------------------------------------------------------------- age code


def test_age_code_is_the_indicator_of_the_class() -> None:
    code = age_code(torch.tensor([[0.0, 1.0], [0.25, 0.75]]))
    assert code.shape == (2, 100)
    assert code[0].tolist() == [0.0] * 50 + [1.0] * 50
    assert code[1].tolist() == [0.25] * 50 + [0.75] * 50


def test_age_code_has_the_noise_of_the_paper() -> None:
    shares = torch.eye(4).repeat(500, 1)
    noise = torch.randn(2000, 200, generator=torch.Generator().manual_seed(0))
    rest = age_code(shares, noise) - age_code(shares)
    assert abs(float(rest.mean())) < 2e-3 and abs(float(rest.std()) - 0.2) < 1e-3


# ---------------------------------------------------------------- norms and blocks


def test_conditional_batch_norm_by_hand() -> None:
    """Values 1, 3, 5, 7: mean 4, variance 5; the condition is the class, the scale 1 + s, the shift t."""
    norm = ConditionalBatchNorm2d(1, 2)
    with torch.no_grad():
        norm.affine.weight.copy_(torch.tensor([[1.0, -0.5], [10.0, 20.0]]))
    x, classes = torch.tensor([1.0, 3.0, 5.0, 7.0]).view(2, 1, 1, 2), torch.eye(2)
    whitened = [value / math.sqrt(5) for value in (-3, -1, 1, 3)]
    expected = [2 * whitened[0] + 10, 2 * whitened[1] + 10, 0.5 * whitened[2] + 20, 0.5 * whitened[3] + 20]
    assert norm(x, classes).flatten().tolist() == pytest.approx(expected, abs=1e-4)
    # a tenth of the way to the batch's mean 4 and unbiased variance 20 / 3
    norm.eval()
    running = (x.flatten() - 0.4) / math.sqrt(0.9 + 2 / 3)
    expected = [2 * running[0] + 10, 2 * running[1] + 10, 0.5 * running[2] + 20, 0.5 * running[3] + 20]
    assert norm(x, classes).flatten().tolist() == pytest.approx([float(v) for v in expected], abs=1e-4)


def test_adaptive_instance_norm_by_hand() -> None:
    """Each picture and channel by its own mean and variance, in training and afterwards."""
    norm = AdaptiveInstanceNorm2d(1, 1)
    with torch.no_grad():
        norm.affine.weight.copy_(torch.tensor([[2.0], [5.0]]))
        norm.affine.bias.copy_(torch.tensor([0.0, 1.0]))
    x = torch.tensor([[1.0, 3.0], [10.0, 50.0]]).view(2, 1, 1, 2)
    styles = torch.tensor([[1.0], [-1.0]])
    expected = [6 - 3, 6 + 3, -4 + 1, -4 - 1]  # (1 + 2 style) whitened + 5 style + 1
    for network in (norm, norm.eval()):
        assert network(x, styles).flatten().tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("resample", ["down", "up", None])
def test_residual_block_without_a_residual_is_its_skip(resample: Any) -> None:
    block = ResidualBlock(2, 2, resample=resample)
    torch.nn.init.zeros_(block.conv2.weight)
    x = torch.randn(1, 2, 4, 4)
    resized = {"down": F.avg_pool2d(x, 2), "up": x.repeat_interleave(2, 2).repeat_interleave(2, 3), None: x}
    torch.testing.assert_close(block(x), resized[resample] / math.sqrt(2))


def test_residual_block_adds_what_its_convolutions_make() -> None:
    block = ResidualBlock(1, 2, resample="down")
    with torch.no_grad():
        for layer in (block.conv1, block.conv2):
            layer.weight.zero_()
            layer.weight[:, :, 1, 1] = 3.0
        block.skip.weight.fill_(1.0)
    x = torch.tensor([[1.0, 3.0], [-5.0, 5.0]]).view(1, 1, 2, 2)
    inner = 3 * (1 + 3 - 1 + 5) / 4  # leaky ReLU makes -1 of -5
    expected = (1.0 + 3 * inner) / math.sqrt(2)  # the mean of the picture is 1
    assert block(x).flatten().tolist() == pytest.approx([expected, expected])


# ---------------------------------------------------------------- networks


@pytest.mark.parametrize(("size", "side"), [(64, 16), (256, 64), (512, 64)])
def test_sizes(size: int, side: int) -> None:
    with torch.device("meta"):
        generator = ReAgingGenerator(size, 10)
        discriminator = BranchedDiscriminator(size, 10)
        images, codes = torch.empty(2, 3, size, size), torch.empty(2, 500)
        identity = generator.identity_encoder(images)
        assert identity.shape == (2, 64 * size // side, side, side)
        assert generator.age_modulator(identity, codes).shape == (2, 256)
        assert generator(images, codes).shape == images.shape
        assert discriminator.every_branch(images).shape == (2, 10)


@pytest.mark.parametrize("sizes", [{"size": 48}, {"size": 8}, {"size": 2048}, {"classes": 0}])
def test_sizes_that_make_no_network(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"power of two|must be"):
        ReAgingGenerator(**{**TINY_REAGING, "classes": 3, **sizes})


def test_f_aw_depends_on_age_and_identity_together() -> None:
    """The point of the paper: what an age does is not the same for everybody."""
    generator = tiny().eval()
    identity = generator.identity_encoder(faces(2)).detach()
    young, old = (
        generator.age_modulator(identity, age_code(torch.eye(3)[[label, label]])).detach() for label in (0, 2)
    )
    scale = float(young.std())
    assert float((young[0] - young[1]).abs().max()) > 0.05 * scale, "two faces at one age"
    assert float((young - old).abs().max()) > 0.05 * scale, "one face at two ages"
    change = old - young
    assert float((change[0] - change[1]).abs().max()) > 0.02 * scale, "the way from age to age"


def test_batch_statistics_in_training_only() -> None:
    generator, codes = tiny(), age_code(torch.eye(3))
    images = faces(3)
    batch, alone = generator(images, codes)[0], generator(images[:1], codes[:1])[0]
    assert not torch.allclose(batch, alone, atol=1e-4)
    generator.eval()
    batch, alone = generator(images, codes)[0], generator(images[:1], codes[:1])[0]
    torch.testing.assert_close(batch, alone, atol=1e-4, rtol=1e-4)


def test_every_class_has_a_branch_of_its_own() -> None:
    discriminator, images = BranchedDiscriminator(16, 3, 4), faces(2)
    every = discriminator.every_branch(images)
    logits = discriminator(images, torch.eye(3)[[2, 0]])
    assert torch.equal(logits[:, 0], torch.stack([every[0, 2], every[1, 0]]))
    logits.sum().backward()
    touched = discriminator.branches.weight.grad.abs().sum(1)
    assert touched[1] == 0 and (touched[[0, 2]] > 0).all()


# ---------------------------------------------------------------- the model


def test_it_ages_faces_by_its_contract(tmp_path: Path) -> None:
    ours = model(tmp_path, masked=False)
    assert (ours.kind, ours.crop, ours.input_size, ours.output_size) == ("reaging_gan", "tight", 16, 16)
    path = ours.age_path(faces(), CENTRES)
    assert path.shape == (2, 3, 3, 16, 16)
    for group in range(3):
        code = age_code(torch.eye(3)[[group]]).expand(2, -1)
        torch.testing.assert_close(path[:, group], ours.generator(faces(), code))
    torch.testing.assert_close(ours.transform(faces()[1:], 70.5), path[1:, 2])
    grid = ours.age_path(faces(), torch.tensor([[10.0, 70.5], [35.5, 35.5]]))
    torch.testing.assert_close(grid[0], path[0, [0, 2]])
    torch.testing.assert_close(grid[1, 0], path[1, 1])
    large = faces(1, 32)
    assert ours.age_path(large, 20).shape == (1, 1, 3, 16, 16)


def test_ages_between_two_centres_share_their_codes(tmp_path: Path) -> None:
    ours = model(tmp_path, masked=False)
    codes = ours.codes(torch.tensor([0.0, 10.0, 22.75, 35.5, 100.0]))
    assert torch.equal(codes[0], codes[1]) and codes[4].tolist() == [0.0] * 100 + [1.0] * 50
    torch.testing.assert_close(codes[2], (codes[1] + codes[3]) / 2)
    path = ours.age_path(faces(1), [10.0, 10.1, 35.5])[0]
    assert 0 < float((path[1] - path[0]).abs().max()) < 0.05 * float((path[2] - path[0]).abs().max()) + 0.05


def test_the_background_stays_to_the_bit(tmp_path: Path) -> None:
    ours = model(tmp_path, size=32)
    assert ours.masks is not None
    images = faces(2, 32)
    masks = ours.masks(images, 32)
    outside, inside = (masks == 0).expand(-1, 3, -1, -1), (masks == 1).expand(-1, 3, -1, -1)
    assert outside.any() and inside.any()
    for aged in ours.age_path(images, [0.0, 50.0, 90.0]).unbind(1):
        assert torch.equal(aged[outside], images[outside])
        assert float((aged - images)[inside].abs().min(0).values) > 0
    pure = ReAgingModel(ours.generator, ours.groups, "tight", masked=False)
    alone = pure.transform(torch.where(masks > 0, images, 0), 50.0)
    assert torch.equal(ours.transform(images, 50.0)[inside], alone[inside]), "it sees the face alone"


def test_without_dlib_an_oval_is_the_mask_and_one_note_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> Any:
        raise InputError("face alignment needs dlib; run: pip install dlib-bin")

    monkeypatch.setattr("utils.faces.alignment.dlib_module", missing)
    ours = model(tmp_path)
    first, second = ours.transform(faces(), 20), ours.transform(faces(), 20)
    assert torch.equal(first, second) and torch.equal(first[:, :, -1, 0], faces()[:, :, -1, 0])
    said = capsys.readouterr().err
    assert said.count("masked by an oval") == 1 and "dlib-bin" in said


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"architecture": {**TINY_REAGING, "classes": 3, "size": 48}}, "48 is not a power of two"),
        ({"architecture": {**TINY_REAGING, "classes": 4}}, "does not fit"),
        ({"classes": {"age_groups": "0-50,51-100"}}, "2 age groups for a generator of 3 classes"),
        ({"classes": {"age_groups": "young"}}, "'young' is no age group"),
        ({"classes": {}}, "age_groups"),
        ({"masked": "yes"}, "another file"),
        ({"crop": "square"}, "cut as 'square'"),
        ({"state_dict": {}}, "holds no weights"),
    ],
    ids=lambda item: str(item)[:40],
)
def test_files_that_do_not_fit(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = save_checkpoint({**reaging_content(), **change}, tmp_path / "odd.pt")
    with pytest.raises(InputError, match=words) as caught:
        load_aging_model(path)
    assert "odd.pt" in str(caught.value)


# ---------------------------------------------------------------- the commands


def test_commands_work_with_it(tmp_path: Path) -> None:
    path = save_checkpoint(reaging_content(), tmp_path / "reaging.pt")
    photo = make_photo(tmp_path / "photos" / "30_1.png")
    make_photo(tmp_path / "photos" / "50_2.png", 2)
    common = (f"--checkpoint_path={path}", f"--data_path={photo.parent}", f"--exp_dir={tmp_path / 'out'}")
    result = commands.run("inference", *common, "--target_age=10,80", "--sweep=grid")
    assert result.returncode == 0, result.stderr
    assert files_below(tmp_path / "out" / "inference_results") >= {"10/30_1.png", "80/50_2.png"}
    result = commands.run("style_mixing", *common, "--target_age=60", "--latent_mask=1")
    assert result.returncode == 2 and "is a model without styles" in result.stderr
    result = commands.run("evaluate", *common, "--target_age=20,60", "--device=cpu")
    assert result.returncode == 0, result.stderr


def test_faces_go_back_into_whole_photos(tmp_path: Path) -> None:
    path = save_checkpoint(reaging_content(), tmp_path / "reaging.pt")
    (tmp_path / "photos").mkdir()
    Image.fromarray(astronaut()).save(tmp_path / "photos" / "a.png")
    common = (f"--checkpoint_path={path}", f"--data_path={tmp_path / 'photos'}", f"--exp_dir={tmp_path}")
    result = commands.run("inference", *common, "--align", "--target_age=70")
    assert result.returncode == 0, result.stderr
    change = np.abs(pixels(tmp_path / "inference_results" / "70" / "a.png") - astronaut().astype(int)).sum(2)
    assert change[120, 225] > 0 and not change[300:].any()
    square = face_square(detect_faces(astronaut())[0].landmarks, CROPS["tight"].s, CROPS["tight"].k)
    (left, top), (right, bottom) = np.rint(square.min(0)).astype(int), np.rint(square.max(0)).astype(int)
    inside = change[top:bottom, left:right]
    assert not inside[-20:, :10].any() and not inside[-20:, -10:].any(), "the hair beside the chin"


def test_a_content_survives_its_file(tmp_path: Path) -> None:
    content = reaging_content()
    again = load_checkpoint(save_checkpoint(content, tmp_path / "reaging.safetensors"))
    assert again["kind"] == "reaging_gan" and again["masked"] is True
    loaded = load_aging_model(tmp_path / "reaging.safetensors")
    generator = tiny().eval()
    generator.load_state_dict(content["state_dict"])
    code = age_code(torch.eye(3)[[1]])
    torch.testing.assert_close(loaded.generator(faces(1), code), generator(faces(1), code))
