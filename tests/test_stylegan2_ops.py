"""StyleGAN2's operators and layers: official numbers, exact derivatives, two forms of one convolution."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from stylegan2_cases import LAYERS, UPFIRDN, check_block, each_block, golden_layer

import parity
from models.stylegan2 import layers
from models.stylegan2.op import FusedLeakyReLU, fused_leaky_relu, upfirdn2d
from models.stylegan2.resampling import doubling_convolution, resampling_padding


@each_block
def test_block_is_official(entry: parity.Entry) -> None:
    check_block(entry)


@pytest.mark.skipif(not parity.IS_BUNDLED, reason="another folder may lack some")
def test_every_kind_of_block_has_a_golden_entry() -> None:
    kinds = {entry["name"].split("/")[0] for entry in parity.entries("stylegan2_blocks")}
    assert kinds == {*LAYERS, "upfirdn2d", "fused_leaky_relu"}


def modulated(entries: list[parity.Entry]) -> list[parity.Entry]:
    return [entry for entry in entries if entry["name"].startswith("modulated_conv2d")]


@parity.each("stylegan2_blocks", change=modulated)
def test_grouped_form_equals_the_shared_one(entry: parity.Entry) -> None:
    """In value, on the official numbers, and in every gradient."""
    layer = golden_layer(entry).double()
    x, style = (value.requires_grad_() for value in parity.inputs(entry, torch.float64).values())
    results = {}
    for layer.grouped in (False, True):
        out = layer(x, style)
        parity.check(out, entry, "y")
        results[layer.grouped] = (
            out,
            *torch.autograd.grad(out.square().sum(), [x, style, *layer.parameters()]),
        )
    for shared, grouped in zip(results[False], results[True], strict=True):
        torch.testing.assert_close(grouped, shared, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("settings", UPFIRDN, ids=str)
def test_upfirdn2d_derivatives(settings: dict[str, Any]) -> None:
    x = torch.randn(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(4, 3, dtype=torch.float64)
    torch.autograd.gradcheck(lambda x: upfirdn2d(x, kernel, **settings), x)
    torch.autograd.gradgradcheck(lambda x: upfirdn2d(x, kernel, **settings), x)


def slow_upfirdn2d(
    x: torch.Tensor, kernel: torch.Tensor, up: int, down: int, pad: tuple[int, int]
) -> torch.Tensor:
    """The definition, sample by sample."""
    batch, channels, height, width = x.shape
    spread = torch.zeros(batch, channels, height * up, width * up, dtype=x.dtype)
    spread[..., ::up, ::up] = x
    before, after = pad
    spread = torch.nn.functional.pad(spread, (before, after, before, after))
    taps_y, taps_x = kernel.shape
    rows = range(0, spread.shape[2] - taps_y + 1, down)
    columns = range(0, spread.shape[3] - taps_x + 1, down)
    out = torch.empty(batch, channels, len(rows), len(columns), dtype=x.dtype)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            window = spread[..., row : row + taps_y, column : column + taps_x]
            out[..., i, j] = (window * kernel.flip(0, 1)).sum((2, 3))
    return out


@pytest.mark.parametrize("settings", UPFIRDN, ids=str)
def test_upfirdn2d_is_its_definition(settings: dict[str, Any]) -> None:
    x = torch.randn(2, 3, 6, 7, dtype=torch.float64)
    kernel = torch.randn(4, 3, dtype=torch.float64)
    torch.testing.assert_close(upfirdn2d(x, kernel, **settings), slow_upfirdn2d(x, kernel, **settings))


@pytest.mark.parametrize("shape", [(3, 4, 3, 2), (3, 4)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_fused_leaky_relu_derivatives(shape: tuple[int, ...], with_bias: bool) -> None:
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    tensors = [x, torch.randn(shape[1], dtype=torch.float64, requires_grad=True)][: 1 + with_bias]
    torch.autograd.gradcheck(fused_leaky_relu, tensors)
    torch.autograd.gradgradcheck(fused_leaky_relu, tensors)


@pytest.mark.parametrize("scale", [1.0, math.sqrt(2), 3.0])
@pytest.mark.parametrize("with_bias", [True, False])
def test_fused_leaky_relu_leaves_its_input_alone(scale: float, with_bias: bool) -> None:
    """It works in place on its own intermediate, never on what it was given."""
    x, bias = torch.randn(2, 4, 3, 3), torch.randn(4) if with_bias else None
    before = x.clone()
    result = fused_leaky_relu(x, bias, 0.1, scale)
    torch.testing.assert_close(x, before, rtol=0, atol=0)
    shifted = before if bias is None else before + bias[:, None, None]
    torch.testing.assert_close(result, torch.where(shifted > 0, shifted, 0.1 * shifted) * scale)


@pytest.mark.parametrize(
    ("taps", "doubling", "kernel_size", "pad"),
    [
        (4, True, None, (2, 1)),
        (4, True, 3, (1, 1)),
        (4, True, 1, (2, 2)),
        (3, True, None, (2, 0)),
        (3, True, 3, (1, 0)),
        (4, False, None, (1, 1)),
        (4, False, 1, (1, 1)),
        (4, False, 3, (2, 2)),
        (3, False, None, (1, 0)),
        (6, False, 5, (4, 4)),
    ],
)
def test_padding_is_official(
    taps: int, doubling: bool, kernel_size: int | None, pad: tuple[int, int]
) -> None:
    assert resampling_padding(taps, doubling, kernel_size) == pad


@pytest.mark.parametrize("taps", range(2, 8))
@pytest.mark.parametrize("kernel_size", [None, 1, 3, 5])
def test_padding_makes_the_size_exact(taps: int, kernel_size: int | None) -> None:
    x, filter_ = torch.zeros(1, 1, 16, 16), torch.zeros(taps, taps)
    twice = resampling_padding(taps, True, kernel_size)
    half = resampling_padding(taps, False, kernel_size)
    if kernel_size is None:
        doubled, halved = upfirdn2d(x, filter_, up=2, pad=twice), upfirdn2d(x, filter_, down=2, pad=half)
    else:
        weight = torch.zeros(1, 1, kernel_size, kernel_size)
        doubled = upfirdn2d(F.conv_transpose2d(x, weight, stride=2), filter_, pad=twice)
        halved = F.conv2d(upfirdn2d(x, filter_, pad=half), weight, stride=2)
    assert (doubled.shape[2:], halved.shape[2:]) == ((32, 32), (8, 8))


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activate", [True, False])
def test_gain_multiplies_the_output_of_a_discriminator_layer(
    kernel_size: int, bias: bool, activate: bool
) -> None:
    """The layer folds it into weight and bias; here stands the plain form of it, filter before decimation."""
    layer = layers.ConvLayer(3, 4, kernel_size, downsample=True, bias=bias, activate=activate).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    blur, convolution, *activation = layer
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    filtered = upfirdn2d(x, blur.kernel, pad=blur.pad)
    expected = F.conv2d(filtered, convolution.weight * convolution.scale, convolution.bias, stride=2)
    for module in activation:
        expected = module(expected)
    assert sum(parameter.numel() == 4 for parameter in layer.parameters()) == bias
    torch.testing.assert_close(layer(x, gain=0.3), 0.3 * expected)


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("grouped", [True, False])
def test_styled_convolution_is_its_parts_one_after_another(demodulate: bool, grouped: bool) -> None:
    """The gain of the activation goes into factors, noise and bias; here every part does its own share."""
    layer = layers.StyledConv(3, 4, 3, 5, upsample=True, demodulate=demodulate).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    layer.conv.grouped = grouped
    x, style, noise = (torch.randn(shape).double() for shape in ((2, 3, 4, 4), (2, 5), (2, 1, 8, 8)))
    expected = layer.activate(layer.conv(x, style) + layer.noise.weight * noise)
    torch.testing.assert_close(layer(x, style, noise), expected)


def test_discriminator_layers_leave_their_input_alone() -> None:
    x = torch.randn(2, 8, 8, 8)
    before = x.clone()
    with torch.no_grad():
        layers.ResBlock(8, 8)(x)
        layers.StyledConv(8, 8, 3, 4)(x, torch.randn(2, 4))
        FusedLeakyReLU(8)(x)
    torch.testing.assert_close(x, before, rtol=0, atol=0)


@torch.no_grad()
def test_fresh_noise_has_one_channel_and_the_learned_strength() -> None:
    layer = layers.NoiseInjection()
    torch.nn.init.constant_(layer.weight, 2.0)
    image = torch.zeros(2, 3, 64, 64)
    first, second = layer(image), layer(image)
    assert not torch.equal(first, second)
    torch.testing.assert_close(first[:, :1].expand(-1, 3, -1, -1), first)
    assert first.std() == pytest.approx(2.0, rel=0.05)


def test_activations_keep_their_precision_and_weights_stay_in_float32() -> None:
    layer = layers.StyledConv(8, 8, 3, 4, upsample=True)
    x, style = torch.randn(2, 8, 4, 4), torch.randn(2, 4)
    noise = torch.randn(1, 1, 8, 8)
    full, half = layer(x, style, noise), layer(x.bfloat16(), style, noise)
    assert half.dtype == torch.bfloat16
    assert all(parameter.dtype == torch.float32 for parameter in layer.parameters())
    torch.testing.assert_close(half.float(), full, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("size", [(32, 33), (16, 32)])
def test_a_doubling_convolution_is_a_transposed_one(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in phases, with first and second derivatives."""
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, 3, 3, dtype=torch.float64, requires_grad=True)
    expected = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    torch.testing.assert_close(doubling_convolution(x, weight), expected)
    small = x.detach()[:1, :, :3, :4].requires_grad_()
    monkeypatch.setattr("models.stylegan2.resampling.LARGE", 1)
    torch.autograd.gradcheck(doubling_convolution, (small, weight))
    torch.autograd.gradgradcheck(doubling_convolution, (small, weight))
