"""The DEX age classifier and the frozen helper networks against the official layout and numbers."""

from pathlib import Path

import pytest
import torch
from toy_networks import SMALL_FACE, SMALL_VGG, network_file, tiny_vgg

import parity
from models import auxiliary
from models.dex_vgg import VGG, expected_age, official_keys
from models.encoders.model_irse import Backbone
from utils.errors import InputError
from utils.files.checkpoints import save_checkpoint


def test_layout_is_official() -> None:
    with torch.device("meta"):
        parity.check_layout(VGG().state_dict(), "dex_age_classifier", "after_loader")


@parity.each("age", "fc8")
def test_network_gives_the_official_numbers(entry: parity.Entry) -> None:
    network = parity.network(entry, VGG)
    with torch.no_grad():
        images = parity.inputs(entry)["x"].contiguous(memory_format=torch.channels_last)
        features, logits = network.convolve(images), network(images)
    parity.check_all({"p5": features, "fc8": logits, "predicted_age": expected_age(logits)}, entry)


@parity.each("age", "ages", "x")
def test_ages_of_aligned_faces_are_official(entry: parity.Entry) -> None:
    with torch.no_grad():
        ages = auxiliary.AgeClassifier(parity.network(entry, VGG)).predict_age(parity.inputs(entry)["x"])
    parity.check(ages, entry, "ages")


def test_expected_age_by_value() -> None:
    logits = torch.full((3, 101), -1e4)
    logits[0, 30] = logits[1, 10] = logits[1, 20] = logits[2, 100] = 0
    torch.testing.assert_close(expected_age(logits), torch.tensor([30.0, 15.0, 100.0]))
    assert expected_age(torch.zeros(2, 4, 101)).tolist() == [[pytest.approx(50.0)] * 4] * 2


def test_official_names_are_translated() -> None:
    state = {"fc8-101.weight": torch.zeros(1), "conv1_1.bias": torch.zeros(1)}
    assert set(official_keys(state)) == {"fc8_101.weight", "conv1_1.bias"}


@pytest.mark.parametrize("batch_norm", [False, True])
def test_feature_maps_are_those_of_the_forward_pass(batch_norm: bool) -> None:
    network = tiny_vgg(input_size=64, batch_norm=batch_norm)
    images = torch.randn(2, 3, 64, 64)
    maps = network.feature_maps(images)
    sizes = [tuple(item.shape[1:3]) for item in maps]
    assert sizes == [(4, 64), (4, 32), (8, 16), (8, 8), (8, 4)]
    pooled = torch.nn.functional.max_pool2d(maps[-1], 2).flatten(1)
    torch.testing.assert_close(pooled, network.convolve(images))


@pytest.mark.parametrize("kind", ["age_classifier", "judge_age"])
def test_age_classifier_file_round_trip(tmp_path: Path, kind: str) -> None:
    network = auxiliary.build_network(SMALL_VGG).eval()
    path = save_checkpoint(auxiliary.network_checkpoint(kind, SMALL_VGG, network), tmp_path / "age.pt")
    loaded = auxiliary.load_age_classifier(path)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(loaded.predict_age(images), expected_age(network(images)))
    for size in (16, 48, 128):
        assert loaded.predict_age(torch.zeros(1, 3, size, size)).shape == (1,)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_identity_file_round_trip(tmp_path: Path, suffix: str) -> None:
    architecture = {**SMALL_FACE, "crop": (0.0, 1.0, 0.0, 1.0)}
    network = auxiliary.build_network(architecture).eval()
    content = auxiliary.network_checkpoint("identity", architecture, network)
    loaded = auxiliary.load_identity(save_checkpoint(content, tmp_path / f"identity{suffix}"))
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(loaded.embed(images), network(images))
    assert loaded.crop.edges() == [0.0, 1.0, 0.0, 1.0]
    assert loaded.train().training is False
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_a_face_network_can_judge_ages(tmp_path: Path) -> None:
    architecture = {**SMALL_FACE, "embedding_dim": 101, "normalize": False}
    path = save_checkpoint(network_file("judge_age", architecture), tmp_path / "judge.pt")
    judge = auxiliary.load_age_classifier(path)
    assert 0 < float(judge.predict_age(torch.zeros(1, 3, 64, 64))) < 100


def test_official_identity_file_loads_and_crops_like_the_official_loss(tmp_path: Path) -> None:
    network = Backbone(112, 50, "ir_se", drop_ratio=0.6).eval()
    path = save_checkpoint(network.state_dict(), tmp_path / "model_ir_se50.pth")
    loaded = auxiliary.load_identity(path)
    images = parity.fill_library.image("x", (1, 3, 256, 256))
    images = torch.from_numpy(images)
    face = torch.nn.functional.adaptive_avg_pool2d(images[:, :, 35:223, 32:220], 112)
    with torch.no_grad():
        torch.testing.assert_close(loaded.embed(images), network(face), atol=1e-5, rtol=1e-4)


@pytest.mark.slow
@parity.each("age", "ages", "x")
def test_official_dex_file_loads(entry: parity.Entry, tmp_path: Path) -> None:
    state = parity.network(entry, VGG).state_dict()
    state = {key.replace("fc8_101", "fc8-101"): value for key, value in state.items()}
    parity.check_layout(state, "dex_age_classifier", "state_dict_in_file")
    loaded = auxiliary.load_age_classifier(save_checkpoint({"state_dict": state}, tmp_path / "dex.pth"))
    with torch.no_grad():
        parity.check(loaded.predict_age(parity.inputs(entry)["x"]), entry, "ages")


def test_gradient_reaches_the_image_but_no_weight() -> None:
    classifier = auxiliary.AgeClassifier(tiny_vgg())
    images = torch.zeros(1, 3, 64, 64, requires_grad=True)
    classifier.predict_age(images).sum().backward()
    assert images.grad is not None
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_wrong_kinds_are_named(tmp_path: Path) -> None:
    age = network_file("age_classifier", SMALL_VGG)
    path = save_checkpoint(age, tmp_path / "age.pt")
    with pytest.raises(InputError, match="age.pt is an age classifier, not a face recognition network"):
        auxiliary.load_identity(path)
    broken = save_checkpoint({**age, "architecture": {**SMALL_VGG, "hidden": 8}}, tmp_path / "broken.pt")
    with pytest.raises(InputError, match="another architecture.*fc6.weight"):
        auxiliary.load_age_classifier(broken)
    unknown = save_checkpoint({**age, "architecture": {"network": "resnet"}}, tmp_path / "unknown.pt")
    with pytest.raises(InputError, match="unknown network 'resnet'"):
        auxiliary.load_age_classifier(unknown)
