"""Conditional StyleGAN2 and its encoder: classes, balance, transfer, frozen layers, pairs, and the files."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import training_toys as toys
from PIL import Image
from toy_networks import TAPERED_GENERATOR, TINY_GENERATOR, stylegan2_checkpoint

from models.directed import load_conditional_generator
from models.stylegan2.layout import official_content
from models.stylegan2.model import Discriminator, Generator
from models.stylegan2.nvidia import from_nvidia, to_nvidia
from models.stylegan2.transfer import transfer
from training.averaging import average_decay
from training.class_conditions import ClassConditions
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint, save_checkpoint

GROUPS = f"--age_groups={toys.AGE_GROUPS}"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    return toys.make_files(tmp_path_factory.mktemp("files"))


def train(files: SimpleNamespace, run: Path, *more: str) -> dict:
    toys.train(toys.arguments("stylegan2", files, run, "--max_steps=2", *more))
    return load_checkpoint(run / "checkpoints" / "iteration_2.pt")


def test_classes_by_the_ages_in_names(files: SimpleNamespace, tmp_path: Path) -> None:
    more = ("--n_samples=6", "--image_interval=2", "--aug=fixed", "--p=0.5", "--augpipe=bgcfnc")
    content = train(files, tmp_path, GROUPS, *more)
    generator, groups = load_conditional_generator(content, "x")
    assert generator.c_dim == 2 and str(groups) == toys.AGE_GROUPS
    assert content["classes"]["names"] == ["0-39", "40-100"]
    (sheet,) = tmp_path.rglob("samples_0000002.jpg")
    width, height = Image.open(sheet).size
    assert width > height, "three latents beside each other, two classes below each other"
    assert 0.4 < toys.scalars(tmp_path, "train/augment_p")[-1] < 0.6


def test_classes_of_a_label_file(files: SimpleNamespace, tmp_path: Path) -> None:
    faces = toys.make_faces(tmp_path / "faces")
    names = sorted(path.name for path in faces.iterdir())
    labels = [[name, number % 3] for number, name in enumerate(names)]
    (faces / "dataset.json").write_text(json.dumps({"labels": labels}))
    content = train(files, tmp_path / "run", "--cond", f"--train_dataset={faces}", "--features_lambda=0.1")
    assert content["g_ema"]["embed.weight"].shape == (12, 3)
    assert "age_groups" not in content["classes"]
    with pytest.raises(InputError, match="which ages its 3 classes have"):
        load_conditional_generator(content, "x")
    refused = toys.arguments("stylegan2", files, tmp_path / "other", "--cond", "--max_steps=1")
    with pytest.raises(InputError, match=r"dataset\.json"):
        toys.train(refused)


def test_classes_have_one_source(files: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="choose one"):
        toys.coach(toys.arguments("stylegan2", files, tmp_path, GROUPS, "--cond"))
    coach = toys.coach(toys.arguments("stylegan2", files, tmp_path, GROUPS, "--age_groups="))
    assert coach.classes is None
    coach.run.close()


def test_a_group_without_pictures_is_named(files: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="90-99"):
        toys.train(toys.arguments("stylegan2", files, tmp_path, "--age_groups=0-39,40-89,90-99"))


def test_an_unconditional_pair_becomes_conditional(files: SimpleNamespace, tmp_path: Path) -> None:
    """What it did to z it still does where the class says nothing."""
    start = load_checkpoint(files.stylegan2)
    config = replace(TINY_GENERATOR, c_dim=2)
    network = Generator.from_config(config)
    stayed = transfer(network, config, start, "g_ema", "start.pt")
    assert stayed == ["embed.weight", "embed.bias"]
    known = Generator.from_config(TINY_GENERATOR)
    known.load_state_dict(start["g_ema"])
    with torch.no_grad():
        network.style[1].weight[:, 12:] = 0
        z = torch.randn(5, 12)
        assert torch.allclose(
            network.get_latent(z, torch.eye(2)[[0, 1, 0, 1, 1]]), known.get_latent(z), atol=1e-5
        )
    content = train(files, tmp_path, GROUPS, f"--checkpoint_path={files.stylegan2}")
    before, after = start["g"]["convs.0.conv.weight"], content["g"]["convs.0.conv.weight"]
    assert 0 < (after - before).abs().max() < 0.1


def test_transfer_to_another_size_takes_the_layers_of_the_same_resolution() -> None:
    start = stylegan2_checkpoint(0, TINY_GENERATOR)
    config = replace(TINY_GENERATOR, size=32, channels={4: 8, 8: 8, 16: 8, 32: 4})
    generator, discriminator = Generator.from_config(config), Discriminator.from_config(config)
    fresh = transfer(generator, config, start, "g_ema", "start.pt")
    assert {name.partition(".")[0] for name in fresh} == {"convs", "to_rgbs", "noises"}
    assert torch.equal(generator.to_rgbs[1].conv.weight, start["g_ema"]["to_rgbs.1.conv.weight"])
    fresh = transfer(discriminator, config, start, "d", "start.pt")
    assert torch.equal(discriminator.convs[2].conv1[0].weight, start["d"]["convs.1.conv1.0.weight"])
    assert {name.split(".")[1] for name in fresh} == {"0", "1"}
    wide = replace(TINY_GENERATOR, n_mlp=4, style_dim=20, channels={4: 24, 8: 24, 16: 24})
    with pytest.raises(InputError, match=r"no layer of start\.pt fits"):
        transfer(Generator.from_config(wide), wide, start, "g", "start.pt")


def test_frozen_layers_of_the_discriminator_stay(files: SimpleNamespace, tmp_path: Path) -> None:
    start = load_checkpoint(files.stylegan2)["d"]
    content = train(files, tmp_path, f"--checkpoint_path={files.stylegan2}", "--freezed=3")
    same = {name for name, value in content["d"].items() if torch.equal(value, start[name])}
    frozen = {"convs.0.0.weight", "convs.0.1.bias", "convs.1.conv1.0.weight", "convs.1.conv2.1.weight"}
    assert frozen <= same
    assert "convs.1.skip.1.weight" not in same and "final_conv.0.weight" not in same


def test_a_narrow_discriminator(files: SimpleNamespace, tmp_path: Path) -> None:
    """Its files convert in every direction, and training goes on from them."""
    more = ("--discriminator_channels=4:4,8:6,16:5", GROUPS)
    content = train(files, tmp_path / "a", *more)
    assert content["d"]["convs.0.0.weight"].shape[0] == 5
    assert official_content(content, "x")["d"].keys() == content["d"].keys()
    back = from_nvidia(to_nvidia(content, "x"), "x")
    assert all(torch.equal(back["d"][name], value) for name, value in content["d"].items())
    path = tmp_path / "a" / "checkpoints" / "iteration_2.pt"
    train(files, tmp_path / "b", *more, f"--checkpoint_path={path}")
    with pytest.raises(InputError, match="--discriminator_channels=4:4 has no entry for 8"):
        toys.train(toys.arguments("stylegan2", files, tmp_path, "--discriminator_channels=4:4"))


def test_groups_of_compared_pictures(files: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="multiple of 8"):
        toys.train(toys.arguments("stylegan2", files, tmp_path, "--mbstd_group=8", "--batch_size=12"))
    train(files, tmp_path, "--mbstd_group=2", "--batch_size=6")


def test_balance_of_classes() -> None:
    labels = torch.tensor([0] * 80 + [1] * 20)
    torch.manual_seed(0)
    for balance, share in ((0.0, 0.2), (0.5, 1 / 3), (1.0, 0.5)):
        classes = ClassConditions(labels, 3, balance, torch.device("cpu"))
        drawn = classes.draw(4000)
        assert abs(float((drawn == 1).float().mean()) - share) < 0.03 and drawn.max() == 1
        if balance:
            weights = torch.tensor(classes.weights)
            assert float(weights[80:].sum() / weights.sum()) == pytest.approx(share)
        else:
            assert classes.weights is None
    assert classes.every(2).tolist() == [0, 0, 1, 1, 2, 2]
    assert classes.one_hot(torch.tensor([2, 0])).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_half_life_of_the_average() -> None:
    """NVIDIA's: 0.5 ** (batch / half-life), the half-life at most a share of the pictures seen."""
    assert average_decay(10_000, 32, 10**6) == pytest.approx(0.5 ** (32 / 10_000))
    assert average_decay(10_000, 32, 99) == pytest.approx(0.5 ** (32 / (0.05 * 3200)))
    assert average_decay(10_000, 32, 0, ramp=0) == pytest.approx(0.5 ** (32 / 10_000))


