"""DEX age classifier (Rothe et al. 2015): VGG-16, one class a year, keys of ``dex_age_classifier.pth``."""

import re
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

OFFICIAL_CHANNELS = (64, 128, 256, 512, 512)
OFFICIAL_DEPTHS = (2, 2, 3, 3, 3)


def expected_age(logits: Tensor) -> Tensor:
    """Mean of the classes 0..N-1 under the softmax of (..., N) logits: years, shape (...)."""
    years = torch.arange(logits.shape[-1], device=logits.device, dtype=logits.dtype)
    return torch.softmax(logits, dim=-1) @ years


def official_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of the official file under the names of the module: ``fc8-101`` becomes ``fc8_101``."""
    return {key.replace("-", "_"): value for key, value in state.items()}


def file_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The opposite of :func:`official_keys`."""
    return {re.sub(r"^(fc8)_", r"\1-", key): value for key, value in state.items()}


class VGG(nn.Module):
    """Maps (B, 3, input_size, input_size) images in [-1, 1] to (B, num_classes) logits.

    Args:
        num_classes: classes, one for each year from 0 on; 101 officially.
        input_size: side of the input in pixels; 224 officially.
        channels: width of each of the five stages.
        hidden: width of the two hidden linear layers.
        depths: convolutions in each stage.
        batch_norm: a norm after every convolution (``bn1_1`` ...), for training from scratch; not official.
        dropout: rate after each hidden linear layer while training.
    """

    def __init__(
        self,
        num_classes: int = 101,
        input_size: int = 224,
        channels: Sequence[int] = OFFICIAL_CHANNELS,
        hidden: int = 4096,
        depths: Sequence[int] = OFFICIAL_DEPTHS,
        batch_norm: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.channels = tuple(channels)
        self.stages: list[list[str]] = []
        width = 3
        for stage, (depth, channel) in enumerate(zip(depths, channels, strict=True), start=1):
            names = [f"{stage}_{position}" for position in range(1, depth + 1)]
            for name in names:
                self.add_module(f"conv{name}", nn.Conv2d(width, channel, 3, padding=1, bias=not batch_norm))
                if batch_norm:
                    self.add_module(f"bn{name}", nn.BatchNorm2d(channel))
                width = channel
            self.stages.append(names)
        side = input_size >> len(self.stages)
        self.fc6 = nn.Linear(width * side * side, hidden)
        self.fc7 = nn.Linear(hidden, hidden)
        self.last = f"fc8_{num_classes}"
        self.add_module(self.last, nn.Linear(hidden, num_classes))
        self.dropout = dropout

    def _stage(self, names: Sequence[str], x: Tensor) -> Tensor:
        for name in names:
            x = self.get_submodule(f"conv{name}")(x)
            if f"bn{name}" in self._modules:
                x = self.get_submodule(f"bn{name}")(x)
            x = F.relu(x, inplace=True)
        return x

    def feature_maps(self, x: Tensor) -> list[Tensor]:
        """Activations at the end of each stage, before pooling, for (B, 3, H, W) images from 16 pixels on."""
        maps: list[Tensor] = []
        for names in self.stages:
            x = self._stage(names, F.max_pool2d(x, 2) if maps else x)
            maps.append(x)
        return maps

    def first_maps(self, x: Tensor) -> list[Tensor]:
        """Activations of the first convolution of each stage, for images as in :meth:`feature_maps`."""
        maps: list[Tensor] = []
        for names in self.stages:
            x = self._stage(names[:1], F.max_pool2d(x, 2) if maps else x)
            maps.append(x)
            x = self._stage(names[1:], x)
        return maps

    def convolve(self, x: Tensor) -> Tensor:
        """All convolutions and poolings: the flattened (B, features) input of the linear layers."""
        for names in self.stages:
            x = F.max_pool2d(self._stage(names, x), 2)
        return x.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolve(x)
        for linear in (self.fc6, self.fc7):
            x = F.dropout(F.relu(linear(x), inplace=True), self.dropout, self.training)
        return self.get_submodule(self.last)(x)
