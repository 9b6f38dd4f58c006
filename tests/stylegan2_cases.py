"""StyleGAN2's golden blocks, and settings of its filter, for the operators in plain PyTorch and compiled."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

import parity
from models.stylegan2 import layers
from models.stylegan2.op import fused_leaky_relu, upfirdn2d

UPFIRDN = [
    {"up": 1, "down": 1, "pad": (2, 1)},
    {"up": 2, "down": 1, "pad": (2, 1)},
    {"up": 1, "down": 2, "pad": (1, 1)},
    {"up": 3, "down": 2, "pad": (2, 3)},
    {"up": 2, "down": 1, "pad": (-1, 2)},
    {"up": 1, "down": 2, "pad": (1, -1)},
]


def downsample(kernel: Sequence[float]) -> layers.Blur:
    """The official layer that halves the resolution, which none of our networks has by itself."""
    return layers.Blur(kernel, layers.resampling_padding(len(kernel), doubling=False), down=2)


LAYERS: dict[str, Callable[..., torch.nn.Module]] = {
    "modulated_conv2d": layers.ModulatedConv2d,
    "blur": layers.Blur,
    "upsample": layers.Upsample,
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
BLOCKS = parity.entries("stylegan2_blocks")


def arguments(entry: parity.Entry) -> dict[str, Any]:
    """Constructor or call arguments of an entry, padding as a tuple."""
    return {name: tuple(value) if name == "pad" else value for name, value in entry["args"].items()}


def golden_layer(entry: parity.Entry) -> torch.nn.Module:
    return parity.fill(LAYERS[entry["name"].split("/")[0]](**arguments(entry)), entry)


def check_block(entry: parity.Entry) -> None:
    """Holds one block against the official numbers."""
    inputs = list(parity.inputs(entry).values())
    kind = entry["name"].split("/")[0]
    if kind == "upfirdn2d":
        settings = arguments(entry)
        if isinstance(settings.get("kernel"), str):  # told in words
            settings["kernel"] = layers.make_kernel((1, 3, 3, 1))
        result = upfirdn2d(*inputs, **settings)
    elif kind == "fused_leaky_relu":
        result = fused_leaky_relu(*inputs)
    else:
        with torch.no_grad():
            result = golden_layer(entry)(*inputs)
    parity.check(result, entry, "y")
