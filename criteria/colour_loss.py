"""Colour consistency: hues stay those of the input while light and dark may change with the age."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from criteria.objective import Measures, Pass, Term, TermGroup
from utils.typed_options import Options, option, weight

# Length of the chroma at which a pixel counts a third; skin has 0.3 to 0.6, teeth 0 to 0.2.
NEUTRAL_CHROMA = 0.3
LEAST_NEUTRAL = 0.02


@dataclass(frozen=True, kw_only=True)
class ColourWeights(Options):
    """Weight of the colour term."""

    title = "losses"

    colour_lambda: float = option(
        0.0,
        weight,
        "weight of the change of colour, brightness apart, where the input's inner face is light grey",
    )


def chroma(images: Tensor) -> Tensor:
    """Red against green and yellow against blue, (B, 2, S, S), of images (B, 3, S, S): grey is 0."""
    red, green, blue = images.unbind(1)
    return torch.stack([red - green, (red + green) / 2 - blue], dim=1)


def neutrality(images: Tensor) -> Tensor:
    """How bright and how near to grey, (B, 1, S, S) in 0-1: teeth and the whites of eyes more than skin."""
    brightness = (images.mean(dim=1, keepdim=True) + 1) / 2
    return torch.exp(-chroma(images).square().sum(dim=1, keepdim=True) / NEUTRAL_CHROMA**2) * brightness


def colour(measures: Measures, this: Pass) -> Tensor:
    """``mean_b sum(n(x) ||c(y) - c(x)||^2) / (sum(n(x)) + s)`` of the inner face, c the :func:`chroma`.

    Networks that learn from recoloured faces hardly see hues: without this term teeth may turn green and eyes
    blue where an age classifier likes the pattern (not in the official code). Skin does change its hue with
    age; n, the :func:`neutrality`, lets what is white in the input count most, and s is ``LEAST_NEUTRAL`` of
    the pixels, so that a face without anything white is not held to its few lightest spots.
    """
    made, target = (measures.crop(images) for images in (this.generated, this.looks_like.images))
    weights = neutrality(target)
    change = (chroma(made) - chroma(target)).square().sum(dim=1, keepdim=True)
    spots = weights.sum(dim=(1, 2, 3)) + LEAST_NEUTRAL * weights[0].numel()
    return ((weights * change).sum(dim=(1, 2, 3)) / spots).mean()


def colour_terms(weights: ColourWeights) -> Sequence[Term]:
    """The row."""
    return [Term("loss_colour", weights.colour_lambda, colour)]


COLOUR = TermGroup(ColourWeights, colour_terms)
