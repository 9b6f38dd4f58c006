"""Convolutions of VGG-19 up to conv5_1 (Simonyan and Zisserman 2015), as torchvision names them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import vgg

from models.loading import load_into, subset
from utils.errors import InputError
from utils.pictures.tensors import IMAGENET_DEVIATION, IMAGENET_MEAN

LAYERS = 17  # of torchvision's list for VGG-19, poolings included: up to conv5_1
FIRST = (1, 6, 11, 20, 29)  # numbers of the ReLUs behind the first convolution of each stage


class VGG19(nn.Module):
    """Maps of conv1_1, conv2_1, conv3_1, conv4_1 and conv5_1, each after its ReLU."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = vgg.make_layers(vgg.cfgs["E"][:LAYERS])
        for name, values in (("mean", IMAGENET_MEAN), ("deviation", IMAGENET_DEVIATION)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def first_maps(self, images: Tensor) -> list[Tensor]:
        """Maps (B, C, H, W) of the first convolution of each stage, for images (B, 3, S, S) in [-1, 1]."""
        x, maps = ((images + 1) / 2 - self.mean) / self.deviation, list[Tensor]()
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in FIRST:
                maps.append(x)
        return maps


def vgg19_from(checkpoint: Mapping[str, Any], source: str) -> VGG19:
    """The network of a file of torchvision's (`vgg19-dcbb9e9d.pth`); its further layers are left out.

    Raises:
        InputError: the file holds another network.
    """
    network = VGG19()
    state = subset(checkpoint.get("state_dict") or {}, "features.")
    known = {key.removeprefix("features.") for key in network.state_dict()}
    try:
        load_into(network.features, {key: value for key, value in state.items() if key in known}, source)
    except InputError as error:
        raise InputError(f"{source} does not hold torchvision's VGG-19 ({error})") from error
    return network
