"""StyleGAN2 in NVIDIA's layout (stylegan2-ada-pytorch, stylegan3) and in rosinality's: names, both ways.

The two compute the same pictures from the same numbers: only names differ, and dimensions of length one.
NVIDIA's clamp of activations at 256, which its half-precision networks have, is not applied here.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.kinds import checkpoint_kind, what_is
from models.loading import built_from, checked_numbers, described_by, empty_network, load_into, mean_latent
from models.stylegan2.layout import (
    compact_config,
    network_maker,
    rosinality_config,
    rosinality_networks,
)
from models.stylegan2.layout import official_content as rosinality_content
from models.stylegan2.model import Generator, StyleGAN2Config
from models.stylegan2.resampling import make_kernel
from utils.errors import InputError
from utils.files.checkpoints import Checkpoint

FILTER = (1, 3, 3, 1)
ENTRIES = {"G_ema": "g_ema", "G": "g", "D": "d"}  # NVIDIA's names of the networks and rosinality's
DISCRIMINATOR_LABEL_LAYERS = 8


class NamedWeight(NamedTuple):
    """One weight: its name here, at NVIDIA's, and which dimensions of length one it has only here."""

    ours: str
    theirs: str
    extra: tuple[int, ...] = ()


def generator_pairs(config: StyleGAN2Config) -> Iterator[NamedWeight]:
    """Every learned weight and noise plane of a generator."""
    for layer in range(config.n_mlp):
        for kind in ("weight", "bias"):
            yield NamedWeight(f"style.{layer + 1}.{kind}", f"mapping.fc{layer}.{kind}")
    if config.c_dim:
        yield from _linear("embed", "mapping.embed")
    yield NamedWeight("input.input", "synthesis.b4.const", (0,))
    yield from _styled_conv("conv1", "synthesis.b4.conv1", 0)
    yield from _to_rgb("to_rgb1", "synthesis.b4.torgb")
    for level in range(int(math.log2(config.size)) - 2):
        block = f"synthesis.b{8 << level}"
        for part in (0, 1):
            position = 2 * level + part
            yield from _styled_conv(f"convs.{position}", f"{block}.conv{part}", position + 1)
        yield from _to_rgb(f"to_rgbs.{level}", f"{block}.torgb")


def discriminator_pairs(config: StyleGAN2Config) -> Iterator[NamedWeight]:
    """Every learned weight of a discriminator."""
    yield NamedWeight("convs.0.0.weight", f"b{config.size}.fromrgb.weight")
    yield NamedWeight("convs.0.1.bias", f"b{config.size}.fromrgb.bias")
    for index in range(1, int(math.log2(config.size)) - 1):
        ours, theirs = f"convs.{index}", f"b{config.size >> (index - 1)}"
        yield NamedWeight(f"{ours}.conv1.0.weight", f"{theirs}.conv0.weight")
        yield NamedWeight(f"{ours}.conv1.1.bias", f"{theirs}.conv0.bias")
        yield NamedWeight(f"{ours}.conv2.1.weight", f"{theirs}.conv1.weight")
        yield NamedWeight(f"{ours}.conv2.2.bias", f"{theirs}.conv1.bias")
        yield NamedWeight(f"{ours}.skip.1.weight", f"{theirs}.skip.weight")
    yield NamedWeight("final_conv.0.weight", "b4.conv.weight")
    yield NamedWeight("final_conv.1.bias", "b4.conv.bias")
    yield from _linear("final_linear.0", "b4.fc")
    yield from _linear("final_linear.1", "b4.out")
    if config.c_dim:
        yield from _linear("mapping.embed", "mapping.embed")
        for layer in range(DISCRIMINATOR_LABEL_LAYERS):
            yield from _linear(f"mapping.style.{layer + 1}", f"mapping.fc{layer}")


def _linear(ours: str, theirs: str) -> Iterator[NamedWeight]:
    yield NamedWeight(f"{ours}.weight", f"{theirs}.weight")
    yield NamedWeight(f"{ours}.bias", f"{theirs}.bias")


def _styled_conv(ours: str, theirs: str, noise: int) -> Iterator[NamedWeight]:
    yield NamedWeight(f"{ours}.conv.weight", f"{theirs}.weight", (0,))
    yield from _linear(f"{ours}.conv.modulation", f"{theirs}.affine")
    yield NamedWeight(f"{ours}.activate.bias", f"{theirs}.bias")
    yield NamedWeight(f"{ours}.noise.weight", f"{theirs}.noise_strength", (0,))
    yield NamedWeight(f"noises.noise_{noise}", f"{theirs}.noise_const", (0, 1))


