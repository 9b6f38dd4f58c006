"""Augmentations: exact where they can be, differentiable twice, repeatable, and true to layout and dtype."""

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from datasets.augment import (
    ClassifierAugment,
    SimpleAugment,
    affine,
    blur,
    colour,
    flip,
    jpeg_like,
    low_resolution,
    shift,
)

ALWAYS = SimpleAugment(probability=1.0, flip_probability=0.5, saturation=0.5)


def images(n: int = 4, size: int = 16, dtype: torch.dtype = torch.float32) -> Tensor:
    """Random pictures in [-1, 1]."""
    return (torch.rand(n, 3, size, size) * 2 - 1).to(dtype)


def smooth(n: int, size: int) -> Tensor:
    """Pictures without fine detail."""
    return torch.nn.functional.interpolate(images(n, 5), size=(size, size), mode="bicubic").clamp(-0.9, 0.9)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_flip_mirrors_the_chosen_ones() -> None:
    x = images(3)
    y = flip(x, torch.tensor([True, False, True]))
    assert torch.equal(y[0], x[0].flip(2)) and torch.equal(y[1], x[1]) and torch.equal(y[2], x[2].flip(2))


@pytest.mark.parametrize("padding", ["reflect", "zero"])
def test_shift_moves_down_and_right(padding: str) -> None:
    x = images(3)
    y = shift(x, [(2, 3), (0, 0), (-1, -4)], padding)
    assert torch.equal(y[0, :, 2:, 3:], x[0, :, :-2, :-3])
    assert torch.equal(y[1], x[1])
    assert torch.equal(y[2, :, :-1, :-4], x[2, :, 1:, 4:])
    if padding == "zero":
        assert not y[0, :, :2].any() and not y[2, :, :, -4:].any()
    else:
        assert torch.equal(y[0, :, 1, 3:], x[0, :, 1, :-3])  # row 1 mirrors row 3, which is row 1 of x


def test_colour_by_value() -> None:
    x = images(4)
    one, zero = torch.ones(4), torch.zeros(4)
    assert torch.allclose(colour(x, zero, one, one), x, atol=1e-6)
    assert torch.allclose(colour(x, zero + 0.3, one), x + 0.3, atol=1e-6)
    mean = x.mean((1, 2, 3), keepdim=True)
    assert torch.allclose(colour(x, zero, one * 2), mean + 2 * (x - mean), atol=1e-5)
    grey = colour(x, zero, one, zero)
    luma = (x * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1)
    assert torch.allclose(grey, luma[:, None].expand(-1, 3, -1, -1), atol=1e-5)


def test_probability_zero_changes_nothing_and_one_changes_all() -> None:
    x = images(32)
    assert torch.equal(SimpleAugment(probability=0.0)(x, seeded()), x)
    assert (SimpleAugment(probability=1.0)(x, seeded()) != x).flatten(1).any(1).all()


def test_each_operation_hits_its_share_of_the_pictures() -> None:
    x = torch.zeros(4000, 3, 4, 4)
    y = SimpleAugment(probability=0.2, max_shift=0.0)(x, seeded())
    assert (y != 0).flatten(1).any(1).float().mean().item() == pytest.approx(0.2, abs=0.02)
    assert y.abs().max() <= 0.4 + 1e-6


@pytest.mark.parametrize("augment", [ALWAYS, ClassifierAugment()], ids=["simple", "classifier"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "nhwc"])
def test_shape_dtype_layout_and_seed(augment, dtype: torch.dtype, layout: torch.memory_format) -> None:
    x = images(6, 32, dtype).contiguous(memory_format=layout)
    before = x.clone()
    y = augment(x, seeded(1))
    assert y.shape == x.shape and y.dtype == dtype and y.is_contiguous(memory_format=layout)
    assert torch.equal(x, before)
    assert torch.equal(y, augment(x, seeded(1)))
    assert not torch.equal(y, augment(x, seeded(2)))
    plain = augment(x.contiguous(), seeded(1)).float()
    assert torch.allclose(y.float(), plain, atol=1e-5 if dtype == torch.float32 else 0.05)


@pytest.mark.parametrize("padding", ["reflect", "zero"])
def test_simple_is_differentiable_twice(padding: str) -> None:
    augment = SimpleAugment(probability=1.0, flip_probability=0.5, saturation=0.5, padding=padding)
    x = images(3, 6, torch.float64).requires_grad_()

    def loss(value: Tensor) -> Tensor:
        return augment(value, seeded(4)).pow(3)

    assert torch.autograd.gradcheck(loss, (x,))
    assert torch.autograd.gradgradcheck(loss, (x,))


