"""Style consistency: Gram matrices of the features of a frozen network (Gatys et al. 2016, section 2.2)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from criteria.frozen import FrozenLoss, full_precision
from criteria.objective import Measures, Pass, Term, TermGroup
from utils.typed_options import Options, option, path, weight


@dataclass(frozen=True, kw_only=True)
class StyleWeights(Options):
    """Weight of the style term, and the network that it looks through."""

    title = "losses"

    style_lambda: float = option(
        0.0, weight, "weight of the difference in style (Gram matrices) from the input"
    )
    style_network: str = option(
        "auto",
        str,
        "whose features make the style; vgg19: torchvision's ImageNet weights; dex: the age classifier's; "
        "auto: vgg19 where the weights are at hand, else dex",
        choices=("auto", "vgg19", "dex"),
    )
    style_weights: str | None = option(
        None,
        path,
        "torchvision's vgg19-dcbb9e9d.pth; without it the one in the folder of weights or in torch's cache",
        metavar="FILE",
    )


def gram_matrix(maps: Tensor) -> Tensor:
    """``F F^T / (C H W)`` of maps (B, C, H, W): (B, C, C), in float32 whatever autocast says."""
    with torch.autocast(maps.device.type, enabled=False):
        flat = full_precision(maps).flatten(2)
        return flat @ flat.mT / flat[0].numel()


class StyleLoss(FrozenLoss):
    """Mean over the layers of ``||G(y) - G(x)||^2``, the squared Frobenius norm.

    Gram matrices are divided by ``C H W`` (Johnson et al. 2016), so that the size of the picture does not
    matter; Gatys et al. divide the squares by ``(2 C H W)^2`` instead.

    Args:
        network: the network behind the maps.
        maps: gives maps (B, C, H, W), one a layer, of images (B, 3, S, S) in [-1, 1].
    """

    def __init__(self, network: nn.Module, maps: Callable[[Tensor], Sequence[Tensor]]) -> None:
        super().__init__()
        self.network = self.freeze(network)
        self._maps = maps

    def features(self, images: Tensor) -> list[Tensor]:
        """Gram matrices (B, C, C) of images (B, 3, S, S) in [-1, 1], one a layer."""
        return [gram_matrix(maps) for maps in self._maps(images)]

    def forward(self, generated: Tensor, target_features: Sequence[Tensor]) -> Tensor:
        """Mean over images (B, 3, S, S) of their distance from Gram matrices (B, C, C), one a layer."""
        pairs = zip(self.features(generated), target_features, strict=True)
        layers = [(one - other).square().sum((1, 2)).mean() for one, other in pairs]
        return torch.stack(layers).mean()


def style(measures: Measures, this: Pass) -> Tensor:
    """The style of the pictures shall be that of what they shall look like, at every age."""
    assert measures.style is not None and this.looks_like.style is not None
    return measures.style(this.generated, this.looks_like.style)


def style_terms(weights: StyleWeights) -> Sequence[Term]:
    """The row."""
    return [Term("loss_style", weights.style_lambda, style, needs=["style"], compares=["style"])]


STYLE = TermGroup(StyleWeights, style_terms)
