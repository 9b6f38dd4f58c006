"""What noise adds in every layer of a generator, computed at once where its strengths are frozen."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.prepared import Prepared, frozen
from models.stylegan2.layers import StyledConv


class NoiseShifts:
    """Scales the noise of all layers.

    Args:
        layers: in order.
        sides: of their planes, in pixels.
    """

    def __init__(self, layers: Sequence[StyledConv], sides: Sequence[int]) -> None:
        self._layers = list(layers)
        self._sides = list(sides)
        self._planes: Prepared[list[Tensor]] = Prepared()
        self._strengths: Prepared[Tensor] = Prepared()

    def of(self, noise: Sequence[Tensor | None], batch: int, dtype: torch.dtype) -> Sequence[Tensor | None]:
        """What each layer adds, or None where it has to see to that itself.

        Args:
            noise: a plane (1 or B, 1, side, side) a layer, or all None for fresh noise.
            batch: B.
            dtype: of the activations.
        """
        strengths = [layer.noise.weight for layer in self._layers]
        given = [plane for plane in noise if plane is not None]
        if not frozen(strengths) or len(given) not in (0, len(noise)):
            return [None] * len(self._layers)
        if given:
            return self._planes.of([*strengths, *given], lambda: self._scaled(given, dtype), dtype)
        scales = self._strengths.of(strengths, lambda: self._scales(dtype), dtype)
        counts = [side * side for side in self._sides]
        fresh = torch.randn(batch, sum(counts), dtype=dtype, device=scales.device) * scales
        parts = zip(fresh.split(counts, dim=1), self._sides, strict=True)
        return [part.view(batch, 1, side, side) for part, side in parts]

    def _scaled(self, noise: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
        pairs = zip(self._layers, noise, strict=True)
        return [(layer.noise.weight * layer.activate.scale * plane).to(dtype) for layer, plane in pairs]

    def _scales(self, dtype: torch.dtype) -> Tensor:
        """The strength at every pixel of all planes, one after another."""
        pairs = zip(self._layers, self._sides, strict=True)
        scales = [(layer.noise.weight * layer.activate.scale).expand(side * side) for layer, side in pairs]
        return torch.cat(scales).to(dtype)
