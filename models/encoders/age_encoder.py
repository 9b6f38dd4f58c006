"""Age-regression encoder: a ResNet-18 (He et al. 2016) whose features join the age before a linear layer."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.encoders.helpers import OFFICIAL_CHANNELS, UNITS_OF_DEPTH, BatchNorm2d, count_batches
from models.loading import load_into
from models.recomputation import recomputed
from utils.pictures.tensors import IMAGENET_DEVIATION, IMAGENET_MEAN

AGE_ENCODER = "ResNet18AgeEncoder"
LATENT_SPACES = ("w", "w+")
# Brings ages drawn evenly from 0 to 100 years, in units of 100, to a deviation of 1.
UNIT_DEVIATION = 12**0.5


@dataclass(frozen=True)
class AgeEncoderConfig:
    """Sizes of a :class:`ResNet18AgeEncoder`; the defaults are those of torchvision's ResNet-18.

    Attributes:
        channels: width of the stem and of the four stages.
        units: residual blocks in each stage.
        latent_space: ``w`` for one code that all layers share, ``w+`` for one a layer.
    """

    channels: tuple[int, ...] = OFFICIAL_CHANNELS
    units: tuple[int, ...] = UNITS_OF_DEPTH[18]
    latent_space: str = "w+"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "AgeEncoderConfig":
        arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**arguments)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with norms beside a shortcut, under torchvision's names."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = BatchNorm2d(channels)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != channels:
            shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(x)) + shortcut, inplace=True)


class ResNet(nn.Module):
    """Maps (B, 3, H, W) images to pooled features (B, channels[4]); torchvision's without its last layer.

    Raises:
        ValueError: ``channels`` are not five positive widths, or ``units`` not four positive numbers.
    """

    def __init__(self, channels: Sequence[int], units: Sequence[int]) -> None:
        super().__init__()
        if len(channels) != 5 or min(channels) < 1:
            raise ValueError(f"channels must be five widths (stem and four stages), not {tuple(channels)}")
        if len(units) != 4 or min(units) < 1:
            raise ValueError(f"units must be four positive numbers, not {tuple(units)}")
        self.checkpointing = False
        self.conv1 = nn.Conv2d(3, channels[0], 7, 2, 3, bias=False)
        self.bn1 = BatchNorm2d(channels[0])
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        stages = []
        for stage, count in enumerate(units):
            width_in, width = channels[stage], channels[stage + 1]
            blocks = [BasicBlock(width_in, width, 2 if stage else 1)]
            blocks += [BasicBlock(width, width, 1) for _ in range(count - 1)]
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x)), inplace=True))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            for block in stage:
                x = recomputed(block, x) if self.checkpointing else block(x)
        return x.mean((2, 3))


class ResNet18AgeEncoder(nn.Module):
    """Maps photos with an age plane (B, 4, S, S) to codes (B, n_styles, style_dim).

    Only one number of the age plane is read: it stands beside the pooled features of the photo, so the code
    is a straight line in the age, in one direction for everybody. The last layer starts at zero: a fresh
    encoder adds nothing yet to the code that it is an offset from.

    Args:
        n_styles, style_dim: number and length of the codes.
        channels, units, latent_space: see :class:`AgeEncoderConfig`.

    With ``checkpointing`` a backward pass computes the blocks again, which saves memory.

    Raises:
        ValueError: an argument makes no network.
    """

    _mean: Tensor
    _deviation: Tensor

    def __init__(
        self,
        n_styles: int,
        style_dim: int,
        channels: Sequence[int] = OFFICIAL_CHANNELS,
        units: Sequence[int] = UNITS_OF_DEPTH[18],
        latent_space: str = "w+",
    ) -> None:
        super().__init__()
        if latent_space not in LATENT_SPACES:
            raise ValueError(f"latent_space must be one of {LATENT_SPACES}, not {latent_space!r}")
        self.n_styles, self.style_dim = n_styles, style_dim
        self.backbone = ResNet(channels, units)
        self.codes = nn.Linear(channels[4] + 1, style_dim * (n_styles if latent_space == "w+" else 1))
        nn.init.zeros_(self.codes.weight)
        nn.init.zeros_(self.codes.bias)
        # Of images in [-1, 1].
        self.register_buffer("_mean", 2 * torch.tensor(IMAGENET_MEAN).view(3, 1, 1) - 1, persistent=False)
        self.register_buffer(
            "_deviation", 2 * torch.tensor(IMAGENET_DEVIATION).view(3, 1, 1), persistent=False
        )

    @classmethod
    def from_config(cls, config: AgeEncoderConfig, n_styles: int, style_dim: int) -> "ResNet18AgeEncoder":
        return cls(n_styles, style_dim, **config.to_dict())

    @property
    def checkpointing(self) -> bool:
        """Whether a backward pass computes the blocks again."""
        return self.backbone.checkpointing

    @checkpointing.setter
    def checkpointing(self, value: bool) -> None:
        self.backbone.checkpointing = value

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            count_batches(self)
        features = self.backbone((x[:, :3] - self._mean) / self._deviation)
        age = (x[:, 3, :1, 0] - 0.5) * UNIT_DEVIATION
        codes = self.codes(torch.cat([features, age.to(features.dtype)], dim=1))
        return codes.unflatten(1, (-1, self.style_dim)).expand(-1, self.n_styles, -1)

    def load_backbone(self, state: Mapping[str, Tensor], source: str) -> None:
        """Takes the weights of torchvision's ResNet-18 but for its last layer.

        Raises:
            InputError: they are those of another network, or of other widths.
        """
        load_into(self.backbone, {key: item for key, item in state.items() if key[:3] != "fc."}, source)
