"""The factors of all modulated convolutions of a generator at once, in a few products of matrices."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.prepared import Prepared
from models.stylegan2.layers import Factors, ModulatedConv2d


class Layer(NamedTuple):
    """A modulated convolution, the number of the style that it reads, and the gain of its demodulation."""

    style: int
    convolution: ModulatedConv2d
    gain: float


class Alike(NamedTuple):
    """What layers of one width need: products of their styles with these weights are their factors."""

    weight: Tensor  # (n, style_dim, in)
    bias: Tensor  # (n, 1, in)
    energies: list[tuple[int, Tensor, Tensor] | None]  # layers in a row: (m, in, out) and their epsilon


class StyleFactors(nn.Module):
    """Computes what every layer of a generator makes of its style.

    Layers of one width share a product for the modulation, those of one shape another for the demodulation. It
    has no weights of its own.

    Args:
        layers: in the order in which the factors are wanted.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        by_shape = sorted(range(len(layers)), key=lambda index: self._shape(layers[index]))
        self._places = sorted(range(len(layers)), key=by_shape.__getitem__)
        self._layers = [layers[index] for index in by_shape]
        styles = torch.tensor([layer.style for layer in self._layers])
        self.register_buffer("styles", styles, persistent=False)
        self._prepared: Prepared[list[Alike]] = Prepared()

    @staticmethod
    def _shape(layer: Layer) -> tuple[int, bool, int, float]:
        convolution = layer.convolution
        out_channels, in_channels = convolution.weight.shape[1:3]
        return in_channels, convolution.demodulate, out_channels, layer.gain

    def forward(self, latent: Tensor, dtype: torch.dtype) -> list[Factors]:
        """Factors of every layer in a dtype, for codes (B, n_latent, style_dim)."""
        weights = [
            weight
            for layer in self._layers
            for weight in (
                layer.convolution.weight,
                layer.convolution.modulation.weight,
                layer.convolution.modulation.bias,
            )
        ]
        forms = self._prepared.of(weights, self._weights)
        codes = latent.transpose(0, 1).index_select(0, self.styles)
        factors: list[Factors] = []
        for form, styles in zip(forms, codes.split([len(form.weight) for form in forms]), strict=True):
            modulations = torch.baddbmm(form.bias, styles, form.weight)
            factors += _factors(modulations, form, dtype)
        return [factors[place] for place in self._places]

    def _weights(self) -> list[Alike]:
        """The weights of the layers of each width, stacked."""
        forms = []
        for _, group in groupby(self._layers, lambda layer: layer.convolution.weight.shape[2]):
            layers = list(group)
            modulations = [layer.convolution.modulation for layer in layers]
            weight = torch.stack([modulation.weight for modulation in modulations]).transpose(1, 2)
            bias = torch.stack([modulation.bias for modulation in modulations])[:, None]
            forms.append(Alike(weight * modulations[0].scale, bias, _energies(layers)))
        return forms


def _energies(layers: Sequence[Layer]) -> list[tuple[int, Tensor, Tensor] | None]:
    """Stacked energies of neighbouring layers of one shape; None for each layer without demodulation."""
    found: list[tuple[int, Tensor, Tensor] | None] = []
    for shape, group in groupby(layers, StyleFactors._shape):
        alike = list(group)
        if not shape[1]:
            found += [None] * len(alike)
            continue
        energy = torch.stack([layer.convolution.energy(layer.gain) for layer in alike]).transpose(1, 2)
        epsilon = energy.new_full((1, 1, 1), alike[0].convolution.eps / alike[0].gain ** 2)
        found.append((len(alike), energy, epsilon))
    return found


def _factors(modulations: Tensor, form: Alike, dtype: torch.dtype) -> list[Factors]:
    """The factors of layers of one width from their modulations (n, B, in)."""
    demodulations: list[Tensor | None] = []
    plain = sum(energy is None for energy in form.energies)  # they come first
    squares = None
    if plain < len(modulations):
        squares = modulations[plain:].square()
        counts = [energy[0] for energy in form.energies if energy is not None]
        parts = iter(squares.split(counts))
    for energy in form.energies:
        if energy is None:
            demodulations.append(None)
        else:
            _, weights, epsilon = energy
            demodulations += torch.rsqrt(torch.baddbmm(epsilon, next(parts), weights)).to(dtype).unbind(0)
    pairs = zip(modulations.to(dtype).unbind(0), demodulations, strict=True)
    return [Factors(modulation, demodulation) for modulation, demodulation in pairs]
