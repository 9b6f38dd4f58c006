"""StyleGAN2 losses on the official networks' numbers, and their behaviour on small ones."""

import math
from copy import deepcopy

import pytest
import torch
from stylegan2_cases import discriminator, generator

import parity
from criteria import gan_losses


def is_extra(entry):
    """A large or long batch."""
    return parity.pixels(entry) > 64 or len(parity.inputs(entry)["real"]) > 1


@parity.each("stylegan2_discriminator", "real", "r1", extra=is_extra)
def test_losses_equal_the_golden_ones(entry):
    network, images = discriminator(entry), parity.inputs(entry)
    real, fake = network(images["real"]), network(images["fake"])
    losses = {
        "d_logistic_loss": gan_losses.discriminator_logistic_loss(real, fake),
        "g_nonsaturating_loss": gan_losses.generator_nonsaturating_loss(fake),
    }
    # a gradient: in float32 the convolution kernels of different processors move it by some 1e-5
    exact, photos = deepcopy(network).double(), images["real"].double().requires_grad_()
    losses["r1"] = gan_losses.r1_penalty(exact(photos), photos)
    parity.check_all(losses, entry)


@parity.each("stylegan2_gradients", "path_penalty")
def test_path_length_equals_the_golden_one(entry):
    network = generator(entry)
    inputs = parity.inputs(entry)
    penalty = gan_losses.PathLengthPenalty(entry["args"]["decay"])
    penalty.mean_path_length.fill_(entry["args"]["mean_path_length"])
    image, latents = network([inputs["z"]], return_latents=True, randomize_noise=False)
    loss, lengths = penalty(image, latents, inputs["r"])
    loss.backward()
    results = {"path_penalty": loss, "path_mean": penalty.mean_path_length, "path_lengths": lengths}
    gradient = network.conv1.conv.weight.grad
    parity.check_all(results | {"grad/conv1.conv.weight": gradient}, entry)


def test_r1_of_a_linear_critic_is_its_squared_slope():
    slope = torch.tensor([1.0, -2.0, 0.5]).view(1, 3, 1, 1)
    images = torch.randn(4, 3, 2, 2, requires_grad=True)
    logits = (images * slope).sum(dim=(1, 2, 3), keepdim=True).flatten(1)
    expected = 4 * slope.square().sum()
    torch.testing.assert_close(gan_losses.r1_penalty(logits, images), expected)
    torch.testing.assert_close(gan_losses.lazy_r1_loss(logits, images, weight=2.0, every=16), 16 * expected)


def test_logistic_losses_in_closed_form():
    real, fake = torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [-1.0]])
    halves = [(math.log(2) + math.log1p(math.exp(-2))) / 2, (math.log(2) + math.log1p(math.exp(-1))) / 2]
    torch.testing.assert_close(gan_losses.discriminator_logistic_loss(real, fake), torch.tensor(sum(halves)))
    assert gan_losses.generator_nonsaturating_loss(real.bfloat16()).dtype == torch.float32


def test_lazy_schedule():
    assert [step for step in range(40) if gan_losses.is_regularization_step(step, 16)] == [0, 16, 32]
    assert not gan_losses.is_regularization_step(0, 0)
    lr, betas = gan_losses.lazy_adam_settings(2e-3, (0.0, 0.99), 16)
    assert lr == pytest.approx(2e-3 * 16 / 17)
    assert betas == pytest.approx((0.0, 0.99 ** (16 / 17)))
    assert gan_losses.lazy_adam_settings(2e-3, (0.0, 0.99), 0) == (2e-3, (0.0, 0.99))


def test_running_path_length_is_saved():
    penalty = gan_losses.PathLengthPenalty(decay=0.5)
    latents = torch.ones(2, 1, 4, requires_grad=True)
    images = (latents.sum(dim=(1, 2)).view(2, 1, 1, 1) * torch.ones(2, 3, 2, 2)).contiguous()
    penalty(images, latents, torch.ones(2, 3, 2, 2))
    assert "mean_path_length" in penalty.state_dict()
    assert penalty.mean_path_length > 0
