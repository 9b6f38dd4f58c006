"""Directed generation behind the contract: codes of any age, pairs in one file or two, what is no pair."""

from pathlib import Path
from typing import Any

import commands
import numpy as np
import pytest
import torch
from inference_toys import files_below, make_photo, pixels
from toy_networks import (
    INVERTER,
    LATENT_ENCODER,
    TINY_GENERATOR,
    directed_checkpoint,
    stylegan2_checkpoint,
    tiny_psp,
    tiny_vgg,
)

from criteria.age_feature_loss import AgeFeatureLoss
from inference.refinement import RefinedModel
from models.aging_model import load_aging_model
from models.auxiliary import AgeClassifier
from models.directed import DirectedModel, load_conditional_generator
from models.inception_resnet_v1 import InceptionResnetV1
from models.latent_encoder import LATENT_SPACES, LatentEncoder, load_facenet
from models.psp_files import psp_checkpoint
from models.stylegan2.nvidia import to_nvidia
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint, save_checkpoint

CENTRES = (10.0, 35.5, 70.5)


def directed(tmp_path: Path, latent_space: str = "w+", seed: int = 0) -> DirectedModel:
    torch.manual_seed(seed)
    model = load_aging_model(save_checkpoint(directed_checkpoint(latent_space), tmp_path / "pair.pt"))
    assert isinstance(model, DirectedModel)
    return model


def faces(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(5)) * 2 - 1


@pytest.mark.parametrize("latent_space", LATENT_SPACES)
def test_a_code_is_who_and_how_old(tmp_path: Path, latent_space: str) -> None:
    model = directed(tmp_path, latent_space)
    assert model.kind == "directed" and model.crop == "tight"
    latents = model.identity(faces())
    assert latents.shape == ((2, 6, 12) if latent_space == "w+" else (2, 12))
    codes = model.codes(faces(), CENTRES)
    assert codes.shape == (2, 3, 6, 12)
    for group in range(3):
        label = torch.eye(3)[group].expand(2, 3)
        if latent_space == "z":
            wanted = model.generator.get_latent(latents, label)[:, None].expand(-1, 6, -1)
        else:
            z = torch.randn(512, 12, generator=torch.Generator().manual_seed(0))
            mean = model.generator.get_latent(z, torch.eye(3)[group].expand(512, 3)).mean(0)
            wanted = latents + mean if latent_space == "w+" else (latents + mean)[:, None].expand(-1, 6, -1)
        assert torch.allclose(codes[:, group], wanted, atol=1e-5)
    pictures = model.age_path(faces(), CENTRES)
    assert pictures.shape == (2, 3, 3, 16, 16) and pictures.isfinite().all()
    alone = model.transform(faces()[1:], 70.5)
    assert torch.allclose(alone, pictures[1:, 2], atol=1e-4)


@pytest.mark.parametrize("latent_space", LATENT_SPACES)
def test_ages_between_two_groups_are_between_their_classes(tmp_path: Path, latent_space: str) -> None:
    model = directed(tmp_path, latent_space)
    ages = [0, 10, 10.01, 22.75, 35.4, 35.5, 70.5, 100]
    codes = model.codes(faces(1), ages)[0]
    steps = (codes[1:] - codes[:-1]).flatten(1).norm(dim=1)
    assert steps[0] == steps[-1] == 0, "beyond the outer centres nothing changes"
    assert 0 < steps[1] < 0.01 * steps[2:4].sum() and 0 < steps[4] < 0.05 * steps[2:4].sum()
    shares = torch.tensor([[0.5, 0.5, 0.0]])
    if latent_space == "z":
        middle = model.generator.get_latent(model.identity(faces(1)), shares)[0]
        assert torch.allclose(codes[3], middle.expand(6, -1), atol=1e-5)


def test_each_age_of_each_face_may_differ(tmp_path: Path) -> None:
    model = directed(tmp_path)
    grid = torch.tensor([[5.0, 60.0], [80.0, 30.0]])
    codes = model.codes(faces(), grid)
    for row in range(2):
        for column in range(2):
            alone = model.codes(faces()[row : row + 1], float(grid[row, column]))
            assert torch.allclose(codes[row, column], alone[0, 0], atol=1e-5)


