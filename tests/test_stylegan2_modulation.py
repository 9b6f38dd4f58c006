"""Factors of channels and the activation of styled layers, compiled and in plain PyTorch; layers on a GPU."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from stylegan2_machine import LAYOUTS, Machine, channels_last, derivatives
from torch import Tensor, nn

from models.stylegan2 import layers
from models.stylegan2.op import FusedLeakyReLU, choose_ops, scale_channels
from models.stylegan2.op.compiled import CompiledOperators, check_operators
from models.stylegan2.op.modulation import ChannelDot

# whole packs, half packs, none
SHAPES = [(2, 8, 5, 7), (3, 6, 4, 4), (2, 3, 5, 3), (1, 4, 1, 1), (2, 1, 3, 4), (0, 4, 2, 2)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
each_layout = pytest.mark.parametrize("layout", ["contiguous", "channels_last"])


def factors_of(x: Tensor) -> Tensor:
    """Positive, as those of demodulation."""
    return (torch.rand(x.shape[:2], dtype=torch.float64) + 0.5).to(x)


@each_shape
@each_layout
@pytest.mark.parametrize("given", ["", "factors", "shift", "bias", "one shift", "factors shift bias"])
def test_sum_under_the_activation(
    cpu_operators: CompiledOperators, given: str, layout: str, shape: tuple[int, ...]
) -> None:
    """Each term is optional, and a reference decides in the place of the sum."""
    x = LAYOUTS[layout](torch.randn(shape))
    noise = torch.randn(1 if "one" in given else shape[0], 1, *shape[2:])
    factors = factors_of(x) if "factors" in given else None
    shift = noise if "shift" in given else None
    bias = torch.randn(shape[1]) if "bias" in given else None
    total = x if factors is None else x * factors[:, :, None, None]
    total = total if shift is None else total + shift
    total = total if bias is None else total + bias[:, None, None]
    reference = torch.randn(shape)
    for sign in (None, reference, channels_last(reference)):
        result = cpu_operators.fused_bias_act(x, bias, sign, 0.2, 3.0, factors, shift)
        slopes = torch.where((total if sign is None else sign) > 0, 3.0, 0.6)
        torch.testing.assert_close(result, total * slopes)


def test_walks_of_many_pixels(cpu_operators: CompiledOperators) -> None:
    """A large map has several pixels a thread, and the last round of some threads is not full."""
    x = torch.randn(1, 1027, 1031, 4).permute(0, 3, 1, 2)
    factors, shift, bias = factors_of(x), torch.randn(1, 1, 1027, 1031), torch.randn(4)
    result = cpu_operators.fused_bias_act(x, bias, None, 0.2, 1.0, factors, shift)
    total = x * factors[:, :, None, None] + shift + bias[:, None, None]
    torch.testing.assert_close(result, F.leaky_relu(total, 0.2))
    expected = (x.double() * total).sum((2, 3)).float()
    torch.testing.assert_close(cpu_operators.channel_dot(x, total), expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("side", [9, 24])
def test_sums_of_products(cpu_operators: CompiledOperators, layout: str, side: int) -> None:
    x = LAYOUTS[layout](torch.randn(3, 4, side, 8))
    other = torch.randn(x.shape)
    expected = (x * other).sum((2, 3))
    for pair in ((x, other), (other, x), (x, channels_last(other))):
        result = cpu_operators.channel_dot(*pair)
        assert result.dtype == torch.float32
        torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)


def test_samples_of_the_noise_may_lie_apart(cpu_operators: CompiledOperators) -> None:
    """The planes of all layers are drawn as one tensor."""
    x, planes = torch.randn(2, 4, 3, 5), torch.randn(2, 40)
    shift = planes[:, 7:22].unflatten(1, (1, 3, 5))
    for values in (x, channels_last(x)):
        for plane in (shift, shift.transpose(2, 3).contiguous().transpose(2, 3)):
            result = cpu_operators.fused_bias_act(values, None, None, 1.0, 1.0, None, plane)
            torch.testing.assert_close(result, x + shift)


# ---------------------------------------------------------------- derivatives


def scaled_act(bias: bool) -> Callable[..., Tensor]:
    """The activation as a function of everything that it reads."""

    def function(x: Tensor, factors: Tensor, shift: Tensor, *learned: Tensor) -> Tensor:
        layer = FusedLeakyReLU(x.shape[1], bias)
        if bias:
            del layer.bias
            layer.bias = learned[0]
        return layer.finish_scaled(x, factors, shift)

    return function


def inputs_of(shape: Sequence[int], layout: str, noises: int, bias: bool, device: str) -> list[Tensor]:
    """Activations, factors, noise and perhaps a bias, in double precision."""
    x = torch.randn(*shape, dtype=torch.float64, device=device)
    inputs = [LAYOUTS[layout](x), factors_of(x), torch.randn(noises, 1, *shape[2:]).to(x)]
    return inputs + [torch.randn(shape[1]).to(x)] * bias


@each_shape
@each_layout
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_scaled_activation(machine: Machine, bias: bool, layout: str, shape: tuple[int, ...]) -> None:
    """Outputs, first and second derivatives; and first ones alone, which take a shorter way."""
    for noises in {1, shape[0]}:
        inputs = inputs_of(shape, layout, noises, bias, machine.device)
        machine.compare(lambda *given: derivatives(scaled_act(bias), given), *inputs)

        def first(*given: Tensor) -> tuple[Tensor, ...]:
            x, factors = (value.detach().requires_grad_() for value in given[:2])
            out = scaled_act(bias)(x, factors, *given[2:])
            both = torch.autograd.grad(out.square().sum(), [x, factors], retain_graph=True)
            return both + torch.autograd.grad(out.square().sum(), x)

        machine.compare(first, *inputs)


@each_shape
@each_layout
def test_scaled_channels(machine: Machine, layout: str, shape: tuple[int, ...]) -> None:
    x, factors = inputs_of(shape, layout, 1, False, machine.device)[:2]
    machine.compare(lambda *given: derivatives(scale_channels, given), x, factors)


@each_layout
@pytest.mark.parametrize("noises", [1, 2])
def test_derivatives_are_those_of_the_values(machine: Machine, noises: int, layout: str) -> None:
    inputs = inputs_of((2, 4, 3, 3), layout, noises, True, machine.device)
    inputs = [value.requires_grad_() for value in inputs]
    frozen = [inputs[0], inputs[1], inputs[2].detach(), inputs[3].detach()]
    with machine.compiled():
        for given in (inputs, frozen):
            torch.autograd.gradcheck(scaled_act(True), given)
            torch.autograd.gradgradcheck(scaled_act(True), given)
        torch.autograd.gradcheck(scale_channels, inputs[:2])
        torch.autograd.gradgradcheck(scale_channels, inputs[:2])


@each_layout
def test_derivatives_of_sums_of_products(cpu_operators: CompiledOperators, layout: str) -> None:
    pair = [LAYOUTS[layout](torch.randn(2, 4, 5, 4, dtype=torch.float64)).requires_grad_() for _ in range(2)]
    torch.autograd.gradcheck(lambda a, b: ChannelDot.apply(a, b, cpu_operators), pair)
    torch.autograd.gradgradcheck(lambda a, b: ChannelDot.apply(a, b, cpu_operators), pair)


# ---------------------------------------------------------------- layers


def pass_of(layer: nn.Module, x: Tensor, *others: Tensor, create_graph: bool = False) -> list[Tensor]:
    """Output, and gradients of the input, the styles and every parameter."""
    given = [value.detach().requires_grad_() for value in (x, *others)]
    out = layer(*given)
    learned = [parameter for parameter in layer.parameters() if parameter.requires_grad]
    along = torch.linspace(-1, 1, out.numel(), device=out.device).view_as(out).to(out)
    grads = torch.autograd.grad(out, [*given, *learned], along, create_graph=create_graph)
    return [value.detach() for value in (out, *grads)]


def kinds() -> dict[str, Callable[[], nn.Module]]:
    """Layers that the operators serve; a second one with odd channels where that takes another kernel."""
    return {
        "styled": lambda: layers.StyledConv(16, 8, 3, 5),
        "styled, doubling": lambda: layers.StyledConv(16, 8, 3, 5, upsample=True),
        "styled, odd": lambda: layers.StyledConv(16, 7, 3, 5),
        "styled, without demodulation": lambda: layers.StyledConv(16, 8, 3, 5, demodulate=False),
        "modulated": lambda: layers.ModulatedConv2d(16, 8, 3, 5),
        "to RGB": lambda: layers.ToRGB(16, 5, upsample=False),
        "discriminator": lambda: layers.ConvLayer(16, 8, 3),
        "discriminator, halving": lambda: layers.ConvLayer(16, 8, 3, downsample=True),
        "discriminator, no bias": lambda: layers.ConvLayer(16, 8, 1, bias=False),
    }


def made(kind: str, device: str, frozen: bool = False) -> tuple[nn.Module, list[Tensor]]:
    """A layer and what it is given."""
    layer = kinds()[kind]()
    for name, parameter in layer.named_parameters():
        torch.nn.init.normal_(parameter, mean=float(name == "conv.modulation.bias"))
        parameter.requires_grad_(not frozen)
    x = channels_last(torch.randn(2, 16, 8, 8))
    side = 16 if "doubling" in kind else 8
    inputs = [x] if "discriminator" in kind else [x, torch.randn(2, 5)]
    inputs += [torch.randn(2, 1, side, side)] if kind.startswith("styled") else []
    return layer.to(device), [value.to(device) for value in inputs]


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("frozen", [False, True], ids=["learns", "frozen"])
@pytest.mark.parametrize("create_graph", [False, True], ids=["first", "second"])
def test_layers(machine: Machine, create_graph: bool, frozen: bool, kind: str) -> None:
    layer, inputs = made(kind, machine.device, frozen)
    layer, inputs = layer.double(), [value.double() for value in inputs]
    machine.compare(lambda *given: pass_of(layer, *given, create_graph=create_graph), *inputs)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("frozen", [False, True], ids=["learns", "frozen"])
@pytest.mark.parametrize(
    ("dtype", "bounds"),
    [(torch.float32, (1e-4, 1e-4, 1e-3)), (torch.bfloat16, (1e-2, 0.2, 0.5))],
    ids=["float32", "bfloat16"],
)
def test_layers_on_a_gpu(
    kind: str,
    frozen: bool,
    dtype: torch.dtype,
    bounds: tuple[float, float, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both against float64: output, gradients and those of one number, as shares of their norms.

    In bfloat16 some sums come out on the other side of 0, and their gradients with another slope: on a
    processor plain PyTorch is off by up to 0.12, and in the strength of the noise, where little is left of a
    long sum, by 0.33.
    """
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    layer, inputs = made(kind, "cuda", frozen)
    results = {}
    for ops in ("native", "cuda"):
        choose_ops(ops)
        results[ops] = pass_of(layer, inputs[0].to(dtype), *inputs[1:])
    choose_ops("native")
    exact = pass_of(layer.double(), *(value.double() for value in inputs))
    choose_ops("auto")
    for ops, found in results.items():
        for index, (value, expected) in enumerate(zip(found, exact, strict=True)):
            error = (value.double() - expected).norm() / expected.norm()
            bound = bounds[0 if index == 0 else 2 if value.numel() == 1 else 1]
            assert error < bound, (ops, index, float(error))


