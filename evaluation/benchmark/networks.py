"""Networks with random weights: the official ones, those of the demonstration, or narrow ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from criteria.age_feature_loss import AgeFeatureLoss
from criteria.aging_loss import AgingLoss
from criteria.id_loss import IDLoss
from criteria.lpips_loss import LPIPSLoss, build_lpips
from criteria.objective import Measures
from criteria.perceptual_loss import PerceptualLoss
from models.auxiliary import (
    OFFICIAL_DEX,
    OFFICIAL_IDENTITY,
    AgeClassifier,
    IdentityNetwork,
    build_network,
)
from models.blender import BlenderConfig
from models.dex_vgg import OFFICIAL_CHANNELS as DEX_CHANNELS
from models.encoders.helpers import OFFICIAL_CHANNELS
from models.encoders.psp_encoders import EncoderConfig
from models.psp import pSp
from models.stylegan2.model import StyleGAN2Config, default_channels
from options.benchmark_options import DEMO_LARGEST

DEMO_GENERATOR = StyleGAN2Config(
    DEMO_LARGEST, 128, 4, channels={4: 128, 8: 128, 16: 128, 32: 128, 64: 64, 128: 32}
)
# Below 16 channels oneDNN of torch 2.14 writes past the weight gradient of large strided 1x1 convolutions.
NARROWEST = 16
_DEMO_VGG: dict[str, Any] = {
    "network": "vgg",
    "input_size": 64,
    "hidden": 256,
    "batch_norm": True,
    "channels": (32, 64, 96, 128, 160),
    "depths": (1, 1, 2, 2, 2),
}


@dataclass(frozen=True)
class Sizes:
    """Sizes of all networks of a benchmark.

    Attributes:
        generator: of the generator and its discriminator.
        encoder: of both encoders.
        blender: of the adapter.
        age: architecture of the age classifier, see ``models.auxiliary.build_network``.
        identity: architecture of the face network.
        lpips: whether LPIPS compares pictures; else the features of the age classifier.
    """

    generator: StyleGAN2Config
    encoder: EncoderConfig
    blender: BlenderConfig
    age: dict[str, Any]
    identity: dict[str, Any]
    lpips: bool

    @property
    def pixels(self) -> int:
        """Side of the generator's pictures."""
        return self.generator.size


@dataclass(frozen=True)
class Setting:
    """What a piece of work is measured with.

    Attributes:
        sizes: of the networks.
        batch: pictures at a time.
        device: where it computes.
        ops: of StyleGAN2, see ``models.stylegan2.op.choose_ops``.
        folder: for files.
        workers: processes that read pictures.
        compile: how networks run, see ``utils.compilation.compile_networks``.
    """

    sizes: Sizes
    batch: int
    device: torch.device
    folder: Path
    ops: str = "auto"
    workers: int = 4
    compile: str = "none"

    def faces(self, side: int, count: int | None = None) -> Tensor:
        """Smooth random pictures (count or batch, 3, side, side) in [-1, 1] on the device."""
        coarse = torch.rand(count or self.batch, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        smooth = torch.nn.functional.interpolate(coarse, size=side, mode="bicubic")
        return (smooth.clamp(0, 1) * 2 - 1).to(self.device)


# ---------------------------------------------------------------- sizes


def official_sizes(pixels: int = 1024) -> Sizes:
    """The networks of SAM with a generator of that size."""
    return Sizes(
        StyleGAN2Config(pixels), EncoderConfig(), BlenderConfig(), OFFICIAL_DEX, OFFICIAL_IDENTITY, True
    )


def demo_sizes(pixels: int = DEMO_LARGEST) -> Sizes:
    """The bundled networks with a generator of that size, up to 128."""
    encoder = EncoderConfig(
        input_size=64, channels=(32, 48, 64, 96, 128), units=(1, 2, 2, 2), style_channels=56
    )
    identity = {**_DEMO_VGG, "num_classes": 128}
    generator = replace(DEMO_GENERATOR, size=pixels)
    return Sizes(generator, encoder, BlenderConfig(), _DEMO_VGG, identity, False)


def narrowed(sizes: Sizes, divisor: int) -> Sizes:
    """The same networks with every width divided: as many layers and operations, far less arithmetic."""
    if divisor == 1:
        return sizes
    generator, encoder = sizes.generator, sizes.encoder
    table = generator.channels or default_channels(generator.channel_multiplier)
    narrow = {side: max(4, width // divisor) for side, width in table.items()}
    inside = encoder.style_channels and max(NARROWEST, encoder.style_channels // divisor)
    return replace(
        sizes,
        generator=replace(
            generator, style_dim=max(NARROWEST, generator.style_dim // divisor), channels=narrow
        ),
        encoder=replace(encoder, channels=_narrow_stages(encoder.channels, divisor), style_channels=inside),
        age=_narrow_network({"channels": DEX_CHANNELS, "hidden": 4096, **sizes.age}, divisor),
        identity=_narrow_network({"channels": OFFICIAL_CHANNELS, **sizes.identity}, divisor),
    )


def _narrow_network(architecture: dict[str, Any], divisor: int) -> dict[str, Any]:
    narrow = {**architecture, "channels": _narrow_stages(architecture["channels"], divisor)}
    return {**narrow, "hidden": narrow["hidden"] // divisor} if "hidden" in narrow else narrow


def _narrow_stages(widths: Sequence[int], divisor: int) -> tuple[int, ...]:
    """Narrow widths of stages; two that follow each other are equal where they were: layers depend on it."""
    found: list[int] = []
    for index, width in enumerate(widths):
        least = NARROWEST
        if index:
            least = found[-1] + (NARROWEST if width > widths[index - 1] else 0)
        found.append(max(least, width // divisor))
    return tuple(found)


# ---------------------------------------------------------------- networks


class RandomLPIPS(LPIPSLoss):
    """LPIPS on an AlexNet that never saw a picture: nothing is downloaded, and it takes as long."""

    def __init__(self) -> None:
        PerceptualLoss.__init__(self)
        self.model = self.freeze(build_lpips("alex", download=False))


def random_psp(sizes: Sizes, device: torch.device, **arguments: Any) -> pSp:
    """A network of pSp's family on a device, the same in every call; arguments as those of ``pSp``."""
    torch.manual_seed(0)
    with device:
        net = pSp(sizes.generator, sizes.encoder, **arguments)
        net.set_latent_avg(torch.randn(sizes.generator.style_dim))
    return net


def random_measures(sizes: Sizes, device: torch.device, layout: torch.memory_format) -> Measures:
    """What the losses of SAM measure with; the weights lie in a memory layout, as after loading."""
    torch.manual_seed(0)
    with device:
        age, face = build_network(sizes.age), build_network(sizes.identity)
    classifier = AgeClassifier(age.to(memory_format=layout))
    perceptual: PerceptualLoss = RandomLPIPS() if sizes.lpips else AgeFeatureLoss(classifier)
    return Measures(
        identity=IDLoss(IdentityNetwork(face.to(memory_format=layout))),
        perceptual=perceptual.to(device),
        aging=AgingLoss(classifier),
    )
