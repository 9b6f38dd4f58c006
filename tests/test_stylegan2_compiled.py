"""The compiled operators against plain PyTorch: their arithmetic as plain C++ everywhere, their kernels on
CUDA devices; outputs, first and second derivatives, memory layouts.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from stylegan2_cases import UPFIRDN, check_block, each_block
from stylegan2_machine import LAYOUTS, Machine, channels_last, derivatives
from torch import Tensor

from models.stylegan2.model import Discriminator, Generator, StyleGAN2Config
from models.stylegan2.op import choose_ops, fused_leaky_relu, upfirdn2d
from models.stylegan2.op.compiled import CompiledOperators, check_operators

UPFIRDN = [
    *UPFIRDN,
    {"up": 2, "down": 2, "pad": (3, 4)},
    {"up": 1, "down": 3, "pad": (4, 0)},
    {"up": 4, "down": 1, "pad": (3, 3)},
    {"up": 5, "down": 7, "pad": (6, 8)},
    {"up": 3, "down": 1, "pad": (-2, 5)},
]


# ---------------------------------------------------------------- up - FIR - down


@pytest.mark.parametrize("taps", [(4, 4), (1, 12), (3, 2)], ids=str)
@pytest.mark.parametrize("settings", UPFIRDN, ids=str)
@pytest.mark.parametrize("channels", [3, 8])
def test_upfirdn2d(machine: Machine, channels: int, settings: dict[str, Any], taps: tuple[int, int]) -> None:
    """Eight channels-last channels are read in whole packs."""
    x = torch.randn(2, channels, 9, 13, dtype=torch.float64, device=machine.device)
    kernel = torch.randn(taps, dtype=torch.float64, device=machine.device)

    def function(x: Tensor) -> tuple[Tensor, ...]:
        return derivatives(lambda x: upfirdn2d(x, kernel, **settings), [x])

    machine.compare(function, x)
    machine.compare(function, channels_last(x))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("settings", UPFIRDN[:3], ids=str)
@pytest.mark.parametrize("channels", [3, 8])
def test_upfirdn2d_reads_every_layout(
    machine: Machine, channels: int, settings: dict[str, Any], layout: str
) -> None:
    x = LAYOUTS[layout](torch.randn(2, channels, 9, 8, device=machine.device))
    kernel = torch.randn(4, 4, device=machine.device)
    settings = {**settings, "pad": (3, 3)}
    machine.compare(lambda x: upfirdn2d(x, kernel, **settings), x, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", UPFIRDN[:4], ids=str)
def test_upfirdn2d_derivatives_are_those_of_its_values(machine: Machine, settings: dict[str, Any]) -> None:
    x = torch.randn(1, 2, 5, 4, dtype=torch.float64, device=machine.device, requires_grad=True)
    kernel = torch.randn(4, 4, dtype=torch.float64, device=machine.device)
    with machine.compiled():
        torch.autograd.gradcheck(lambda x: upfirdn2d(x, kernel, **settings), x)
        torch.autograd.gradgradcheck(lambda x: upfirdn2d(x, kernel, **settings), x)


def test_upfirdn2d_of_more_values_than_32_bits_count(machine: Machine) -> None:
    """Samples that lie far apart take the same path; the memory between them is never touched."""
    far = 2**31
    try:
        memory = torch.empty(far + 128, device=machine.device)
    except RuntimeError:
        pytest.skip("no 8 GB in one piece")
    x = memory.as_strided((2, 2, 8, 8), (far, 64, 8, 1)).copy_(torch.randn(2, 2, 8, 8))
    kernel = torch.randn(4, 4, device=machine.device)
    near = x.clone(memory_format=torch.contiguous_format)
    with machine.compiled():
        for settings in UPFIRDN[:3]:
            torch.testing.assert_close(upfirdn2d(x, kernel, **settings), upfirdn2d(near, kernel, **settings))


def test_upfirdn2d_with_nothing_left_is_an_error_as_in_plain_pytorch(machine: Machine) -> None:
    x, kernel = torch.zeros(1, 1, 2, 2, device=machine.device), torch.zeros(4, 4, device=machine.device)
    choose_ops("native")
    with pytest.raises(RuntimeError):
        upfirdn2d(x, kernel)
    with machine.compiled(), pytest.raises(RuntimeError, match="nothing is left of 2 x 2 samples"):
        upfirdn2d(x, kernel)


# ---------------------------------------------------------------- bias, leaky ReLU, gain


@pytest.mark.parametrize(
    "shape", [(3, 4), (2, 3, 5, 7), (2, 8, 4, 4), (3, 5, 7), (2, 3, 2, 2, 2), (0, 3, 2, 2)], ids=str
)
@pytest.mark.parametrize("with_bias", [True, False], ids=["bias", "no bias"])
def test_fused_leaky_relu(machine: Machine, shape: tuple[int, ...], with_bias: bool) -> None:
    x = torch.randn(shape, dtype=torch.float64, device=machine.device)
    bias = [torch.randn(shape[1], dtype=torch.float64, device=machine.device)] if with_bias else []
    for settings in ({}, {"negative_slope": 0.1, "scale": 1.0}, {"negative_slope": 0.0, "scale": 3.0}):
        machine.compare(
            lambda *inputs, s=settings: derivatives(lambda *i: fused_leaky_relu(*i, **s), inputs), x, *bias
        )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_fused_leaky_relu_reads_every_layout(machine: Machine, layout: str) -> None:
    x = LAYOUTS[layout](torch.randn(2, 4, 9, 8, dtype=torch.float64, device=machine.device))
    bias = torch.randn(x.shape[1], dtype=torch.float64, device=machine.device)
    machine.compare(lambda *inputs: derivatives(fused_leaky_relu, inputs), x, bias)


def test_fused_leaky_relu_takes_memory_that_is_not_aligned(machine: Machine) -> None:
    memory, bias = torch.randn(33, device=machine.device), torch.randn(4, device=machine.device)
    for x in (memory[1:].view(2, 4, 4), memory[:32].view(2, 4, 4), memory[:24].view(2, 4, 3)):
        machine.compare(fused_leaky_relu, x, bias)


def test_fused_leaky_relu_derivatives_are_those_of_its_values(machine: Machine) -> None:
    x = torch.randn(2, 4, 3, 2, dtype=torch.float64, device=machine.device, requires_grad=True)
    bias = torch.randn(4, dtype=torch.float64, device=machine.device, requires_grad=True)
    with machine.compiled():
        torch.autograd.gradcheck(fused_leaky_relu, (x, bias))
        torch.autograd.gradgradcheck(fused_leaky_relu, (x, bias))


# ---------------------------------------------------------------- both


def test_channels_last_stays_channels_last(machine: Machine) -> None:
    x = channels_last(torch.randn(2, 4, 6, 6, device=machine.device)).requires_grad_()
    kernel, bias = torch.randn(4, 4, device=machine.device), torch.randn(4, device=machine.device)
    with machine.compiled():
        for out in (upfirdn2d(x, kernel, up=2, pad=(2, 1)), fused_leaky_relu(x, bias)):
            assert out.is_contiguous(memory_format=torch.channels_last)
            (grad,) = torch.autograd.grad(out.square().sum(), x)
            assert grad.is_contiguous(memory_format=torch.channels_last)


@each_block
def test_block_is_official(cpu_operators: CompiledOperators, entry: dict[str, Any]) -> None:
    with Machine("cpu", cpu_operators).compiled():
        check_block(entry)


def test_networks_with_gradient_penalty(machine: Machine) -> None:
    """R1 differentiates the discriminator twice; the generator has every use of the operators."""
    config = StyleGAN2Config(size=16, style_dim=8, n_mlp=2, channels={4: 8, 8: 8, 16: 4})
    generator = Generator.from_config(config).to(machine.device).double()
    discriminator = Discriminator.from_config(config).to(machine.device).double()
    for network in (generator, discriminator):
        network.compute_dtype = torch.float64
    z = torch.randn(4, 8, dtype=torch.float64, device=machine.device)

    def step(z: Tensor) -> list[Tensor]:
        image, _ = generator([z], randomize_noise=False)
        score = discriminator(image).sum()
        (grad,) = torch.autograd.grad(score, image, create_graph=True)
        weights = [*generator.parameters(), *discriminator.parameters()]
        grads = torch.autograd.grad(score + grad.square().sum(), weights, allow_unused=True)
        return [image, grad, *(value for value in grads if value is not None)]

    machine.compare(step, z, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 1e-5), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)],
    ids=["float32", "float16", "bfloat16"],
)
def test_precisions(machine: Machine, dtype: torch.dtype, tolerance: float, layout: str) -> None:
    """Against plain PyTorch in float64, with bias and filter in float32, as the networks have them."""
    if machine.device == "cpu" and dtype != torch.float32:
        pytest.skip("a C++ compiler has no 16-bit types")
    x = LAYOUTS[layout](torch.randn(2, 8, 16, 16, device=machine.device).to(dtype))
    kernel, bias = torch.rand(4, 4, device=machine.device) / 8, torch.randn(8, device=machine.device)

    def results(x: Tensor, wide: Callable[[Tensor], Tensor]) -> list[Tensor]:
        x = x.detach().requires_grad_()
        outs = [upfirdn2d(x, wide(kernel), **settings) for settings in UPFIRDN[:4]]
        outs.append(fused_leaky_relu(x, wide(bias)))
        assert all(out.dtype == x.dtype for out in outs)
        grads = [
            torch.autograd.grad(out, x, torch.linspace(-1, 1, out.numel()).to(out).view_as(out))[0]
            for out in outs
        ]
        return [value.double() for value in outs + grads]

    choose_ops("native")
    expected = results(x.double(), lambda value: value.double())
    with machine.compiled():
        torch.testing.assert_close(results(x, lambda value: value), expected, rtol=tolerance, atol=tolerance)


def test_operators_are_tried_before_use(
    cpu_operators: CompiledOperators, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_operators(cpu_operators, torch.device("cpu"))
    monkeypatch.setattr(cpu_operators, "upfirdn2d", lambda x, *_: torch.zeros(2, 3, 3, 2, dtype=x.dtype))
    with pytest.raises(RuntimeError, match="give wrong numbers on this device"):
        check_operators(cpu_operators, torch.device("cpu"))


def test_a_precision_that_was_not_compiled_is_named(cpu_operators: CompiledOperators) -> None:
    with pytest.raises(RuntimeError, match="fused_bias_act: this dtype was not compiled"):
        cpu_operators.fused_bias_act(torch.zeros(1, 2, dtype=torch.float16), None, None, 0.2, 1.0)
