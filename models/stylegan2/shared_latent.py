"""Gives a generator that learned from an encoder's W+ codes Z and W spaces of its own, in closed form."""

import math
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor

from models.stylegan2.model import Generator

# Keeps the leaky ReLUs of the mapping network in their linear part; a normal number hardly ever lies below.
SHIFT = 6.0


@torch.no_grad()
def with_shared_latent(generator: Generator, codes: Tensor) -> Generator:
    """A generator whose W vectors are the whitened principal components of W+ codes.

    A generator that an encoder trained along reads W+ codes only: its mapping network never took part. With
    the mean `m_l` and the leading components `B_l` of the codes of style `l`, every code is nearly
    `m_l + B_l w` with one vector `w` of unit variance for all styles. That change of basis goes into the
    weights of the modulations, and the mapping network becomes the identity but for its normalisation, so
    that random z give faces as different as those that the encoder saw. The mean w is `SHIFT` in every
    entry. Layout and keys stay.

    Args:
        generator: what rendered the codes; it is left alone.
        codes: (N, n_latent, style_dim) codes of many pictures.

    Raises:
        ValueError: the codes are not those of this generator.
    """
    if codes.dim() != 3 or codes.shape[1:] != (generator.n_latent, generator.style_dim):
        wanted = (generator.n_latent, generator.style_dim)
        raise ValueError(f"codes must be (N, {wanted[0]}, {wanted[1]}), not {tuple(codes.shape)}")
    mean, basis = principal_components(codes.double(), generator.style_dim)
    result = deepcopy(generator)
    for style, convolution in result.modulated_convolutions():
        modulation = convolution.modulation
        weight = modulation.weight.double()
        origin = mean[style] - SHIFT * basis[style].sum(1)
        assert modulation.bias is not None
        modulation.bias += (modulation.scale * weight @ origin).float()
        modulation.weight.copy_(weight @ basis[style])
    identity = torch.eye(generator.style_dim) / math.sqrt(2)  # the activation's gain undone
    for position, layer in enumerate(result.style[1:]):
        layer.weight.copy_(identity / layer.scale)
        layer.bias.fill_(SHIFT / math.sqrt(2) / layer.lr_mul if position == 0 else 0.0)
    return result


def principal_components(codes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Mean (L, D) of (N, L, D) codes, and components (L, D, count) as long as their standard deviation.

    Fewer codes than components leave the last ones zero.
    """
    mean = codes.mean(0)
    rows = (codes - mean).flatten(1)
    # The smaller of the two Gram matrices has the same non-zero variances.
    if len(rows) < rows.shape[1]:
        variances, left = torch.linalg.eigh(rows @ rows.t() / len(rows))
        scaled = (rows.t() @ left / math.sqrt(len(rows))).flip(1)[:, :count]
    else:
        variances, vectors = torch.linalg.eigh(rows.t() @ rows / len(rows))
        scaled = (vectors * variances.clamp_min(0).sqrt()).flip(1)[:, :count]
    return mean, F.pad(scaled, (0, count - scaled.shape[1])).view(*mean.shape, count)
