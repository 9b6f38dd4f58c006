"""The age-regression encoder: torchvision's ResNet-18, an age beside its features, codes in W or W+."""

from pathlib import Path
from types import SimpleNamespace

import commands
import pytest
import torch
import training_toys as toys
from toy_networks import TINY_ENCODER, TINY_GENERATOR, tiny_psp

from models.aging_model import StyleModel, load_aging_model
from models.encoders.age_encoder import AgeEncoderConfig, ResNet18AgeEncoder
from models.kinds import checkpoint_kind, official_content
from models.psp import append_age
from models.psp_config import PSPConfig
from models.psp_files import load_psp, psp_checkpoint
from options.train_options import parse_train_options
from utils.errors import InputError, StoppedError
from utils.files.checkpoints import load_checkpoint, save_checkpoint
from utils.pictures.tensors import IMAGENET_DEVIATION, IMAGENET_MEAN

TINY = {"channels": (4, 4, 4, 6, 8), "units": (1, 1, 1, 1)}
FLAG = "--encoder_type=ResNet18AgeEncoder"


def moved(encoder: ResNet18AgeEncoder) -> ResNet18AgeEncoder:
    """With a last layer as a training leaves it."""
    torch.nn.init.normal_(encoder.codes.weight)
    torch.nn.init.normal_(encoder.codes.bias)
    return encoder


