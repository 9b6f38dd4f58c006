"""The adapter of MyTimeMachine (Qi et al. 2024): moves a global W+ code towards one person at one age."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from models.stacked import LaidTogether, lie_together, stacked

OF_OURS = ("type", "ages", "fixed_styles")


@dataclass(frozen=True)
class BlenderConfig:
    """Kind and widths of an adapter; the defaults are official.

    Attributes:
        type: a key of ``models.adapters.ADAPTERS``; only ``bottleneck``, a :class:`Blender`, has the widths.
        ages: how many ages a Gaussian process is seen at.
        bottleneck: length of the summary of one style.
        global_dim: length of the summary of all styles.
        age_dim: length of the embedded age.
        hidden: width between the two layers of each style's network; the length of a style if None.
        zero_init: start as the identity (the official network starts with random offsets).
        fixed_styles: so many of the last styles stay as they are.
    """

    bottleneck: int = 32
    global_dim: int = 128
    age_dim: int = 16
    hidden: int | None = None
    zero_init: bool = True
    type: str = "bottleneck"
    ages: int = 0
    fixed_styles: int = 0

    def to_dict(self) -> dict:
        """Plain values; what the official adapter does not have is left out where it is as there."""
        official = BlenderConfig()
        return {
            key: value
            for key, value in asdict(self).items()
            if key not in OF_OURS or value != getattr(official, key)
        }

    @classmethod
    def from_dict(cls, values: Mapping) -> "BlenderConfig":
        return cls(**values)


def two_layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Linear, ReLU, linear."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, outputs))


class Blender(LaidTogether):
    """Adds to every style an offset computed from that style, a summary of all styles, and the target age.

    Args:
        n_styles: styles in a code.
        style_dim: length of a style.
        config: widths, and whether it starts as the identity.
    """

    def __init__(self, n_styles: int = 18, style_dim: int = 512, config: BlenderConfig | None = None) -> None:
        super().__init__()
        config = config or BlenderConfig()
        bottleneck, global_dim, age_dim = config.bottleneck, config.global_dim, config.age_dim
        self.n_styles = n_styles
        for style in range(n_styles):
            self.add_module(f"bottleneck_{style}", two_layers(style_dim, bottleneck, bottleneck))
        self.global_mlp = two_layers(n_styles * bottleneck, global_dim, global_dim)
        self.age_mlp = two_layers(1, age_dim, age_dim)
        for style in range(n_styles):
            inputs = global_dim + age_dim + style_dim
            self.add_module(f"fc_{style}", two_layers(inputs, config.hidden or style_dim, style_dim))
        if config.zero_init:
            self.zero_init()
        self.lay_together()

    def zero_init(self) -> None:
        """Makes the network the identity: the last layer of every style's network becomes zero."""
        for style in range(self.n_styles):
            last = self.get_submodule(f"fc_{style}")[-1]
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, styles: Tensor, ages: Tensor) -> Tensor:
        """Personalises codes.

        Args:
            styles: (B, n_styles, style_dim) codes of the global model at the target age.
            ages: (B,) target ages as the network sees them, in units of 100 years (``utils.ages.scale_age``).

        Returns:
            Codes of the same shape.
        """
        each = styles.transpose(0, 1)  # (n_styles, B, style_dim)
        summaries = _all_two_layers(self._networks("bottleneck"), each)
        everything = summaries.transpose(0, 1).flatten(1)
        shared = torch.cat([self.global_mlp(everything), self.age_mlp(ages.reshape(-1, 1))], dim=1)
        inputs = torch.cat([shared.expand(self.n_styles, -1, -1), each.to(shared.dtype)], dim=2)
        return styles + _all_two_layers(self._networks("fc"), inputs).transpose(0, 1)

    def _networks(self, name: str) -> list[nn.Sequential]:
        """The networks of all styles."""
        return [self.get_submodule(f"{name}_{style}") for style in range(self.n_styles)]

    def lay_together(self) -> None:
        for name in ("bottleneck", "fc"):
            networks = self._networks(name)
            for layer in (0, 2):
                lie_together([network[layer].weight for network in networks])
                lie_together([network[layer].bias for network in networks])


def _all_two_layers(networks: Sequence[nn.Sequential], x: Tensor) -> Tensor:
    """Every network of ``two_layers`` on its own (B, inputs) of (N, B, inputs), as products of stacks."""
    hidden = all_linear([network[0] for network in networks], x)
    return all_linear([network[2] for network in networks], torch.relu_(hidden))


def all_linear(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    """Every linear layer on its own (B, inputs) of (N, B, inputs), as one product of stacks."""
    weight = stacked([layer.weight for layer in layers])
    bias = stacked([layer.bias for layer in layers])
    return torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))
