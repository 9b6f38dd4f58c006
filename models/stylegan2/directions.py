"""Unsupervised directions of a StyleGAN2 by closed-form factorisation (SeFa: Shen and Zhou 2021)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from models.stylegan2.model import Generator


def modulations(generator: Generator) -> list[Tensor]:
    """For each style the weights (channels, style_dim) of the layer that it is named after.

    That is a convolution; of the last style, which no convolution reads, the last to-RGB layer.
    """
    convolutions = [
        *(layer.conv for layer in (generator.conv1, *generator.convs)),
        generator.to_rgbs[-1].conv,
    ]
    return [convolution.modulation.weight.detach() for convolution in convolutions]


def closed_form_directions(weights: Sequence[Tensor], count: int) -> Tensor:
    """The directions (count, style_dim) of unit length that change the most of what layers read.

    They are the eigenvectors of A^T A, the strongest first, A being the weights (channels, style_dim) of all
    layers below one another. Its rows get unit length, so that no layer counts for more because its weights
    are large. Which end is positive is arbitrary: here the number of the largest size is.

    Args:
        weights: of each layer, (channels, style_dim).
        count: directions wanted.

    Raises:
        ValueError: there are not so many.
    """
    rows = F.normalize(torch.cat([weight.double().cpu() for weight in weights]), dim=1)
    if not 0 <= count <= rows.shape[1]:
        raise ValueError(f"{rows.shape[1]} directions are all there are, not {count}")
    _, vectors = torch.linalg.eigh(rows.T @ rows)  # in rising order
    directions = vectors.T.flip(0)[:count]
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return (directions * largest.sign()).float()


def one_deviation(direction: Tensor, codes: Tensor) -> Tensor:
    """A direction scaled so that it moves a code by one standard deviation of random codes along it.

    Args:
        direction: (n_styles, style_dim), not zero; styles that are zero stay where they are.
        codes: (N, n_styles, style_dim) of random faces.

    Returns:
        (n_styles, style_dim): the direction at a length, over the styles that it moves, that is the root mean
        square of the deviations of the codes along it, style by style.
    """
    moved = direction.abs().amax(1) > 0
    unit = direction * (moved.sum().sqrt() / direction.norm())
    variance = (codes * unit).sum(2).var(0).sum() / moved.sum()
    return unit * variance.sqrt()
