"""Where the weights of a fresh pSp network come from: generator, prior, face network, or a smaller pSp."""

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from models.adapters import build_adapter
from models.blender import BlenderConfig
from models.kinds import checkpoint_kind, what_is
from models.loading import load_into, mean_latent, subset, weights_of
from models.psp import pSp
from utils.errors import InputError


def before_personalization(net: pSp, encoder: nn.Module | None = None) -> pSp:
    """The same network without its adapter, or with another encoder; all other parts are shared."""
    before = copy(net)
    before._modules = dict(net._modules)
    before.blender = None
    if encoder is not None:
        before._modules["encoder"] = encoder
    return before


def load_generator(net: pSp, checkpoint: Mapping[str, Any], source: str) -> None:
    """Takes the averaged generator and the mean latent of a StyleGAN2 checkpoint.

    A file without a mean latent (of a training script) gets the mean of 10,000 mapped latents.

    Raises:
        InputError: it is another kind of file, or a generator of another size.
    """
    if checkpoint_kind(checkpoint) != "stylegan2":
        raise InputError(f"{source} is {what_is(checkpoint)}, not a StyleGAN2 checkpoint")
    state = checkpoint.get("g_ema") or checkpoint.get("g") or weights_of(checkpoint, source)
    load_into(net.decoder, state, source)
    latent = mean_latent(checkpoint, source)
    take_mean_latent(net, net.decoder.average_latent() if latent is None else latent, source)


def take_mean_latent(net: pSp, latent: Tensor, source: str) -> None:
    """Gives the network the mean latent of a file.

    Raises:
        InputError: it has another shape; names the file.
    """
    try:
        net.set_latent_avg(latent)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error


def load_prior(net: pSp, checkpoint: Mapping[str, Any], source: str) -> None:
    """Takes the encoder of a pSp checkpoint as the frozen prior.

    Raises:
        InputError: it is another kind of file, of another size, or this network has no prior.
    """
    if net.pretrained_encoder is None:
        raise InputError(f"{source}: a pretrained encoder is only used with --start_from_encoded_w_plus")
    if checkpoint_kind(checkpoint) != "psp":
        raise InputError(f"{source} is {what_is(checkpoint)}, not the checkpoint of a pSp encoder")
    load_into(net.pretrained_encoder, subset(weights_of(checkpoint, source), "encoder."), source)


def load_face_network(net: pSp, state: Mapping[str, Tensor], source: str, official: bool = False) -> None:
    """Starts the encoder's body from a face network (``model_ir_se50.pth``), as pSp and SAM do.

    The filters of an age plane start at zero, or from unit normal numbers as in the official code.

    Raises:
        InputError: its layers are of another shape.
    """
    body = {key: value for key, value in state.items() if key.startswith(("body.", "input_layer."))}
    if not body:
        raise InputError(
            f"{source} has no layers of IR-SE50, from which the encoder starts; give model_ir_se50.pth "
            "or choose another --encoder_start"
        )
    first = body.get("input_layer.0.weight")
    extra = net.config.input_nc - 3
    if first is not None and first.dim() == 4 and extra > 0:
        shape = (first.shape[0], extra, *first.shape[2:])
        plane = torch.randn(shape) if official else torch.zeros(shape)
        body["input_layer.0.weight"] = torch.cat([first, plane.to(first.dtype)], dim=1)
    load_into(net.encoder, body, source, strict=False)


def start_encoder_from_prior(net: pSp) -> None:
    """Starts the ageing encoder as a copy of the prior that adds nothing yet: its last layers are zero.

    Not in the official code, which starts from a face recognition network and random heads.
    """
    if net.pretrained_encoder is None:
        raise ValueError("the network has no prior encoder")
    state = {key: value.clone() for key, value in net.pretrained_encoder.state_dict().items()}
    first = net.encoder.input_layer[0].weight
    plane = 0.1 * torch.randn_like(first[:, 3:]) * first[:, :3].std()
    state["input_layer.0.weight"] = torch.cat([state["input_layer.0.weight"], plane], dim=1).detach()
    load_into(net.encoder, state, "the prior encoder")
    for head in net.encoder.styles:
        head.add_nothing()


def grow_encoder(net: pSp, small: pSp) -> None:
    """Takes the encoder of a network with a smaller generator; the heads of new styles add nothing yet.

    The mean latent goes on with its last style.
    """
    load_into(net.encoder, small.encoder.state_dict(), "the smaller network", strict=False)
    for head in net.encoder.styles[small.n_styles :]:
        head.add_nothing()
    further = small.latent_avg[-1:].expand(net.n_styles - small.n_styles, -1)
    net.set_latent_avg(torch.cat([small.latent_avg, further]))


def add_blender(net: pSp, config: BlenderConfig) -> None:
    """Gives the network a fresh adapter, which makes it a MyTimeMachine network."""
    blender = build_adapter(net.n_styles, net.config.generator.style_dim, config)
    net.blender = blender.to(net.latent_avg.device)
    net.config = replace(net.config, blender=config)