def test_random_codes_show_every_group(tmp_path: Path) -> None:
    model = directed(tmp_path)
    first, again = (model.random_codes(40, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, again) and first.shape == (40, 6, 12)
    assert not torch.equal(first, model.random_codes(40, torch.Generator().manual_seed(2)))
    assert model.photo_codes(faces()).shape == (2, 6, 12)


def test_inference_commands_work_with_it(tmp_path: Path) -> None:
    torch.manual_seed(0)
    pair = save_checkpoint(directed_checkpoint(), tmp_path / "pair.pt")
    photo = make_photo(tmp_path / "photos" / "30_1.png")
    common = (f"--checkpoint_path={pair}", f"--data_path={photo.parent}", f"--exp_dir={tmp_path / 'out'}")
    result = commands.run("inference", *common, "--target_age=10,40,80", "--sweep=grid")
    assert result.returncode == 0, result.stderr
    results = tmp_path / "out" / "inference_results"
    assert files_below(results) == {"10/30_1.png", "40/30_1.png", "80/30_1.png"}
    young, old = (pixels(results / age / "30_1.png") for age in ("10", "80"))
    assert np.abs(young - old).max() > 3
    result = commands.run("style_mixing", *common, "--target_age=60", "--latent_mask=3,4")
    assert result.returncode == 0, result.stderr


def test_a_generator_and_an_encoder_of_two_files(tmp_path: Path) -> None:
    torch.manual_seed(0)
    content = directed_checkpoint()
    together = load_aging_model(save_checkpoint(content, tmp_path / "pair.pt"))
    generator = {"g_ema": content["g_ema"], "classes": content["classes"]}
    alone = save_checkpoint(generator, tmp_path / "generator.pt")
    apart = load_aging_model(alone, encoder_path=tmp_path / "pair.pt")
    assert torch.equal(together.transform(faces(), 60), apart.transform(faces(), 60))
    photo = make_photo(tmp_path / "photos" / "a.png")
    common = (f"--data_path={photo.parent}", f"--exp_dir={tmp_path / 'out'}", "--target_age=10")
    done = commands.run(
        "inference", f"--checkpoint_path={alone}", f"--encoder_path={tmp_path / 'pair.pt'}", *common
    )
    assert done.returncode == 0, done.stderr
    sam = save_checkpoint(psp_checkpoint(tiny_psp()), tmp_path / "sam.pt")
    psp = save_checkpoint(psp_checkpoint(tiny_psp(**INVERTER)), tmp_path / "psp.pt")
    for checkpoint, encoder, words in (
        (alone, None, ["generator.pt", "StyleGAN2 checkpoint"]),
        (sam, tmp_path / "pair.pt", ["--encoder_path", "SAM checkpoint"]),
        (alone, psp, ["--encoder_path", "pSp checkpoint"]),
    ):
        more = [] if encoder is None else [f"--encoder_path={encoder}"]
        refused = commands.run("inference", f"--checkpoint_path={checkpoint}", *more, *common)
        assert refused.returncode == 2 and len(refused.stderr.strip().splitlines()) == 1
        assert all(word in refused.stderr for word in words), refused.stderr


def changed(content: dict[str, Any], **entries: Any) -> dict[str, Any]:
    return {name: value for name, value in {**content, **entries}.items() if value is not None}


def test_what_is_no_pair(tmp_path: Path) -> None:
    torch.manual_seed(0)
    content = directed_checkpoint()
    encoder = content["encoder"]
    four = directed_checkpoint(groups="0-9,10-19,20-29,30-39")
    longer = {**LATENT_ENCODER, "latent_space": "w", "style_dim": 24}
    other = {"architecture": longer, "state_dict": LatentEncoder(**longer).state_dict()}
    cases = [
        (changed(content, encoder=None), "holds no encoder"),
        (changed(content, classes=None), "does not say which ages"),
        (changed(content, classes=four["classes"]), "4 age groups for a network of 3 classes"),
        (changed(content, classes={"age_groups": "0-10;5"}), "no age group"),
        (changed(content, crop="passport"), "cut as 'passport'"),
        (changed(content, encoder=other), "latents"),
        (changed(content, encoder={**encoder, "architecture": {"latent_space": "v"}}), "pair.pt"),
        (changed(content, g_ema=stylegan2_checkpoint(0, TINY_GENERATOR)["g_ema"]), "unconditional"),
    ]
    for wrong, words in cases:
        path = save_checkpoint(wrong, tmp_path / "pair.pt")
        with pytest.raises(InputError) as caught:
            load_aging_model(path)
        assert words in str(caught.value) and "pair.pt" in str(caught.value), caught.value


def test_the_official_encoder_has_its_faults(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = LatentEncoder("z", 10, 512, official=True, input_size=80).eval()
    facenet = InceptionResnetV1(num_classes=7, input_size=80).eval()
    load_facenet(encoder, {"state_dict": facenet.state_dict()}, "facenet.pt")
    images = torch.rand(2, 3, 80, 80) * 2 - 1
    with torch.no_grad():
        latents = encoder(images)
        assert torch.allclose(latents.norm(dim=1), torch.ones(2), atol=1e-5)
        assert torch.allclose(latents, facenet((images - 127.5) / 128), atol=1e-6)
    with pytest.raises(ValueError, match="official"):
        LatentEncoder("w", 10, 512, official=True)
    with pytest.raises(InputError, match="encoder_width"):
        load_facenet(LatentEncoder(latent_space="w", **LATENT_ENCODER), {}, "facenet.pt")


def test_a_corrected_encoder_starts_from_facenet_too() -> None:
    torch.manual_seed(0)
    encoder = LatentEncoder("w+", 10, 16, input_size=80)
    facenet = InceptionResnetV1(num_classes=7, input_size=80)
    load_facenet(encoder, {"state_dict": facenet.state_dict()}, "facenet.pt")
    assert torch.equal(encoder.backbone.repeat_2[3].conv2d.weight, facenet.repeat_2[3].conv2d.weight)
    with torch.no_grad():
        assert encoder.eval()(torch.zeros(1, 3, 64, 64)).shape == (1, 10, 16)


def test_the_styles_are_those_of_the_generator() -> None:
    assert LATENT_ENCODER["n_styles"] == TINY_GENERATOR.n_styles == 6


def test_refined_codes_look_more_like_the_photo_at_every_age(tmp_path: Path) -> None:
    model = directed(tmp_path)
    classifier = AgeClassifier(tiny_vgg())
    images = model.age_path(faces(), [20.0])[:, 0].clamp(-1, 1)  # within the generator's reach
    images = images + 0.2 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    refined = RefinedModel(
        model, 60, lambda images: torch.full((len(images),), 20.0), AgeFeatureLoss(classifier), progress=False
    )
    with torch.inference_mode():
        before, after = (each.transform(images, 20.0) for each in (model, refined))
        errors = [(made - images).square().mean((1, 2, 3)) for made in (before, after)]
        assert (errors[1] < 0.6 * errors[0]).all()
        offset = refined.codes(images, [20.0, 60.0]) - model.codes(images, [20.0, 60.0])
        assert torch.allclose(offset[:, 0], offset[:, 1], atol=1e-6), "the ageing stays what it is"
        alone = refined.offsets(images[1:])
        assert torch.allclose(alone[0], offset[1, 0], atol=1e-3 * float(alone.abs().max()))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_refining_by_command(tmp_path: Path) -> None:
    torch.manual_seed(0)
    pair = save_checkpoint(directed_checkpoint(), tmp_path / "pair.pt")
    photo = make_photo(tmp_path / "photos" / "30_1.png", size=16)
    results = []
    for steps in (0, 25):
        out = tmp_path / str(steps)
        done = commands.run(
            "inference",
            f"--checkpoint_path={pair}",
            f"--data_path={photo.parent}",
            f"--exp_dir={out}",
            "--target_age=30",
            f"--refine_steps={steps}",
        )
        assert done.returncode == 0, done.stderr
        results.append(pixels(out / "inference_results" / "30" / "30_1.png"))
    errors = [np.abs(result - pixels(photo)).mean() for result in results]
    assert errors[1] < errors[0]


def test_age_groups_are_noted_in_a_converted_file(tmp_path: Path) -> None:
    """A file of NVIDIA's code says how many classes there are, but not what they are."""
    generator = {
        name: value for name, value in stylegan2_checkpoint(3, TINY_GENERATOR).items() if name != "g"
    }
    foreign = save_checkpoint(to_nvidia(generator, "x"), tmp_path / "nvidia.pt")
    noted = tmp_path / "noted.pt"
    done = commands.run("convert_weights", str(foreign), str(noted), "--age_groups=0-20,21-50,51-90")
    assert done.returncode == 0, done.stderr
    content = load_checkpoint(noted)
    assert str(load_conditional_generator(content, "x")[1]) == "0-20,21-50,51-90"
    again = tmp_path / "again.pt"
    assert commands.run("convert_weights", str(noted), str(again)).returncode == 0
    assert load_checkpoint(again)["classes"] == content["classes"]
    for groups, words in (("0-20,21-50", "2 age groups for a network of 3"), ("0-20;5", "no age group")):
        wrong = commands.run(
            "convert_weights", str(foreign), str(tmp_path / "c.pt"), f"--age_groups={groups}"
        )
        assert wrong.returncode == 2 and words in wrong.stderr and not (tmp_path / "c.pt").exists()