def test_gpu_pass_is_recorded(machine: Machine) -> None:
    """Within a CUDA graph nothing may wait for the device or be copied from the host."""
    if machine.device == "cpu":
        pytest.skip("needs CUDA graphs")
    work: list[Any] = [made(kind, "cuda") for kind in kinds()]

    def step() -> list[Tensor]:
        return [value for layer, inputs in work for value in pass_of(layer, *inputs)]

    with machine.compiled():
        expected = step()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = step()
        graph.replay()
        torch.testing.assert_close(results, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("wrong", ["channel_dot", "fused_bias_act"])
def test_new_operators_are_tried_before_use(
    cpu_operators: CompiledOperators, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    check_operators(cpu_operators, torch.device("cpu"))
    right = getattr(cpu_operators, wrong)

    def without_factors(x: Tensor, *rest: Any) -> Tensor:
        return right(x, *rest[:4])

    monkeypatch.setattr(
        cpu_operators, wrong, without_factors if wrong == "fused_bias_act" else lambda a, b: right(a, a)
    )
    with pytest.raises(RuntimeError, match="give wrong numbers on this device"):
        check_operators(cpu_operators, torch.device("cpu"))


def test_plain_scale_without_a_copy_is_the_same_number() -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        x = torch.randn(3, dtype=dtype)
        assert torch.equal(x.new_full((), math.sqrt(2)), x.new_tensor(math.sqrt(2)))
