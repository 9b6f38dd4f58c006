"""Files of pSp, SAM and MyTimeMachine: the official layout, with our sizes as ``opts["architecture"]``."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from models.blender import BlenderConfig
from models.encoders.age_encoder import AGE_ENCODER
from models.loading import built_from, mean_latent, weights_of
from models.psp import pSp
from models.psp_config import PSPConfig
from models.psp_start import add_blender, take_mean_latent
from utils.errors import InputError
from utils.files.checkpoints import Checkpoint, halved

PARTS = ("encoder.", "pretrained_encoder.", "decoder.", "blender.")
# What the official test scripts read from `opts` of any file.
OFFICIAL_OPTS = {"label_nc": 0, "checkpoint_path": None, "device": "cuda", "dataset_type": "ffhq_aging"}


def psp_checkpoint(net: pSp, opts: Mapping[str, Any] | None = None, half: bool = False) -> Checkpoint:
    """The content of an official file: ``state_dict``, ``opts``, ``latent_avg`` for every style.

    Args:
        net: the network.
        opts: options of the training; what the official scripts need is added, and ``architecture``.
        half: store weights in half precision (vectors such as biases and norms stay float32).
    """
    state = {key: value.detach().cpu() for key, value in net.state_dict().items()}
    merged = {
        **OFFICIAL_OPTS,
        **{key: _storable(value) for key, value in (opts or {}).items()},
        "output_size": net.config.generator.size,
        "input_nc": net.config.input_nc,
        "start_from_latent_avg": net.config.start_from_latent_avg,
        "start_from_encoded_w_plus": net.config.start_from_encoded_w_plus,
        "architecture": net.config.to_dict(),
    }
    state = halved(state) if half else state
    return {"state_dict": state, "opts": merged, "latent_avg": net.latent_avg.detach().cpu().clone()}


def load_psp(checkpoint: Mapping[str, Any], source: str, blender: BlenderConfig | None = None) -> pSp:
    """Builds the network that a checkpoint describes and loads it; in eval mode, encoders channels-last.

    Args:
        checkpoint: what ``load_checkpoint`` read.
        source: its file, for error messages.
        blender: adds a fresh adapter to the network of a SAM checkpoint; ignored where the file has one.

    Raises:
        InputError: the file is of another kind, or its layers do not fit, or there is no mean latent.
    """
    config = PSPConfig.from_checkpoint(checkpoint, source)
    state = {key: value for key, value in weights_of(checkpoint, source).items() if key.startswith(PARTS)}
    told = bool((checkpoint.get("opts") or {}).get("architecture"))
    net = built_from(lambda: pSp.from_config(config), state, source, own_sizes=not told)
    latent = mean_latent(checkpoint, source)
    if latent is not None:
        take_mean_latent(net, latent, source)
    elif net.average_code is not None:
        raise InputError(f"{source} holds no latent_avg, without which its codes mean nothing")
    if blender is not None and config.blender is None:
        add_blender(net, blender)
    net.encoder.to(memory_format=torch.channels_last)
    if net.pretrained_encoder is not None:
        net.pretrained_encoder.to(memory_format=torch.channels_last)
    return net.eval()


def prior_of(sam: Mapping[str, Any], source: str) -> Checkpoint:
    """The content of a file of the pSp inside a SAM: its prior encoder, and the generator as trained with it.

    Raises:
        InputError: there is none, or the layers do not fit.
    """
    net = load_psp(sam, source)
    if net.pretrained_encoder is None:
        raise InputError(f"{source} has no pSp inside: its codes are no offsets from those of a prior")
    config = replace(
        net.config,
        input_nc=3,
        start_from_latent_avg=True,
        start_from_encoded_w_plus=False,
        blender=None,
        age_encoder=None,
    )
    prior = pSp.from_config(config)
    prior.encoder.load_state_dict(net.pretrained_encoder.state_dict())
    prior.decoder.load_state_dict(net.decoder.state_dict())
    prior.set_latent_avg(net.latent_avg)
    return psp_checkpoint(prior, {"train_decoder": True})


def official_content(checkpoint: Mapping[str, Any], source: str) -> Checkpoint:
    """The content of the official file of a pSp, SAM or MyTimeMachine network.

    Our entry ``opts["architecture"]`` is left out where the weights and official options say the same.

    Raises:
        InputError: the layers do not fit, or the official code knows no such encoder.
    """
    net = load_psp(checkpoint, source)
    if net.config.age_encoder:
        raise InputError(f"{source} has a {AGE_ENCODER}; there is no official file with one")
    content = psp_checkpoint(net, checkpoint.get("opts"))
    opts = {key: value for key, value in content["opts"].items() if key != "architecture"}
    shorter = {**content, "opts": opts}
    told = PSPConfig.from_checkpoint(shorter, source)
    return shorter if told == PSPConfig.from_checkpoint(content, source) else content


def _storable(value: Any) -> Any:
    """Options as plain values: paths and devices become text."""
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, Mapping):
        return {key: _storable(item) for key, item in value.items()}
    return [_storable(item) for item in value] if isinstance(value, (list, tuple)) else str(value)
