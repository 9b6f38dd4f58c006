"""Map-to-style encoder of pSp (Richardson et al. 2021, section 3): a feature pyramid, one head per style."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from models.encoders.helpers import OFFICIAL_CHANNELS, InputLayer, body, count_batches, units_per_stage
from models.encoders.style_heads import style_codes
from models.recomputation import recomputed
from models.stacked import LaidTogether, lie_together
from models.stylegan2.layers import EqualLinear

COARSE_STYLES = 3  # heads on the smallest feature map, as published
MIDDLE_STYLES = 4  # heads on the next one; all others are on the largest


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of a :class:`GradualStyleEncoder` that do not follow from the generator; official defaults."""

    num_layers: int = 50
    mode: str = "ir_se"
    input_size: int = 256
    channels: tuple[int, ...] = OFFICIAL_CHANNELS
    units: tuple[int, ...] | None = None
    style_channels: int | None = None

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping) -> "EncoderConfig":
        arguments: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**arguments)


class GradualStyleBlock(nn.Module):
    """Maps (B, in_channels, side, side) features to (B, style_dim) codes: strided convolutions, then linear.

    Args:
        in_channels: width of the feature map.
        channels: width inside the block.
        style_dim: length of the code.
        side: side of the feature map, a power of two; ``log2(side)`` convolutions reduce it to one pixel.
    """

    def __init__(self, in_channels: int, channels: int, style_dim: int, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for depth in range(max(1, int(math.log2(side)))):
            convolution = nn.Conv2d(channels if depth else in_channels, channels, 3, 2, 1)
            layers += [convolution, nn.LeakyReLU(inplace=True)]
        self.convs = nn.Sequential(*layers)
        self.linear = EqualLinear(channels, style_dim)

    def add_nothing(self) -> None:
        """Makes the code zero, whatever the features, until training moves it."""
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.convs(x).flatten(1))


class GradualStyleEncoder(LaidTogether):
    """Maps (B, input_nc, input_size, input_size) images to (B, n_styles, style_dim) codes.

    Args:
        num_layers: depth of the body by the published table.
        mode: ``ir_se`` or ``ir``.
        n_styles: number of codes, ``2 * log2(generator size) - 2``.
        input_nc: image channels; a fourth one carries the age.
        input_size: side of the input, a power of two of at least 32; 256 officially.
        style_dim: length of a code.
        channels: width of the stem and of the four stages.
        units: residual units in each stage, overriding ``num_layers``.
        style_channels: width inside the heads; ``style_dim`` if None.

    With ``checkpointing`` a backward pass computes the units of the body again, which saves memory.

    Raises:
        ValueError: ``input_size`` is not such a power of two, or another argument makes no network.
    """

    def __init__(
        self,
        num_layers: int = 50,
        mode: str = "ir_se",
        n_styles: int = 18,
        input_nc: int = 3,
        input_size: int = 256,
        style_dim: int = 512,
        channels: Sequence[int] = OFFICIAL_CHANNELS,
        units: Sequence[int] | None = None,
        style_channels: int | None = None,
    ) -> None:
        super().__init__()
        if input_size < 32 or input_size & (input_size - 1):
            raise ValueError(f"input_size must be a power of two of at least 32, not {input_size}")
        stages = units_per_stage(num_layers, units)
        self.input_size = input_size
        self.n_styles = n_styles
        self.checkpointing = False
        self.taps = (sum(stages[:2]) - 1, sum(stages[:3]) - 1)  # last units of stages two and three
        self.input_layer = InputLayer(input_nc, channels[0])
        self.body = body(channels, stages, mode)
        width = style_channels or style_dim
        sides = [input_size // self._reduction(style) for style in range(n_styles)]
        self.styles = nn.ModuleList(GradualStyleBlock(channels[4], width, style_dim, side) for side in sides)
        self.latlayer1 = nn.Conv2d(channels[3], channels[4], 1)
        self.latlayer2 = nn.Conv2d(channels[2], channels[4], 1)
        self.lay_together()

    @classmethod
    def from_config(
        cls, config: EncoderConfig, n_styles: int, style_dim: int, input_nc: int
    ) -> "GradualStyleEncoder":
        return cls(n_styles=n_styles, style_dim=style_dim, input_nc=input_nc, **config.to_dict())

    @staticmethod
    def _reduction(style: int) -> int:
        if style < COARSE_STYLES:
            return 16
        return 8 if style < COARSE_STYLES + MIDDLE_STYLES else 4

    def pyramid(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Feature maps for coarse, middle and fine styles: 1/16, 1/8 and 1/4 of the input side."""
        x = self._unit(self.input_layer, x)
        taps = []
        for index, unit in enumerate(self.body):
            x = self._unit(unit, x)
            if index in self.taps:
                taps.append(x)
        middle = _enlarge_and_add(x, self.latlayer1(taps[1]))
        return x, middle, _enlarge_and_add(middle, self.latlayer2(taps[0]))

    def _unit(self, unit: nn.Module, x: Tensor) -> Tensor:
        return recomputed(unit, x) if self.checkpointing else unit(x)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            count_batches(self)
        levels = zip(self.pyramid(x), self._heads_by_level(), strict=True)
        return style_codes([(maps, heads) for maps, heads in levels if heads])

    def _heads_by_level(self) -> list[list[GradualStyleBlock]]:
        """Heads on the coarse, the middle and the fine feature map."""
        first, second = COARSE_STYLES, COARSE_STYLES + MIDDLE_STYLES
        heads = list(self.styles)
        return [heads[:first], heads[first:second], heads[second:]]

    def lay_together(self) -> None:
        for heads in self._heads_by_level():
            for place in range(0, len(heads[0].convs) if heads else 0, 2):
                lie_together([head.convs[place].weight for head in heads])
                lie_together([head.convs[place].bias for head in heads])
        lie_together([head.linear.weight for head in self.styles])
        lie_together([head.linear.bias for head in self.styles])


def _enlarge_and_add(small: Tensor, large: Tensor) -> Tensor:
    return F.interpolate(small, size=large.shape[-2:], mode="bilinear", align_corners=True) + large