def test_a_pair_is_trained_and_ages_faces(files: SimpleNamespace, tmp_path: Path) -> None:
    """From photos to directed generation, through the command lines."""
    train(files, tmp_path / "gan", GROUPS)
    generator = tmp_path / "gan" / "checkpoints" / "iteration_2.pt"
    more = (f"--stylegan_weights={generator}", "--max_steps=2", "--val_interval=2")
    toys.train(toys.arguments("latent_encoder", files, tmp_path / "encoder", *more))
    pair = tmp_path / "encoder" / "checkpoints" / "best_model.pt"
    content = load_checkpoint(pair)
    assert content["kind"] == "directed" and content["crop"] == "tight"
    known = load_checkpoint(generator)["g_ema"]
    assert all(torch.equal(content["g_ema"][name], value) for name, value in known.items())


def test_an_encoder_needs_a_conditional_generator(files: SimpleNamespace, tmp_path: Path) -> None:
    command = toys.arguments("latent_encoder", files, tmp_path / "run")
    for more, words in (
        ([f"--stylegan_weights={files.stylegan2}"], "unconditional"),
        ([f"--stylegan_weights={files.sam}"], "a SAM checkpoint, not a StyleGAN2"),
        (["--age_groups=0-39,40-60,61-100"], "3 age groups for a network of 2 classes"),
        (["--recipe=official"], "--latent_space=z"),
        (["--recipe=official", "--latent_space=z", "--encoder_width=1", "--encoder_repeats="], "512"),
        ([f"--checkpoint_path={files.psp}"], "not a pair"),
        ([f"--checkpoint_path={files.directed}"], "does not fit"),  # of Z, and W+ is wanted
        (["--pairs=5"], "--pairs=5"),
        (["--train_dataset="], "--train_dataset"),
    ):
        with pytest.raises(InputError, match=words):
            toys.train([*command, *more])


