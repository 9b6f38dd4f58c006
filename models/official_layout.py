"""What the official repositories expect in a file: the same keys, shapes and entries, and nothing else."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from models.auxiliary import OFFICIAL_DEX, OFFICIAL_IDENTITY, build_network
from models.dex_vgg import file_keys, official_keys
from models.inception_resnet_v1 import InceptionResnetV1
from models.psp import pSp
from models.psp_config import PSPConfig
from models.stylegan2.model import Discriminator, Generator
from models.stylegan2.nvidia import from_nvidia, rosinality_config, rosinality_networks
from utils.checkpoints import Checkpoint, SkipInit, checkpoint_kind, describe, load_into
from utils.errors import InputError
from utils.nvidia_pickle import KIND


def official_content(checkpoint: Mapping[str, Any], source: str) -> Checkpoint:
    """The content of an official file with the weights of a checkpoint, in float32.

    ================  ==========================================================================
    SAM, pSp, ...     ``state_dict``, ``opts``, ``latent_avg``
    StyleGAN2         rosinality's ``g_ema``, ``latent_avg``, and ``g`` and ``d`` where there
    age classifier    ``state_dict`` with ``fc8-101``
    face networks     the state dict itself
    ================  ==========================================================================

    Raises:
        InputError: no official file has this kind of content, or the network is not of the official sizes
            where the official code knows only those.
    """
    kind = checkpoint_kind(checkpoint)
    if kind in ("sam", "psp", "mytimemachine"):
        return _psp(checkpoint, source)
    if kind == KIND:
        return _stylegan2(from_nvidia(checkpoint, source), source)
    if kind == "stylegan2":
        return _stylegan2(checkpoint, source)
    state = checkpoint.get("state_dict") or {}
    if kind in ("age_classifier", "judge_age"):
        return {"state_dict": file_keys(_fitted(OFFICIAL_DEX, official_keys(state), source))}
    if kind in ("identity", "judge_identity"):
        return _fitted(OFFICIAL_IDENTITY, state, source)
    if kind == "facenet":
        head = state.get("logits.weight")
        with SkipInit():
            network = InceptionResnetV1(None if head is None else head.shape[0])
        load_into(network, state, source)
        return network.state_dict()
    raise InputError(f"{source} is {describe(checkpoint)}; there is no official file of that kind")


def _psp(checkpoint: Mapping[str, Any], source: str) -> Checkpoint:
    network = pSp.from_checkpoint(checkpoint, source)
    return without_known_architecture(network.to_checkpoint(checkpoint.get("opts")), source)


def without_known_architecture(checkpoint: Checkpoint, source: str) -> Checkpoint:
    """Leaves out our entry ``opts["architecture"]`` where the weights and official options say the same."""
    opts = {key: value for key, value in checkpoint["opts"].items() if key != "architecture"}
    shorter = {**checkpoint, "opts": opts}
    told = PSPConfig.from_checkpoint(shorter, source)
    return shorter if told == PSPConfig.from_checkpoint(checkpoint, source) else checkpoint


def _stylegan2(checkpoint: Mapping[str, Any], source: str) -> Checkpoint:
    config = rosinality_config(checkpoint, source)
    result: Checkpoint = {}
    average: Tensor | None = checkpoint.get("latent_avg")
    for entry, state in rosinality_networks(checkpoint).items():
        with SkipInit():
            network = (Discriminator if entry == "d" else Generator).from_config(config)
        load_into(network, state, f"{source}, {entry}")
        result[entry] = network.state_dict()
        if average is None and isinstance(network, Generator):
            average = network.average_latent()
    if average is not None:
        result["latent_avg"] = average.float()
    return result


def _fitted(architecture: Mapping[str, Any], state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """The state dict as the official network of that architecture has it."""
    with SkipInit():
        network = build_network(architecture)
    try:
        load_into(network, state, source)
    except InputError as error:
        raise InputError(f"there is no official file with a network such as this: {error}") from error
    return network.state_dict()
