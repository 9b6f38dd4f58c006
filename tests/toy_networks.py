"""Networks of a few thousand weights, of every kind, with which tests read, write and run in no time."""

from dataclasses import replace
from typing import Any

import torch

from models.encoders.psp_encoders import EncoderConfig
from models.psp import pSp
from models.stylegan2.model import Discriminator, Generator, StyleGAN2Config

# What `models.auxiliary.build_network` makes an age classifier and a face network of.
SMALL_VGG: dict[str, Any] = {"network": "vgg", "input_size": 32, "channels": (4, 4, 8, 8, 8), "hidden": 16}
SMALL_FACE: dict[str, Any] = {
    "network": "ir_se",
    "input_size": 32,
    "channels": (4, 4, 8, 8, 16),
    "units": (1, 1, 1, 1),
    "embedding_dim": 12,
}
TINY_GENERATOR = StyleGAN2Config(size=16, style_dim=12, n_mlp=2, channels={4: 8, 8: 8, 16: 8})
TINY_ENCODER = EncoderConfig(input_size=32, channels=(8, 8, 8, 8, 16), units=(1, 1, 1, 1), style_channels=8)
TAPERED_GENERATOR = replace(TINY_GENERATOR, channels={4: 8, 8: 8, 16: 6})  # its layers differ in width
INVERTER: dict[str, Any] = {
    "input_nc": 3,
    "start_from_latent_avg": True,
    "start_from_encoded_w_plus": False,
}  # plain pSp


def tiny_psp(**arguments: Any) -> pSp:
    """A SAM network, or another by the arguments, in eval mode; its mean latent and statistics are random."""
    model = pSp(TINY_GENERATOR, TINY_ENCODER, **arguments)
    model.set_latent_avg(torch.randn(12))
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(std=0.1)
    return model.eval()


def stylegan2_checkpoint(c_dim: int = 0) -> dict[str, Any]:
    """The content of a StyleGAN2 file in rosinality's layout, with noise that counts."""
    config = replace(TAPERED_GENERATOR, c_dim=c_dim)
    generator = Generator.from_config(config)
    for name, parameter in generator.named_parameters():
        if name.endswith(("noise.weight", "bias")):
            torch.nn.init.normal_(parameter)
    discriminator = Discriminator.from_config(config)
    return {
        "g": Generator.from_config(config).state_dict(),
        "d": discriminator.state_dict(),
        "g_ema": generator.state_dict(),
        "latent_avg": torch.randn(12),
    }
