"""LPIPS on the golden numbers, its substitute made of age features, and messages about missing weights."""

import functools

import pytest
import torch
from torch import nn
from toy_networks import tiny_vgg

import parity
from criteria.age_feature_loss import AgeFeatureLoss
from criteria.lpips_loss import LPIPSLoss
from criteria.perceptual_loss import unit_normalise
from utils.errors import InputError


@functools.cache
def filled(network, seed, heads):
    pytest.importorskip("lpips")
    from coach_parity import fill_with, lpips_with_filled_backbone

    loss = lpips_with_filled_backbone(network, seed)
    if heads == "filled":
        for index, head in enumerate(loss.model.lins):
            fill_with(head, seed, lambda key, index=index: f"lin{index}.{key}")
    return loss


@parity.each("lpips")
def test_lpips_values_and_gradients(entry):
    weights = entry["weights"]
    loss = filled(entry["args"]["net_type"], weights["seed"], weights["heads"])
    inputs = parity.inputs(entry)
    x, y = inputs["x"].requires_grad_(), inputs["y"]
    value = loss(x, y)
    value.backward()
    with torch.no_grad():
        each = loss.distance(loss.features(x), loss.features(y))
    parity.check_all({"loss": value, "pip_package_each": each, "grad/x": x.grad}, entry)


def test_our_lpips_is_the_packages():
    loss = filled("alex", 1000, "package")
    x, y = torch.rand(3, 3, 64, 64) * 2 - 1, torch.rand(3, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(loss(x, y), loss.model(x, y).mean(), rtol=1e-5, atol=1e-7)


def test_lpips_without_its_package_or_weights_says_the_way_out(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="--perceptual=dex"):
        LPIPSLoss("alex", tmp_path / "absent.pth")
    monkeypatch.setitem(__import__("sys").modules, "lpips", None)
    with pytest.raises(InputError, match="--perceptual=dex"):
        LPIPSLoss()


def test_a_foreign_weight_file_is_named(tmp_path):
    pytest.importorskip("lpips")
    path = tmp_path / "foreign.pth"
    torch.save({"layer.weight": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="foreign.pth"):
        LPIPSLoss("alex", path)


def test_a_failed_download_is_an_input_error(monkeypatch):
    lpips = pytest.importorskip("lpips")

    def offline(*_args, **_kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(lpips, "LPIPS", offline)
    with pytest.raises(InputError, match="no route to host.*--perceptual=dex"):
        LPIPSLoss()


@pytest.mark.parametrize("network", ["vgg19", "LPIPS"])
def test_unknown_backbones_are_refused(network):
    with pytest.raises(InputError, match="choose alex, vgg or squeeze"):
        LPIPSLoss(network)


# ---------------------------------------------------------------- features of the age classifier


def small_dex():
    return AgeFeatureLoss(tiny_vgg(channels=(4, 8, 8), depths=(1, 1, 2)))


@pytest.mark.parametrize("size", [32, 47, 64])
def test_dex_distance_takes_any_size_and_falls_towards_the_target(size):
    loss = small_dex()
    target = torch.rand(2, 3, size, size) * 2 - 1
    other = torch.rand(2, 3, size, size) * 2 - 1
    assert abs(loss(target, target)) < 1e-6
    near, far = loss(0.9 * target + 0.1 * other, target), loss(other, target)
    assert 0 < near < far <= 4
    assert loss(other, target_features=loss.features(target)) == far
    torch.testing.assert_close(loss.distance(loss.features(other), loss.features(target)).mean(), far)


def test_dex_gradient_moves_an_image_towards_the_target():
    loss = small_dex()
    target = torch.rand(1, 3, 32, 32) * 2 - 1
    image = nn.Parameter(torch.zeros_like(target) + 0.1 * torch.randn_like(target))
    optimizer = torch.optim.Adam([image], lr=0.05)
    first = loss(image, target).item()
    for _ in range(20):
        optimizer.zero_grad()
        loss(image, target).backward()
        optimizer.step()
    assert loss(image, target).item() < 0.6 * first


def test_pixels_without_any_feature_have_a_finite_gradient():
    features = torch.randn(1, 4, 2, 2)
    features[:, :, 0, 0] = 0
    features.requires_grad_()
    unit_normalise(features).square().sum().backward()
    assert features.grad.isfinite().all()

    network = tiny_vgg(channels=(4, 8), depths=(1, 1))
    with torch.no_grad():
        network.conv1_1.bias.fill_(-100.0)  # nothing gets through the first ReLU
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    AgeFeatureLoss(network)(image, torch.rand(1, 3, 32, 32)).backward()
    assert image.grad.isfinite().all()
