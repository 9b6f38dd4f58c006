"""Perceptual loss ``lpips``: the lpips package (Zhang et al. 2018)."""

import os
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from criteria.perceptual_loss import PerceptualLoss
from models.loading import load_into
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint

REMEDY = "use --perceptual=dex (features of the age classifier), which needs no download"


class LPIPSLoss(PerceptualLoss):
    """LPIPS 0.1: sum over layers of the weighted distance, averaged over the batch.

    Args:
        network: backbone, ``alex``, ``vgg`` or ``squeeze``.
        weights_file: ImageNet weights of that backbone as torchvision distributes them, or None for the file
            that torchvision finds in its cache or downloads.

    Raises:
        InputError: without the package, or without the backbone's weights; names the way out.
    """

    def __init__(self, network: str = "alex", weights_file: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        model = build_lpips(network, download=weights_file is None)
        if weights_file is not None:
            _load_backbone(model.net, Path(weights_file))
        self.model = self.freeze(model)

    def feature_maps(self, images: Tensor) -> Sequence[Tensor]:
        """Maps after the ReLU of every stage of the backbone."""
        return list(self.model.net(self.model.scaling_layer(images)))

    def channel_weights(self, layer: int) -> Tensor:
        """The learned head of a layer."""
        return self.model.lins[layer].model[-1].weight[0]

    def combine(self, layers: list[Tensor]) -> Tensor:
        """Sum over the layers."""
        return torch.stack(layers).sum(dim=0)


def build_lpips(network: str, download: bool) -> nn.Module:
    """The module of the lpips package with its learned heads.

    Args:
        network: backbone, ``alex``, ``vgg`` or ``squeeze``.
        download: let torchvision find or download the backbone's ImageNet weights; otherwise they are random.

    Raises:
        InputError: without the package, or where the download fails.
    """
    if network not in ("alex", "vgg", "squeeze"):
        raise InputError(f"LPIPS has no backbone {network!r}; choose alex, vgg or squeeze")
    try:
        import lpips
    except ImportError as error:
        raise InputError(
            f"the perceptual loss lpips needs the packages lpips and torchvision ({error}); "
            f"install them or {REMEDY}"
        ) from error
    try:
        with warnings.catch_warnings():  # the package calls torchvision by a deprecated argument
            warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
            return lpips.LPIPS(net=network, pnet_rand=not download, verbose=False)
    except (OSError, RuntimeError) as error:  # no network, no cache, or a broken download
        raise InputError(
            f"the ImageNet weights of the {network} backbone cannot be had ({error}); "
            f"give their file with --lpips_weights or {REMEDY}"
        ) from error


def _load_backbone(backbone: nn.Module, path: Path) -> None:
    """Fills the slices of an lpips backbone from a torchvision state dict (``features.<i>...``)."""
    if not path.is_file():
        raise InputError(f"no LPIPS backbone weights at {path}; correct --lpips_weights or {REMEDY}")
    try:
        state: Mapping[str, Any] = load_checkpoint(path)["state_dict"]
        own = backbone.state_dict()
        load_into(backbone, {key: state[torchvision_name(key)] for key in own}, str(path))
    except Exception as error:  # any unreadable or foreign file ends here, with its own words
        raise InputError(
            f"{path} does not hold torchvision weights of this LPIPS backbone ({error}); "
            f"correct --lpips_weights or {REMEDY}"
        ) from error


def torchvision_name(key: str) -> str:
    """Name in torchvision of a weight in lpips: ``slice2.3.weight`` becomes ``features.3.weight``."""
    return re.sub(r"^slice\d+\.", "features.", key)