def _to_rgb(ours: str, theirs: str) -> Iterator[NamedWeight]:
    yield NamedWeight(f"{ours}.conv.weight", f"{theirs}.weight", (0,))
    yield from _linear(f"{ours}.conv.modulation", f"{theirs}.affine")
    yield NamedWeight(f"{ours}.bias", f"{theirs}.bias", (0, 2, 3))


def filter_names(config: StyleGAN2Config, network: str) -> list[str]:
    """Names of the (constant) filter buffers that NVIDIA stores beside the weights of ``g`` or ``d``."""
    sizes = [config.size >> step for step in range(int(math.log2(config.size)) - 2)]
    if network == "d":
        blocks = [f"b{size}.{part}" for size in sizes for part in ("", "conv0.", "conv1.", "skip.")]
        names = [*blocks, f"b{config.size}.fromrgb.", "b4.conv."]
    else:
        blocks = [f"synthesis.b{size}.{part}" for size in sizes for part in ("", "conv0.", "conv1.")]
        names = [*blocks, "synthesis.b4.", "synthesis.b4.conv1."]
    return [f"{name}resample_filter" for name in names]


# ---------------------------------------------------------------- NVIDIA -> rosinality


def from_nvidia(checkpoint: Mapping[str, Any], source: str) -> Checkpoint:
    """Turns networks in NVIDIA's layout into a checkpoint in rosinality's, ready for our networks.

    Args:
        checkpoint: what ``load_checkpoint`` makes of a ``.pkl``, or state dicts ``G_ema``, ``G`` and ``D``.
        source: the file, for error messages.

    Returns:
        ``g_ema`` and, where the file has them, ``g`` and ``d``; ``latent_avg``; ``opts``.

    Raises:
        InputError: it is another network, or a variant of StyleGAN2 that has no counterpart here.
    """
    if "network" in checkpoint:  # a file that holds one network and no names
        checkpoint = {**checkpoint, "G_ema": checkpoint["network"]}
    networks = {name: checkpoint[name] for name in ENTRIES if isinstance(checkpoint.get(name), Mapping)}
    for name, state in networks.items():
        for key, value in state.items():
            checked_numbers(value, key, f"{source}, {name}")
    generators = [name for name in ("G_ema", "G") if name in networks]
    if not generators:
        raise InputError(f"{source} holds no generator (G_ema or G)")
    with described_by(source):
        config = read_config(networks[generators[0]], source)
    for name in networks if isinstance(checkpoint.get("settings", {}), Mapping) else ():
        _check_settings(checkpoint.get("settings", {}).get(name, {}), f"{source}, {name}")
    result: Checkpoint = {}
    for name, state in networks.items():
        with described_by(f"{source}, {name}"):
            result[ENTRIES[name]] = _renamed(state, config, ENTRIES[name], f"{source}, {name}")
    result.setdefault("g_ema", result.get("g"))
    average = networks[generators[0]].get("mapping.w_avg")
    if average is not None:
        result["latent_avg"] = average.clone()
    result["opts"] = {"architecture": {"generator": config.to_dict()}, "output_size": config.size}
    return result


def official_content(checkpoint: Mapping[str, Any], source: str) -> Checkpoint:
    """The content of an official file: rosinality's layout.

    Raises:
        InputError: the networks cannot be converted.
    """
    return rosinality_content(from_nvidia(checkpoint, source), source)


def read_config(state: Mapping[str, Tensor], source: str) -> StyleGAN2Config:
    """Sizes of a generator in NVIDIA's layout.

    Raises:
        InputError: it is no StyleGAN2 generator, or one that has no counterpart here.
    """
    if any(key.startswith("synthesis.L") or key.startswith("synthesis.input.") for key in state):
        raise InputError(f"{source} is a StyleGAN3 network; only StyleGAN2 networks can be converted")
    sides = [int(found[1]) for key in state if (found := re.match(r"synthesis\.b(\d{1,4})\.", key))]
    if not sides or "synthesis.b4.const" not in state or "mapping.fc0.weight" not in state:
        raise InputError(f"{source} is not a StyleGAN2 generator in NVIDIA's layout")
    size = max(sides)
    if any(re.match(r"synthesis\.b\d+\.skip\.", key) for key in state):
        raise InputError(f"{source} has residual blocks; only generators of the skip architecture fit")
    try:
        channels = {
            side: state[f"synthesis.b{side}.conv1.weight"].shape[0]
            for side in (4 << step for step in range(int(math.log2(size)) - 1))
        }
        colours = state[f"synthesis.b{size}.torgb.weight"].shape[0]
        style_dim = state["synthesis.b4.conv1.affine.weight"].shape[1]
    except KeyError as error:
        raise InputError(f"{source} lacks {error.args[0]}; it is cut short or of another design") from error
    embed = state.get("mapping.embed.weight")
    c_dim, embedded = (0, 0) if embed is None else (embed.shape[1], embed.shape[0])
    z_dim = state["mapping.fc0.weight"].shape[1] - embedded
    if colours != 3 or z_dim != style_dim or embedded not in (0, style_dim):
        raise InputError(
            f"{source} has {colours} colour channels, z of {z_dim}, w of {style_dim} and label vectors of "
            f"{embedded} numbers; only RGB networks with equal lengths of these vectors fit"
        )
    n_mlp = sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", key)) for key in state)
    return compact_config(StyleGAN2Config(size, style_dim, n_mlp, channels=channels, c_dim=c_dim))