def test_r1_flows_through_the_augmentation() -> None:
    critic = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Softplus(), torch.nn.Conv2d(4, 1, 3))
    x = images(4).contiguous(memory_format=torch.channels_last).requires_grad_()
    score = critic(ALWAYS(x, seeded())).sum()
    (gradient,) = torch.autograd.grad(score, x, create_graph=True)
    gradient.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in critic[0].parameters())
    assert critic[0].weight.grad.abs().sum() > 0


def test_affine_by_value() -> None:
    x = images(2)
    zero, one, still = torch.zeros(2), torch.ones(2), torch.zeros(2, 2)
    assert torch.allclose(affine(x, zero, one, still), x, atol=1e-5)
    assert torch.allclose(affine(x, zero + math.pi / 2, one, still), x.rot90(1, (2, 3)), atol=1e-4)
    both = torch.ones(2, dtype=torch.bool)
    assert torch.allclose(affine(x, zero, one, still, both), x.flip(3), atol=1e-5)
    moved = affine(x, zero, one, torch.tensor([[0.25, 0.125]] * 2))  # 4 to the right, 2 down
    assert torch.allclose(moved[:, :, 2:, 4:], x[:, :, :-2, :-4], atol=1e-4)
    wide = torch.zeros(1, 3, 16, 32)
    wide[:, :, 7:9, 8:24] = 1
    turned = affine(wide, torch.tensor([math.pi / 2]), torch.ones(1), torch.zeros(1, 2))
    assert turned[0, 0, 1, 15] > 0.9 and turned[0, 0, 8, 9] < 0.1  # no distortion on an oblong
    disc = torch.zeros(1, 1, 32, 32)
    disc[:, :, 12:20, 12:20] = 1
    zoomed = affine(disc, zero[:1], one[:1] * 2, still[:1])
    assert zoomed.mean().item() == pytest.approx(4 * disc.mean().item(), rel=0.1)


def test_blur_keeps_the_mean_and_lowers_detail() -> None:
    x = images(2, 32)
    y = blur(x, torch.tensor([0.5, 3.0]))
    assert torch.allclose(y.mean((2, 3)), x.mean((2, 3)), atol=0.05)
    assert x.std() > y[0].std() > y[1].std()
    point = torch.zeros(1, 1, 21, 21)
    point[..., 10, 10] = 1
    response = blur(point, torch.tensor([1.5]))[0, 0]
    ratio = (response[10, 12] / response[10, 10]).item()
    assert ratio == pytest.approx(math.exp(-4 / (2 * 1.5**2)), rel=1e-4)


def test_low_resolution_keeps_smooth_pictures() -> None:
    x = smooth(2, 32)
    assert (low_resolution(x, 24) - x).abs().mean() < 0.02
    assert low_resolution(images(2, 32), 8).std() < 0.5 * images(2, 32).std()


@pytest.mark.parametrize("quality", [30, 75])
def test_jpeg_like_errs_as_a_jpeg_does(quality: int) -> None:
    x = smooth(1, 40) + 0.05 * torch.randn(1, 3, 40, 40)
    x = x.clamp(-1, 1)
    pixels = ((x[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0)
    real = np.array(Image.open(buffer)).astype(float)
    ours = ((jpeg_like(x, torch.tensor([float(quality)]))[0] + 1) * 127.5).permute(1, 2, 0).numpy()
    error_real, error_ours = np.abs(real - pixels).mean(), np.abs(ours - pixels).mean()
    assert 0.6 < error_ours / error_real < 1.2
    assert np.abs(ours - real).mean() < error_real


def test_jpeg_like_takes_sides_that_are_no_multiple_of_eight() -> None:
    x = smooth(2, 37)
    y = jpeg_like(x, torch.tensor([95.0, 95.0]))
    assert y.shape == x.shape and (y - x).abs().mean() < 0.02


def test_classifier_augmentation_stays_in_range_and_recognisable() -> None:
    x = smooth(64, 32)
    y = ClassifierAugment()(x, seeded())
    assert y.min() >= -1 and y.max() <= 1
    centre = slice(8, 24)
    both = torch.stack([x[:, :, centre, centre].flatten(), y[:, :, centre, centre].flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.4
    still = ClassifierAugment(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert torch.allclose(still(x, seeded()), x, atol=1e-5)
