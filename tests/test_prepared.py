"""Forms of frozen weights are computed once, follow every change of the weights, and change no number."""

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.encoders.helpers import InputLayer, PReLU, ResidualUnit
from models.encoders.model_irse import Backbone
from models.encoders.psp_encoders import GradualStyleEncoder
from models.prepared import Prepared
from models.stacked import runs_in_memory, side_by_side, stacked
from models.stylegan2.model import Generator
from training.averaging import update_average
from training.rehearsal import Rehearsal

TINY = {"channels": (8, 8, 16, 24, 32), "units": (1, 2, 1, 1)}


def with_statistics(network: nn.Module) -> nn.Module:
    """Random running statistics, so that a norm in eval mode does something."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias)
    return network.double().eval()


def plain_unit(unit: ResidualUnit, x: Tensor) -> Tensor:
    """A residual unit as its layers one after another have it."""
    shortcut, out = unit.shortcut_layer(x), x
    for layer in unit.res_layer:
        out = F.prelu(out, layer.weight) if isinstance(layer, PReLU) else layer(out)
    return out + shortcut


# ---------------------------------------------------------------- what is kept, and for how long


def test_frozen_weights_are_prepared_once() -> None:
    weight, calls, prepared = torch.ones(3), [], Prepared()
    for _ in range(3):
        prepared.of([weight], lambda: calls.append(1) or weight * 2)
    prepared.of([weight], lambda: calls.append(1) or weight * 2, torch.float64)
    assert len(calls) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda linear: linear.load_state_dict({"weight": torch.full((2, 2), 5.0)}),
        lambda linear: setattr(linear.weight, "data", torch.full((2, 2), 5.0)),
        lambda linear: linear.double().weight.fill_(5.0),
        lambda linear: torch._foreach_copy_([linear.weight], [torch.full((2, 2), 5.0)]),
        lambda linear: update_average(linear, constant(5.0), 0.0),
    ],
    ids=["loaded", "replaced", "moved", "together", "averaged"],
)
def test_a_change_of_the_weights_is_seen(change: Callable[[nn.Linear], object]) -> None:
    linear, prepared = constant(1.0), Prepared()
    assert float(prepared.of([linear.weight], lambda: linear.weight.sum())) == 4
    change(linear)
    assert float(prepared.of([linear.weight], lambda: linear.weight.sum())) == 20


def constant(value: float) -> nn.Linear:
    """A frozen layer whose weights are all the same."""
    linear = nn.Linear(2, 2, bias=False).requires_grad_(False)
    nn.init.constant_(linear.weight, value)
    return linear


def test_weights_that_learn_are_never_kept() -> None:
    """A fused optimiser changes them without a trace, and gradients must reach them."""
    weight, prepared = nn.Parameter(torch.ones(2)), Prepared()
    optimizer = torch.optim.Adam([weight], lr=0.5, fused=True)
    first = prepared.of([weight], lambda: weight * 1)
    first.sum().backward()
    optimizer.step()
    with torch.no_grad():
        torch.testing.assert_close(prepared.of([weight], lambda: weight * 1), weight.detach())
    assert not torch.equal(first, weight)


# ---------------------------------------------------------------- the same numbers


@pytest.mark.parametrize("squeeze", [True, False])
@pytest.mark.parametrize(("width", "stride"), [(6, 1), (6, 2), (8, 2)])
def test_a_folded_unit_is_the_unit(squeeze: bool, width: int, stride: int) -> None:
    unit = with_statistics(ResidualUnit(6, width, stride, squeeze))
    x = torch.randn(2, 6, 10, 10, dtype=torch.float64, requires_grad=True)
    results = []
    for forward in (lambda: plain_unit(unit, x), lambda: unit(x), lambda: unit.requires_grad_(False)(x)):
        out = forward()
        results.append((out, torch.autograd.grad(out.square().sum(), x)[0]))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0])


def test_every_weight_of_a_unit_has_its_derivative() -> None:
    unit = with_statistics(ResidualUnit(6, 8, 2, True))
    x = torch.randn(2, 6, 8, 8, dtype=torch.float64)
    weights = list(unit.parameters())
    expected = torch.autograd.grad(plain_unit(unit, x).square().sum(), weights)
    torch.testing.assert_close(torch.autograd.grad(unit(x).square().sum(), weights), expected)


def test_a_folded_stem_is_the_stem() -> None:
    stem = with_statistics(InputLayer(3, 5))
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(stem.requires_grad_(False)(x), stem[2](stem[1](stem[0](x))))


def test_heads_together_are_the_heads_one_by_one() -> None:
    encoder = GradualStyleEncoder(n_styles=9, input_size=64, style_dim=12, **TINY).double().eval()
    x = torch.randn(3, 3, 64, 64, dtype=torch.float64)
    maps = encoder.pyramid(x)
    levels = [0, 0, 0, 1, 1, 1, 1, 2, 2]
    expected = torch.stack([head(maps[level]) for head, level in zip(encoder.styles, levels, strict=True)], 1)
    parameters = list(encoder.parameters())
    gradients = torch.autograd.grad(expected.sin().sum(), parameters, retain_graph=True)
    codes = encoder(x)
    torch.testing.assert_close(codes, expected)
    torch.testing.assert_close(torch.autograd.grad(codes.sin().sum(), parameters), gradients)


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("noise", ["fresh", "fixed"])
def test_factors_of_all_layers_are_those_of_each(frozen: bool, noise: str) -> None:
    """The grouped form computes every layer by itself."""
    generator = Generator(32, 16, 2, channels={4: 16, 8: 16, 16: 8, 32: 8}).double()
    for layer in (generator.conv1, *generator.convs):
        nn.init.constant_(layer.noise.weight, 0.3)
        nn.init.normal_(layer.activate.bias)
    generator.requires_grad_(not frozen)
    codes = torch.randn(2, generator.n_latent, 16, dtype=torch.float64, requires_grad=True)
    planes = generator.noise_buffers()
    if noise == "fresh":
        planes = [torch.randn(2, 1, *plane.shape[2:], dtype=torch.float64) for plane in planes]
    results = []
    for grouped in (False, True):
        generator.use_grouped_convolution(grouped)
        image = generator.synthesize(codes, planes)
        results.append((image, torch.autograd.grad(image.square().sum(), codes)[0]))
    torch.testing.assert_close(results[0], results[1])


def test_fresh_noise_of_frozen_layers_has_their_strengths() -> None:
    generator = Generator(16, 8, 1, channels={4: 4, 8: 4, 16: 4}).requires_grad_(False)
    strengths = [0.5, 1.0, 2.0, 0.0, 3.0]
    for layer, strength in zip((generator.conv1, *generator.convs), strengths, strict=True):
        nn.init.constant_(layer.noise.weight, strength)
    _, shifts = generator._noise.shifts([None] * 5, 256, torch.float32)
    gain = generator.conv1.activate.scale
    for shift, strength, side in zip(shifts, strengths, (4, 8, 8, 16, 16), strict=True):
        assert shift.shape == (256, 1, side, side)
        assert float(shift.std()) == pytest.approx(strength * gain, rel=0.05)
    assert not torch.equal(shifts[0], generator._noise.shifts([None] * 5, 256, torch.float32)[1][0])


def test_autocast_runs_a_frozen_network_in_its_dtype() -> None:
    network = Backbone(64, embedding_dim=24, **TINY).eval().requires_grad_(False)
    x = torch.randn(2, 3, 64, 64)
    plain = network(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = network(x)
    torch.testing.assert_close(half.float(), plain, atol=0.03, rtol=0)
    torch.testing.assert_close(network(x), plain, atol=0, rtol=0)


# ---------------------------------------------------------------- stacks without copies


@pytest.mark.parametrize("moved", [lambda e: e, copy.deepcopy, lambda e: e.double().float()])
def test_weights_of_heads_lie_together_wherever_they_go(moved: Callable[[nn.Module], nn.Module]) -> None:
    encoder = moved(GradualStyleEncoder(n_styles=9, input_size=32, style_dim=12, **TINY))
    weights = [head.convs[0].weight for head in encoder.styles[:3]]
    stack = stacked(weights)
    assert stack.data_ptr() == weights[0].data_ptr()
    torch.testing.assert_close(stack, torch.stack(weights), rtol=0, atol=0)
    stack.square().sum().backward()
    assert side_by_side([weight.grad for weight in weights]) is not None
    for weight in weights:
        torch.testing.assert_close(weight.grad, 2 * weight.detach())


def test_tensors_that_lie_apart_are_stacked_all_the_same() -> None:
    whole = torch.randn(4, 3)
    parts = [whole[0], whole[2], torch.randn(3), whole[1]]
    assert side_by_side(parts) is None
    torch.testing.assert_close(stacked(parts), torch.stack(parts))
    assert sorted(len(run) for run in runs_in_memory(parts)) == [1, 3]


def test_a_rehearsal_keeps_nothing() -> None:
    """Its tensors hold no numbers."""
    weight, prepared = torch.ones(3), Prepared()
    with Rehearsal():
        prepared.of([weight], lambda: weight * 2)
    torch.testing.assert_close(prepared.of([weight], lambda: weight * 2), torch.full((3,), 2.0))
