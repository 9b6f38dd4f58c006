"""The noise of all layers of a generator, drawn and scaled at once where that is possible."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.prepared import Prepared, frozen
from models.stylegan2.layers import StyledConv


class LayerNoise:
    """What noise adds in every layer.

    Args:
        layers: in order.
        sides: of their planes, in pixels.
    """

    def __init__(self, layers: Sequence[StyledConv], sides: Sequence[int]) -> None:
        self._layers = list(layers)
        self._sides = list(sides)
        self._planes: Prepared[list[Tensor]] = Prepared()
        self._strengths: Prepared[Tensor] = Prepared()

    def draw(self, batch: int, dtype: torch.dtype, device: torch.device) -> list[Tensor]:
        """Fresh planes (batch, 1, side, side), one a layer."""
        return self._split(self._draw(batch, dtype, device))

    def shifts(
        self, noise: Sequence[Tensor | None], batch: int, dtype: torch.dtype
    ) -> tuple[Sequence[Tensor | None], Sequence[Tensor | None]]:
        """Planes of all layers, or where strengths are frozen what they add, which then counts instead.

        Args:
            noise: a plane (1 or B, 1, side, side) a layer, None for fresh noise.
            batch: B.
            dtype: of the activations.
        """
        strengths = [layer.noise.weight for layer in self._layers]
        nothing: list[Tensor | None] = [None] * len(self._layers)
        given = [plane for plane in noise if plane is not None]
        if not given and frozen(strengths):
            scales = self._strengths.of(strengths, lambda: self._scales(dtype), dtype)
            return nothing, self._split(self._draw(batch, dtype, strengths[0].device) * scales)
        if len(given) < len(noise):
            fresh = self.draw(batch, dtype, strengths[0].device)
            return [new if old is None else old for old, new in zip(noise, fresh, strict=True)], nothing
        if not frozen(strengths):
            return noise, nothing
        return nothing, self._planes.of([*strengths, *given], lambda: self._scaled(given, dtype), dtype)

    def _draw(self, batch: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        count = sum(side * side for side in self._sides)
        return torch.randn(batch, count, dtype=dtype, device=device)

    def _split(self, flat: Tensor) -> list[Tensor]:
        parts = flat.split([side * side for side in self._sides], dim=1)
        return [part.unflatten(1, (1, side, side)) for part, side in zip(parts, self._sides, strict=True)]

    def _scaled(self, noise: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
        pairs = zip(self._layers, noise, strict=True)
        return [(layer.noise.weight * layer.activate.scale * plane).to(dtype) for layer, plane in pairs]

    def _scales(self, dtype: torch.dtype) -> Tensor:
        """The strength at every pixel of all planes, one after another."""
        pairs = zip(self._layers, self._sides, strict=True)
        scales = [(layer.noise.weight * layer.activate.scale).expand(side * side) for layer, side in pairs]
        return torch.cat(scales).to(dtype)
