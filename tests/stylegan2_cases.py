"""StyleGAN2's golden blocks, and settings of its filter, for the operators in plain PyTorch and compiled."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

import parity
from models.stylegan2 import layers
from models.stylegan2.model import Discriminator, Generator
from models.stylegan2.op import fused_leaky_relu, upfirdn2d
from models.stylegan2.resampling import Blur, Upsample, make_kernel, resampling_padding

UPFIRDN = [
    {"up": 1, "down": 1, "pad": (2, 1)},
    {"up": 2, "down": 1, "pad": (2, 1)},
    {"up": 1, "down": 2, "pad": (1, 1)},
    {"up": 3, "down": 2, "pad": (2, 3)},
    {"up": 2, "down": 1, "pad": (-1, 2)},
    {"up": 1, "down": 2, "pad": (1, -1)},
]


def downsample(kernel: Sequence[float]) -> Blur:
    """The official layer that halves the resolution, which none of our networks has by itself."""
    return Blur(kernel, resampling_padding(len(kernel), doubling=False), down=2)


LAYERS: dict[str, Callable[..., torch.nn.Module]] = {
    "modulated_conv2d": layers.ModulatedConv2d,
    "blur": Blur,
    "upsample": Upsample,
    "downsample": downsample,
    "equal_linear": layers.EqualLinear,
    "equal_conv2d": layers.EqualConv2d,
    "conv_layer": layers.ConvLayer,
    "res_block": layers.ResBlock,
    "pixel_norm": layers.PixelNorm,
    "constant_input": layers.ConstantInput,
    "noise_injection": layers.NoiseInjection,
    "styled_conv": layers.StyledConv,
    "to_rgb": layers.ToRGB,
}
each_block = parity.each("stylegan2_blocks")


def arguments(entry: parity.Entry) -> dict[str, Any]:
    """Constructor or call arguments of an entry: padding as a tuple, and as numbers what is told in words."""
    found = dict(entry["args"])
    if "pad" in found:
        found["pad"] = tuple(found["pad"])
    if isinstance(found.get("kernel"), str):  # "outer product of [1,3,3,1], divided by its sum"
        taps = found["kernel"]
        found["kernel"] = make_kernel(json.loads(taps[taps.index("[") : taps.index("]") + 1]))
    if isinstance(found.get("scale"), str):  # "sqrt(2)"
        found["scale"] = math.sqrt(float(found["scale"].removeprefix("sqrt(").removesuffix(")")))
    return found


def generator_sizes(entry: parity.Entry) -> dict[str, int]:
    """Constructor arguments of the generator of an entry."""
    defaults = {"style_dim": 512, "n_mlp": 8}
    given = ("size", "style_dim", "n_mlp", "channel_multiplier")
    return defaults | {name: entry["args"][name] for name in given if name in entry["args"]}


def generator(entry: parity.Entry, dtype: torch.dtype = torch.float32) -> Generator:
    """The filled generator of an entry, without gradients."""
    network = parity.network(entry, Generator, dtype, **generator_sizes(entry))
    network.zero_grad()
    return network


def discriminator(entry: parity.Entry, dtype: torch.dtype = torch.float32) -> Discriminator:
    """The filled discriminator of an entry, without gradients."""
    given = {name: entry["args"][name] for name in ("size", "channel_multiplier") if name in entry["args"]}
    network = parity.network(entry, Discriminator, dtype, **given)
    network.zero_grad()
    return network


def golden_layer(entry: parity.Entry) -> torch.nn.Module:
    return parity.fill(LAYERS[entry["name"].split("/")[0]](**arguments(entry)), entry)


def check_block(entry: parity.Entry) -> None:
    """Holds one block against the official numbers."""
    inputs = list(parity.inputs(entry).values())
    kind = entry["name"].split("/")[0]
    if kind == "upfirdn2d":
        result = upfirdn2d(*inputs, **arguments(entry))
    elif kind == "fused_leaky_relu":
        result = fused_leaky_relu(*inputs, **arguments(entry))
    else:
        with torch.no_grad():
            result = golden_layer(entry)(*inputs)
    parity.check(result, entry, "y")
