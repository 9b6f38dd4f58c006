"""StyleGAN2 losses on the official networks' numbers, and their behaviour on small ones."""

import functools
import math
from copy import deepcopy

import pytest
import torch

import parity
from criteria import gan_losses
from models.stylegan2.model import Discriminator, Generator


@functools.cache
def official_discriminator(name):
    entry = parity.entry("stylegan2_discriminator", name)
    return parity.fill(parity.quick(Discriminator, entry["args"]["size"]).eval(), entry), entry


@pytest.mark.parametrize("name", ["size64_batch1", "size64_batch4"])
def test_losses_equal_the_golden_ones(name):
    network, entry = official_discriminator(name)
    images = parity.inputs(entry)
    real = images["real"].requires_grad_()
    real_logits, fake_logits = network(real), network(images["fake"])
    parity.check(gan_losses.discriminator_logistic_loss(real_logits, fake_logits), entry, "d_logistic_loss")
    parity.check(gan_losses.generator_nonsaturating_loss(fake_logits), entry, "g_nonsaturating_loss")
    # a gradient: in float32 the convolution kernels of different processors move it by some 1e-5
    exact, real = deepcopy(network).double(), real.detach().double().requires_grad_()
    parity.check(gan_losses.r1_penalty(exact(real), real), entry, "r1")


def test_r1_and_its_second_order_gradient_equal_the_golden_ones():
    entry = parity.entry("stylegan2_gradients", "discriminator64_batch2/r1")
    network = parity.fill(parity.quick(Discriminator, 64).eval(), entry).double()
    real = parity.inputs(entry, torch.float64)["real"].requires_grad_()
    penalty = gan_losses.r1_penalty(network(real), real)
    parity.check(penalty, entry, "r1", float64=True)
    penalty.backward()
    parity.check(network.convs[1].conv1[0].weight.grad, entry, "grad/convs.1.conv1.0.weight", float64=True)
    parity.check(network.final_linear[0].weight.grad, entry, "grad/final_linear.0.weight", float64=True)


def test_path_length_equals_the_golden_one():
    entry = parity.entry("stylegan2_gradients", "generator64/path_length")
    network = parity.fill(parity.quick(Generator, 64, 512, 8).eval(), entry)
    inputs = parity.inputs(entry)
    penalty = gan_losses.PathLengthPenalty(entry["args"]["decay"])
    penalty.mean_path_length.fill_(entry["args"]["mean_path_length"])
    image, latents = network([inputs["z"]], return_latents=True, randomize_noise=False)
    loss, lengths = penalty(image, latents, inputs["r"])
    parity.check(loss, entry, "path_penalty")
    parity.check(penalty.mean_path_length, entry, "path_mean")
    parity.check(lengths, entry, "path_lengths")
    loss.backward()
    parity.check(network.conv1.conv.weight.grad, entry, "grad/conv1.conv.weight")


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
