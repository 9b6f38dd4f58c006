"""Convolutions of VGG-19 up to conv5_1 (Simonyan and Zisserman 2015), as torchvision names them."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.loading import load_into, subset
from utils.errors import InputError

STAGES = (
    (64, 2),
    (128, 2),
    (256, 4),
    (512, 4),
    (512, 1),
)  # width and depth; the last ends early
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures in [0, 1]


class VGG19(nn.Module):
    """Maps of conv1_1, conv2_1, conv3_1, conv4_1 and conv5_1, each after its ReLU."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict()  # under the numbers that they have among torchvision's layers
        self.stages: list[list[str]] = []
        number, width = 0, 3
        for channels, depth in STAGES:
            names = [str(number + 2 * position) for position in range(depth)]
            for name in names:
                self.features[name] = nn.Conv2d(width, channels, 3, padding=1)
                width = channels
            self.stages.append(names)
            number += 2 * depth + 1  # convolutions with their ReLUs, and the pooling
        for name, values in (("mean", MEAN), ("deviation", DEVIATION)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def first_maps(self, images: Tensor) -> list[Tensor]:
        """Maps (B, C, H, W) of the first convolution of each stage, for images (B, 3, S, S) in [-1, 1]."""
        x, maps = ((images + 1) / 2 - self.mean) / self.deviation, list[Tensor]()
        for names in self.stages:
            x = F.max_pool2d(x, 2) if maps else x
            x = F.relu(self.features[names[0]](x))
            maps.append(x)
            for name in names[1:]:
                x = F.relu(self.features[name](x), inplace=True)
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
