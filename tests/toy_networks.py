"""Networks of a few thousand weights, of every kind, to read, write, train and run in no time."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from models.auxiliary import build_network, network_checkpoint
from models.blender import BlenderConfig
from models.dex_vgg import VGG
from models.encoders.psp_encoders import EncoderConfig
from models.latent_encoder import LatentEncoder
from models.psp import pSp
from models.reaging_gan.aging import reaging_checkpoint
from models.reaging_gan.generator import ReAgingGenerator
from models.stylegan2.model import Discriminator, Generator, StyleGAN2Config
from utils.age_groups import parse_age_groups
from utils.faces.boxes import FACE_CROP

# What `models.auxiliary.build_network` makes an age classifier and a face network of.
SMALL_VGG: dict[str, Any] = {
    "network": "vgg",
    "input_size": 32,
    "channels": (4, 4, 8, 8, 8),
    "depths": (1, 1, 1, 1, 1),
    "hidden": 16,
}
SMALL_FACE: dict[str, Any] = {
    "network": "ir_se",
    "input_size": 32,
    "channels": (4, 4, 8, 8, 16),
    "units": (1, 1, 1, 1),
    "embedding_dim": 12,
    "crop": FACE_CROP.edges(),
}
# Two sizes of a pSp network: pictures of 32 in and 16 out, and of 64 in and 32 out.
TINY_GENERATOR = StyleGAN2Config(size=16, style_dim=12, n_mlp=2, channels={4: 8, 8: 8, 16: 8})
TINY_ENCODER = EncoderConfig(input_size=32, channels=(8, 8, 8, 8, 16), units=(1, 1, 1, 1), style_channels=8)
SMALL_GENERATOR = replace(TINY_GENERATOR, size=32, channels={4: 8, 8: 8, 16: 8, 32: 8})
SMALL_ENCODER = replace(TINY_ENCODER, input_size=64)
TAPERED_GENERATOR = replace(TINY_GENERATOR, channels={4: 8, 8: 8, 16: 6})  # its layers differ in width
ADAPTER = BlenderConfig(bottleneck=4, global_dim=8, age_dim=4, hidden=8, zero_init=False)
INVERTER: dict[str, Any] = {
    "input_nc": 3,
    "start_from_latent_avg": True,
    "start_from_encoded_w_plus": False,
}  # plain pSp


def tiny_psp(
    generator: StyleGAN2Config = TINY_GENERATOR,
    encoder: EncoderConfig = TINY_ENCODER,
    seed: int | None = None,
    **arguments: Any,
) -> pSp:
    """A SAM network, or another by the arguments, in eval mode; its mean latent and statistics are random."""
    if seed is not None:
        torch.manual_seed(seed)
    model = pSp(generator, encoder, **arguments)
    model.set_latent_avg(torch.randn(generator.style_dim))
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.1)
    return model.eval()


def tiny_vgg(**changes: Any) -> VGG:
    """An age network that guesses, in eval mode."""
    network = build_network({**SMALL_VGG, **changes})
    assert isinstance(network, VGG)
    return network.eval()


def network_file(kind: str, architecture: Mapping[str, Any], **extra: Any) -> dict[str, Any]:
    """The content of a file of an age or face network that guesses."""
    return network_checkpoint(kind, architecture, build_network(architecture), **extra)


def stylegan2_checkpoint(c_dim: int = 0, config: StyleGAN2Config = TAPERED_GENERATOR) -> dict[str, Any]:
    """The content of a StyleGAN2 file in rosinality's layout, with noise that counts."""
    config = replace(config, c_dim=c_dim)
    generator = Generator.from_config(config)
    for name, parameter in generator.named_parameters():
        if name.endswith(("noise.weight", "bias")):
            torch.nn.init.normal_(parameter)
    discriminator = Discriminator.from_config(config)
    return {
        "g": Generator.from_config(config).state_dict(),
        "d": discriminator.state_dict(),
        "g_ema": generator.state_dict(),
        "latent_avg": torch.randn(config.style_dim),
    }


LATENT_ENCODER: dict[str, Any] = {
    "n_styles": TINY_GENERATOR.n_styles,
    "style_dim": TINY_GENERATOR.style_dim,
    "input_size": 80,
    "width": 0.125,
    "repeats": (1, 1, 1),
}


def directed_checkpoint(latent_space: str = "w+", groups: str = "0-20,21-50,51-90") -> dict[str, Any]:
    """The content of a file of directed generation: a conditional generator and its encoder."""
    generator = stylegan2_checkpoint(len(groups.split(",")), TINY_GENERATOR)
    architecture = {**LATENT_ENCODER, "latent_space": latent_space}
    encoder = LatentEncoder(**architecture)
    return {
        "kind": "directed",
        "g_ema": generator["g_ema"],
        "classes": {"age_groups": groups},
        "crop": "tight",
        "encoder": {"architecture": architecture, "state_dict": encoder.state_dict()},
    }


TINY_REAGING: dict[str, Any] = {"size": 16, "channels": 4, "style_dim": 8, "residual_blocks": 1}


def reaging_content(groups: str = "0-20,21-50,51-90", masked: bool = True, **sizes: Any) -> dict[str, Any]:
    """The content of a file of an untrained Re-Aging GAN whose statistics are random."""
    parsed = parse_age_groups(groups)
    architecture = {**TINY_REAGING, "classes": len(parsed), **sizes}
    generator = ReAgingGenerator(**architecture)
    for name, buffer in generator.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.1)
    return reaging_checkpoint(generator, architecture, parsed, "tight", masked)
