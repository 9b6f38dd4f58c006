"""StyleGAN2 files in rosinality's layout: which networks a file has, and their sizes."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from models.loading import built_from, described_by, mean_latent
from models.stylegan2.model import Discriminator, Generator, StyleGAN2Config, default_channels
from utils.errors import InputError
from utils.files.checkpoints import Checkpoint

ENTRIES = ("g_ema", "g", "d")
MOST_LEVELS = 10  # above 4 pixels: 4096


def rosinality_networks(checkpoint: Mapping[str, Any]) -> dict[str, Mapping[str, Tensor]]:
    """The networks ``g_ema``, ``g`` and ``d`` of a StyleGAN2 checkpoint; a bare state dict is ``g_ema``."""
    found = {entry: checkpoint[entry] for entry in ENTRIES if isinstance(checkpoint.get(entry), Mapping)}
    return found or {"g_ema": checkpoint.get("state_dict") or {}}


def rosinality_config(checkpoint: Mapping[str, Any], source: str) -> StyleGAN2Config:
    """Sizes of a StyleGAN2 checkpoint in rosinality's layout, from its weights.

    Raises:
        InputError: a layer is missing.
    """
    networks = rosinality_networks(checkpoint)
    state = networks.get("g_ema") or networks.get("g")
    if state is None:
        raise InputError(f"{source} holds no generator (g_ema or g)")
    with described_by(source):
        return _config(state)


def _config(state: Mapping[str, Tensor]) -> StyleGAN2Config:
    """Sizes of a generator, from its weights."""
    levels = sum(bool(re.fullmatch(r"to_rgbs\.\d+\.bias", key)) for key in state)
    if levels > MOST_LEVELS:
        raise ValueError(f"it has {levels} resolutions")
    channels = {4: state["conv1.conv.weight"].shape[1]}
    for level in range(levels):
        channels[8 << level] = state[f"convs.{2 * level + 1}.conv.weight"].shape[1]
    style_dim = state["conv1.conv.modulation.weight"].shape[1]
    n_mlp = sum(bool(re.fullmatch(r"style\.\d+\.weight", key)) for key in state)
    c_dim = state["embed.weight"].shape[1] if "embed.weight" in state else 0
    return compact_config(StyleGAN2Config(4 << levels, style_dim, n_mlp, channels=channels, c_dim=c_dim))


def averaged_generator(checkpoint: Mapping[str, Any], source: str) -> Generator:
    """The averaged generator of a checkpoint in rosinality's layout, or else the plain one.

    Raises:
        InputError: it holds no generator, or the layers do not fit together.
    """
    config = rosinality_config(checkpoint, source)
    networks = rosinality_networks(checkpoint)
    state = networks.get("g_ema") or networks["g"]
    return built_from(partial(Generator.from_config, config), state, source)


def network_maker(
    entry: str, state: Mapping[str, Tensor], config: StyleGAN2Config
) -> Callable[[], nn.Module]:
    """What makes the network of an entry; a discriminator may have other widths than its generator.

    Args:
        entry: ``g_ema``, ``g`` or ``d``.
        state: its weights.
        config: sizes of the generator.
    """
    if entry == "d":
        return lambda: Discriminator.from_config(discriminator_config(state))
    return partial(Generator.from_config, config)


def discriminator_config(state: Mapping[str, Tensor]) -> StyleGAN2Config:
    """Sizes of a discriminator, from its weights; those that only a generator has are the defaults."""
    levels = sum(bool(re.fullmatch(r"convs\.\d+\.conv2\.1\.weight", key)) for key in state)
    if levels > MOST_LEVELS:
        raise ValueError(f"it has {levels} resolutions")
    size = 4 << levels
    channels = {size: state["convs.0.0.weight"].shape[0]}
    for level in range(levels):
        channels[size >> (level + 1)] = state[f"convs.{level + 1}.conv2.1.weight"].shape[0]
    c_dim = state["mapping.embed.weight"].shape[1] if "mapping.embed.weight" in state else 0
    return StyleGAN2Config(size, channels=channels, c_dim=c_dim)


def compact_config(config: StyleGAN2Config) -> StyleGAN2Config:
    """The same with a multiplier in the place of a table of widths, where one gives these widths."""
    for multiplier in (2, 1):
        table = default_channels(multiplier)
        if all(table.get(side) == width for side, width in (config.channels or {}).items()):
            return replace(config, channels=None, channel_multiplier=multiplier)
    return config


def official_content(checkpoint: Mapping[str, Any], source: str) -> Checkpoint:
    """The content of an official file: ``g_ema``, ``latent_avg``, and ``g`` and ``d`` where there.

    Beside them what the file says of its classes, which no official program reads.

    Raises:
        InputError: the layers do not fit together.
    """
    config = rosinality_config(checkpoint, source)
    result: Checkpoint = {}
    average = mean_latent(checkpoint, source)
    for entry, state in rosinality_networks(checkpoint).items():
        network = built_from(network_maker(entry, state, config), state, f"{source}, {entry}")
        result[entry] = network.state_dict()
        if average is None and isinstance(network, Generator):
            average = network.average_latent()
    if average is not None:
        result["latent_avg"] = average.float()
    if isinstance(checkpoint.get("classes"), Mapping):
        result["classes"] = dict(checkpoint["classes"])
    return result