def test_limited_pairs_are_split_and_repeat(files: SimpleNamespace, tmp_path: Path) -> None:
    coach = toys.coach(
        toys.arguments("latent_encoder", files, tmp_path / "a", "--pairs=20", "--batch_size=4")
    )
    first = [coach._latents(step) for step in range(4)]
    again = [coach._latents(step) for step in range(4, 8)]
    seen = [{tuple(z) for part in epoch for z in part["z"].tolist()} for epoch in (first, again)]
    assert seen[0] == seen[1] and len(seen[0]) == 16, "an epoch is four fifths of the pairs"
    kept = {tuple(z) for z in coach._numbered([16, 17, 18, 19])["z"].tolist()}
    assert kept.isdisjoint(seen[0])
    coach.run.close()


def test_endless_pairs_differ(files: SimpleNamespace, tmp_path: Path) -> None:
    coach = toys.coach(toys.arguments("latent_encoder", files, tmp_path / "a"))
    drawn = [coach._latents(step)["z"] for step in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    for space in ("z", "w", "w+"):
        coach.pair.encoder.latent_space = space
        batch = coach._latents(3)
        pictures, wanted = coach._rendered(**batch)
        if space == "z":
            assert torch.equal(wanted, batch["z"])
            continue
        codes = coach.pair.class_means()[batch["labels"]]
        codes = codes[:, None] + wanted if space == "w+" else (codes + wanted)[:, None].expand(-1, 6, -1)
        assert torch.allclose(coach.pair.synthesize(codes), pictures, atol=1e-4)
    coach.run.close()


def test_a_tapered_generator_saves_what_its_encoder_needs(files: SimpleNamespace, tmp_path: Path) -> None:
    content = {**stylegan2_checkpoint(2, TAPERED_GENERATOR), "classes": {"age_groups": toys.AGE_GROUPS}}
    path = save_checkpoint(content, tmp_path / "generator.pt")
    more = (f"--stylegan_weights={path}", "--max_steps=1", "--crop=ffhq", "--val_interval=0")
    toys.train(toys.arguments("latent_encoder", files, tmp_path / "run", *more))
    (saved,) = (tmp_path / "run" / "checkpoints").glob("iteration_1.pt")
    assert load_checkpoint(saved)["crop"] == "ffhq"
