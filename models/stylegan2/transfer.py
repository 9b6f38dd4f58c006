"""Transfer learning: whatever fits of a trained StyleGAN2 into one of another size, or with classes."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from models.loading import described_by, empty_network, load_into
from models.stylegan2.layout import network_maker, rosinality_config
from models.stylegan2.model import Discriminator, Generator, StyleGAN2Config
from models.stylegan2.nvidia import discriminator_pairs, generator_pairs
from utils.errors import InputError

FIRST = "style.1.weight"  # of the mapping network: it reads z, and beside it the embedded class
# Weight of the class beside z at the start, so that codes stay near those that the synthesis network knows.
CLASS_SHARE = 0.3


@torch.no_grad()
def transfer(
    network: Generator | Discriminator,
    config: StyleGAN2Config,
    checkpoint: Mapping[str, Any],
    entry: str,
    source: str,
) -> list[str]:
    """Fills a network with the weights of a trained one, layer by layer of the same resolution.

    What has no counterpart of its shape stays as it is: layers of further resolutions, the classes. A mapping
    network that becomes conditional maps z as before and reads the class beside it.

    Args:
        network: to be filled.
        config: its sizes.
        checkpoint: the trained pair in rosinality's layout.
        entry: ``g``, ``g_ema`` or ``d``.
        source: the file, for messages.

    Returns:
        The names of the weights that stayed.

    Raises:
        InputError: no convolution of a generator fits. A discriminator may begin anew.
    """
    with described_by(source):
        other = rosinality_config(checkpoint, source)
    pairs = discriminator_pairs if entry == "d" else generator_pairs
    trained = empty_network(network_maker(entry, checkpoint[entry], other), checkpoint[entry], source)
    load_into(trained, checkpoint[entry], source)
    weights = trained.state_dict()
    known = {pair.theirs: weights[pair.ours] for pair in pairs(other)}
    own = network.state_dict()
    stayed = []
    for pair in pairs(config):
        found = known.get(pair.theirs)
        if found is not None and pair.ours == FIRST and not other.c_dim and config.c_dim:
            found = _beside_class(own[pair.ours], found)
        if found is None or found.shape != own[pair.ours].shape:
            stayed.append(pair.ours)
        else:
            own[pair.ours].copy_(found)
    convolutions = {name for name in own if name.endswith(".conv.weight")}
    if entry != "d" and convolutions <= set(stayed):
        raise InputError(f"no layer of {source} fits this network; choose its --output_size and --channels")
    return stayed


def _beside_class(fresh: Tensor, trained: Tensor) -> Tensor:
    """The first layer (D, 2 D) of a conditional mapping network that does to z what (D, D) did.

    An equalised layer divides by the root of its inputs, of which there are more now.
    """
    width = trained.shape[1]
    if fresh.shape[0] != trained.shape[0] or fresh.shape[1] <= width:
        return trained
    result = fresh * CLASS_SHARE
    result[:, :width] = trained * math.sqrt(fresh.shape[1] / width)
    return result
