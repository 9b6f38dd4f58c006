"""Colour consistency: hues stay those of the input while light and dark may change with the age."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from criteria.objective import Measures, Pass, Term, TermGroup
from utils.typed_options import Options, option, weight


@dataclass(frozen=True, kw_only=True)
class ColourWeights(Options):
    """Weight of the colour term."""

    title = "losses"

    colour_lambda: float = option(
        0.0, weight, "weight of the difference in colour, brightness apart, from the input's inner face"
    )


def chroma(images: Tensor) -> Tensor:
    """Red against green and yellow against blue, (B, 2, S, S), of images (B, 3, S, S): grey is 0."""
    red, green, blue = images.unbind(1)
    return torch.stack([red - green, (red + green) / 2 - blue], dim=1)


def colour(measures: Measures, this: Pass) -> Tensor:
    """``mean ||c(y) - c(x)||^2`` with the :func:`chroma` c of the inner face.

    Networks that learn from recoloured faces hardly see hues: without this term teeth may turn green and eyes
    blue where an age classifier likes the pattern (not in the official code).
    """
    made, target = (chroma(measures.crop(images)) for images in (this.generated, this.looks_like.images))
    return F.mse_loss(made, target)


def colour_terms(weights: ColourWeights) -> Sequence[Term]:
    """The row."""
    return [Term("loss_colour", weights.colour_lambda, colour)]


COLOUR = TermGroup(ColourWeights, colour_terms)