def test_the_features_are_those_of_torchvision(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    theirs = resnet18(weights=None).eval()
    for name, buffer in theirs.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.1)
    file = save_checkpoint(theirs.state_dict(), tmp_path / "resnet18.pth")
    encoder = ResNet18AgeEncoder(n_styles=4, style_dim=8).eval()
    encoder.load_backbone(load_checkpoint(file)["state_dict"], str(file))
    moved(encoder)
    theirs.fc = torch.nn.Identity()
    pictures, years = torch.rand(2, 3, 64, 64), torch.tensor([20.0, 70.0])
    with torch.no_grad():
        normal = (pictures - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(
            IMAGENET_DEVIATION
        ).view(3, 1, 1)
        joined = torch.cat([theirs(normal), 12**0.5 * (years[:, None] / 100 - 0.5)], dim=1)
        expected = torch.nn.functional.linear(joined, encoder.codes.weight, encoder.codes.bias)
        found = encoder(append_age(2 * pictures - 1, years))
    torch.testing.assert_close(found, expected.view(2, 4, 8), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("latent_space", ["w", "w+"])
def test_codes_of_one_or_of_every_layer(latent_space: str) -> None:
    encoder = ResNet18AgeEncoder(n_styles=3, style_dim=5, latent_space=latent_space, **TINY).double().eval()
    photos = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    assert not encoder(append_age(photos, 40.0)).any()  # a fresh one adds nothing
    moved(encoder)
    young, middle, old = (encoder(append_age(photos, age)) for age in (20.0, 40.0, 60.0))
    assert young.shape == (2, 3, 5)
    assert torch.equal(young[:, 0], young[:, 1]) == (latent_space == "w")
    torch.testing.assert_close(middle, (young + old) / 2)  # a straight line in the age
    torch.testing.assert_close((old - young)[0], (old - young)[1])
    assert (old - young).abs().min() > 1e-3 and (young[0] - young[1]).abs().max() > 1e-3


def test_activations_may_be_computed_again() -> None:
    encoder = moved(ResNet18AgeEncoder(n_styles=3, style_dim=5, **TINY)).train()
    x = append_age(torch.rand(4, 3, 32, 32), 30.0)
    found = []
    for again in (False, True):
        encoder.checkpointing = again
        encoder.zero_grad()
        encoder(x).square().sum().backward()
        found.append([parameter.grad.clone() for parameter in encoder.parameters()])
    for kept, computed in zip(*found, strict=True):
        torch.testing.assert_close(computed, kept)
    assert all(gradient.any() for gradient in found[0])
    assert encoder.backbone.bn1.num_batches_tracked == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": (1, 1, 1)}, "units must be four"),
        ({"channels": (8, 8)}, "channels must be five"),
        ({"latent_space": "z"}, "latent_space must be one of"),
    ],
)
def test_sizes_that_make_no_network(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResNet18AgeEncoder(**{"n_styles": 4, "style_dim": 8, **TINY, **arguments})


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("prior", [True, False])
def test_a_file_says_what_its_encoder_is(prior: bool, tmp_path: Path) -> None:
    starts = {"start_from_encoded_w_plus": prior, "start_from_latent_avg": not prior}
    net = tiny_psp(age_encoder=AgeEncoderConfig(**TINY, latent_space="w"), **starts)
    moved(net.encoder)
    for suffix in (".pt", ".safetensors"):
        file = save_checkpoint(psp_checkpoint(net), tmp_path / f"sam{suffix}")
        content = load_checkpoint(file)
        assert checkpoint_kind(content) == "sam"
        loaded = load_psp(content, str(file))
        assert loaded.config == net.config
        x = append_age(torch.rand(2, 3, 32, 32), 50.0)
        torch.testing.assert_close(loaded.encode(x), net.encode(x))
        with pytest.raises(InputError, match="sam.* has a ResNet18AgeEncoder; there is no official file"):
            official_content(content, str(file))


@pytest.mark.parametrize(
    "changes",
    [
        {"input_nc": 3},
        {"age_encoder": {"latent_space": "z"}},
        {"age_encoder": {"units": [1, 1]}},
        {"age_encoder": {"depth": 3}},
    ],
)
def test_a_file_that_describes_no_such_encoder(changes: dict) -> None:
    content = psp_checkpoint(tiny_psp(age_encoder=AgeEncoderConfig(**TINY)))
    content["opts"]["architecture"] |= changes
    with pytest.raises(InputError, match="describes no network"):
        load_psp(content, "sam.pt")


def test_files_from_before_there_was_a_choice() -> None:
    described = PSPConfig(TINY_GENERATOR, TINY_ENCODER).to_dict()
    del described["age_encoder"]
    assert PSPConfig.from_dict(described).age_encoder is None


# ---------------------------------------------------------------- training


@pytest.fixture(scope="module")
def trained(files: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a run of SAM of four steps, in W."""
    folder = tmp_path_factory.mktemp("trained")
    toys.train(toys.arguments("sam", files, folder, FLAG, "--latent_space=w", "--max_steps=4"))
    return folder / "checkpoints" / "iteration_4.pt"


def test_what_was_trained_ages_faces(trained: Path) -> None:
    net = load_psp(load_checkpoint(trained), str(trained))
    assert net.config.age_encoder == AgeEncoderConfig((8, 8, 8, 8, 16), (1, 1, 1, 1), "w")
    assert net.encoder.codes.weight.any() and net.encoder.codes.weight[:, -1].any()
    model = load_aging_model(trained)
    assert isinstance(model, StyleModel) and model.kind == "sam"
    codes = model.codes(torch.rand(1, 3, 32, 32), (20.0, 70.0))
    assert codes.shape == (1, 2, 6, 12) and (codes[0, 0] - codes[0, 1]).abs().min() > 0


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        ("inference", ["--data_path={faces}", "--exp_dir={out}", "--checkpoint_path={file}"]),
        ("inference_side_by_side", ["--data_path={faces}", "--exp_dir={out}", "--checkpoint_path={file}"]),
        ("inference_lifespan", ["--img_dir={faces}", "--output_dir={out}", "--model_path={file}"]),
        ("style_mixing", ["--data_path={faces}", "--exp_dir={out}", "--checkpoint_path={file}"]),
    ],
)
def test_inference_takes_it(
    script: str, flags: list[str], trained: Path, files: SimpleNamespace, tmp_path: Path
) -> None:
    places = {"faces": files.test, "out": tmp_path / "out", "file": trained}
    more = ["--latent_mask=2", "--target_age=50"] if script == "style_mixing" else []
    commands.script_main(script)([*(flag.format(**places) for flag in flags), "--test_workers=0", *more])
    assert list((tmp_path / "out").rglob("*.[jp][pn]g"))


def test_a_stopped_run_goes_on(
    trained: Path, files: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = toys.arguments("sam", files, tmp_path, FLAG, "--latent_space=w", "--max_steps=4")
    with monkeypatch.context() as patch, pytest.raises(StoppedError):
        toys.terminate_at(patch, "sam", 2)
        toys.train(command)
    toys.train(command)
    paths = (tmp_path / "checkpoints" / trained.name, trained)
    found, expected = (load_checkpoint(path)["state_dict"] for path in paths)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    with pytest.raises(InputError, match="--encoder_type=GradualStyleEncoder: the run in .* was begun with"):
        toys.train([*toys.arguments("sam", files, tmp_path, "--max_steps=9")])


def test_it_is_personalised(trained: Path, files: SimpleNamespace, tmp_path: Path) -> None:
    more = (f"--checkpoint_path={trained}", "--max_steps=1")
    toys.train(toys.arguments("mytimemachine", files, tmp_path, *more))
    file = next(tmp_path.rglob("iteration_1.pt"))
    model = load_aging_model(file, global_checkpoint=trained)
    assert model.kind == "mytimemachine"
    assert model.transform(torch.rand(1, 3, 32, 32), 60.0).shape == (1, 3, 16, 16)


def test_it_starts_from_torchvision_weights_without_a_prior(files: SimpleNamespace, tmp_path: Path) -> None:
    source = ResNet18AgeEncoder(6, 12, (8, 8, 8, 8, 16), (1, 1, 1, 1)).backbone.state_dict()
    file = save_checkpoint({**source, "fc.weight": torch.zeros(10, 16)}, tmp_path / "resnet18.pth")
    more = (FLAG, f"--resnet18_weights={file}", "--start_from_latent_avg", "--encoder_start=random")
    command = [word for word in toys.arguments("sam", files, tmp_path / "run", *more) if "w_plus" not in word]
    net = toys.coach(command).net
    assert net.pretrained_encoder is None
    for key, value in net.encoder.backbone.state_dict().items():
        assert torch.equal(value, source[key]), key


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--latent_space=w"], "--latent_space=w needs --encoder_type=ResNet18AgeEncoder"),
        (["--resnet18_weights=x.pth"], "--resnet18_weights needs --encoder_type=ResNet18AgeEncoder"),
        ([FLAG, "--latent_space=z"], "--latent_space"),
        (["--encoder_type=Other"], "--encoder_type"),
    ],
)
def test_flags_that_contradict_each_other(more: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_train_options(["--coach=sam", "--exp_dir=x", "--l2_lambda=1", *more])


def test_another_file_in_the_place_of_torchvision_weights(files: SimpleNamespace, tmp_path: Path) -> None:
    for file, message in (
        ("none.pth", "not found: the ResNet-18"),
        (files.identity, "identity.pt does not fit"),
    ):
        command = toys.arguments("sam", files, tmp_path, FLAG, f"--resnet18_weights={file}")
        with pytest.raises(InputError, match=message):
            toys.train(command)
