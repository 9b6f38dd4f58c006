"""The factors of all modulated convolutions of a generator at once, in a few products of matrices."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.prepared import Prepared
from models.stylegan2.layers import Factors, ModulatedConv2d
from models.stylegan2.op import compiled_operators


class Layer(NamedTuple):
    """A modulated convolution, the number of the style that it reads, and the gain of its demodulation."""

    style: int
    convolution: ModulatedConv2d
    gain: float

    @property
    def shape(self) -> tuple[int, bool, int, float]:
        """Layers of one shape have factors of one shape, from weights of one shape."""
        out_channels, in_channels = self.convolution.weight.shape[1:3]
        return in_channels, self.convolution.demodulate, out_channels, self.gain


class Weights(NamedTuple):
    """What gives the factors of layers of one width.

    Attributes:
        modulation: (n, style_dim, in).
        bias: of the modulation, (n, 1, in).
        energies: for the layers of each shape (m, in, out), and what is added to their product; None without
            demodulation.
    """

    modulation: Tensor
    bias: Tensor
    energies: list[tuple[Tensor, Tensor] | None]


class StyleFactors(nn.Module):
    """Computes what every layer of a generator makes of its style.

    Layers of one width share a product for the modulation, those of one shape another for the demodulation.
    It has no weights of its own.

    Args:
        layers: in the order in which the factors are wanted.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        order = sorted(range(len(layers)), key=lambda index: layers[index].shape)
        ordered = [layers[index] for index in order]
        self._places = sorted(range(len(layers)), key=order.__getitem__)
        # by width, and within a width by shape
        self._groups = [
            [list(alike) for _, alike in groupby(group, lambda layer: layer.shape)]
            for _, group in groupby(ordered, lambda layer: layer.shape[0])
        ]
        styles = torch.tensor([layer.style for layer in ordered])
        self.register_buffer("styles", styles, persistent=False)
        self._prepared: Prepared[list[Weights]] = Prepared()

    def forward(self, latent: Tensor, dtype: torch.dtype) -> list[Factors]:
        """Factors of every layer in a dtype, for codes (B, n_latent, style_dim).

        Those of layers with demodulation keep the dtype of the codes where the operators are compiled, which
        read them as they are.
        """
        scaling_dtype = latent.dtype if compiled_operators(latent) else dtype
        layers = [layer.convolution for group in self._groups for alike in group for layer in alike]
        sources = [weight for c in layers for weight in (c.weight, c.modulation.weight, c.modulation.bias)]
        known = self._prepared.of(sources, lambda: [_weights(group) for group in self._groups])
        codes = latent.transpose(0, 1).index_select(0, self.styles)
        factors: list[Factors] = []
        by_width = codes.split([len(weights.modulation) for weights in known])
        for group, weights, styles in zip(self._groups, known, by_width, strict=True):
            modulations = torch.baddbmm(weights.bias, styles, weights.modulation)
            parts = modulations.split([len(alike) for alike in group])
            for part, energy in zip(parts, weights.energies, strict=True):
                factors += _factors(part, energy, dtype if energy is None else scaling_dtype)
        return [factors[place] for place in self._places]


def _weights(group: Sequence[Sequence[Layer]]) -> Weights:
    modulations = [layer.convolution.modulation for alike in group for layer in alike]
    weight = torch.stack([modulation.weight for modulation in modulations]).transpose(1, 2)
    bias = torch.stack([modulation.bias for modulation in modulations])[:, None]
    return Weights(weight * modulations[0].scale, bias, [_energies(alike) for alike in group])


def _energies(alike: Sequence[Layer]) -> tuple[Tensor, Tensor] | None:
    first = alike[0].convolution
    if not first.demodulate:
        return None
    energies = torch.stack([layer.convolution.energy(layer.gain) for layer in alike]).transpose(1, 2)
    return energies, energies.new_full((1, 1, 1), first.eps / alike[0].gain ** 2)


def _factors(modulations: Tensor, energy: tuple[Tensor, Tensor] | None, dtype: torch.dtype) -> list[Factors]:
    """The factors of layers of one shape from their modulations (m, B, in)."""
    each = modulations.to(dtype).unbind(0)
    if energy is None:
        return [Factors(modulation, None) for modulation in each]
    energies, epsilon = energy
    demodulations = torch.rsqrt(torch.baddbmm(epsilon, modulations.square(), energies)).to(dtype).unbind(0)
    return [Factors(*pair) for pair in zip(each, demodulations, strict=True)]