def _check_settings(settings: Mapping[str, Any], source: str) -> None:
    """Refuses what the names of the weights do not show."""
    for name, value in settings.items():
        if name.rpartition(".")[2] == "activation" and value not in ("lrelu", "linear"):
            raise InputError(f"{source}: {name} is {value!r}, only lrelu networks can be converted")


def _pairs(config: StyleGAN2Config, entry: str) -> list[NamedWeight]:
    return list(discriminator_pairs(config) if entry == "d" else generator_pairs(config))


def _renamed(
    state: Mapping[str, Tensor], config: StyleGAN2Config, entry: str, source: str
) -> dict[str, Tensor]:
    """One network's weights under our names, with our constant kernels beside them."""
    pairs = _pairs(config, entry)
    known = {pair.theirs for pair in pairs} | {"mapping.w_avg"}
    filters = {key for key in state if key.endswith("resample_filter")}
    unexpected = sorted(state.keys() - known - filters)
    missing = sorted(pair.theirs for pair in pairs if pair.theirs not in state)
    if unexpected or missing:
        first = f"lacks {missing[0]}" if missing else f"has {unexpected[0]}, which has no counterpart"
        raise InputError(f"{source} {first}; it is another design or does not belong to the generator")
    for key in filters:
        kernel = make_kernel(FILTER)
        if state[key].shape != kernel.shape or not torch.allclose(state[key].float(), kernel, atol=1e-6):
            raise InputError(f"{source}: {key} is not the filter 1-3-3-1 of StyleGAN2")
    renamed = {}
    for pair in pairs:
        value = state[pair.theirs].float()
        for dimension in pair.extra:
            value = value.unsqueeze(dimension)
        renamed[pair.ours] = value
    network = empty_network(network_maker(entry, renamed, config), renamed, source)
    constants = {key: value for key, value in network.state_dict().items() if key.endswith("kernel")}
    load_into(network, {**constants, **renamed}, source)
    return {key: value.clone() for key, value in network.state_dict().items()}


# ---------------------------------------------------------------- rosinality -> NVIDIA


def to_nvidia(checkpoint: Mapping[str, Any], source: str) -> Checkpoint:
    """Turns a StyleGAN2 checkpoint in rosinality's layout into state dicts in NVIDIA's.

    NVIDIA's ``.pkl`` itself contains NVIDIA's source text and is not written; a network of theirs takes the
    result with ``G.load_state_dict``.

    Raises:
        InputError: it is another kind of file, or its layers do not fit together.
    """
    if checkpoint_kind(checkpoint) != "stylegan2":
        raise InputError(f"{source} is {what_is(checkpoint)}, not a StyleGAN2 checkpoint")
    ours = rosinality_networks(checkpoint)
    config = rosinality_config(checkpoint, source)
    result: Checkpoint = {}
    for theirs, entry in ENTRIES.items():
        if entry not in ours:
            continue
        network = built_from(network_maker(entry, ours[entry], config), ours[entry], f"{source}, {entry}")
        result[theirs] = _exported(network, config, entry)
        if isinstance(network, Generator):
            average = mean_latent(checkpoint, source)
            result[theirs]["mapping.w_avg"] = (
                network.average_latent() if average is None else average.reshape(-1).clone()
            )
    return result


def _exported(network: nn.Module, config: StyleGAN2Config, entry: str) -> dict[str, Tensor]:
    own = network.state_dict()
    state = {}
    for pair in _pairs(config, entry):
        value = own[pair.ours]
        for dimension in reversed(pair.extra):
            value = value.squeeze(dimension)
        state[pair.theirs] = value.clone()
    return state | {name: make_kernel(FILTER) for name in filter_names(config, entry)}
