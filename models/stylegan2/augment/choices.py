"""Which augmentations a pipe holds, how strong they are, and the draws that decide for each picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from utils.errors import InputError

GROUPS = {
    "blit": ("xflip", "rotate90", "xint"),
    "geom": ("scale", "rotate", "aniso", "xfrac"),
    "color": ("brightness", "contrast", "lumaflip", "hue", "saturation"),
    "filter": ("imgfilter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
}
PIPES = {
    **{name: (name,) for name in GROUPS},
    "bg": ("blit", "geom"),
    "bgc": ("blit", "geom", "color"),
    "bgcf": ("blit", "geom", "color", "filter"),
    "bgcfn": ("blit", "geom", "color", "filter", "noise"),
    "bgcfnc": ("blit", "geom", "color", "filter", "noise", "cutout"),
}


@dataclass(frozen=True)
class Augmentations:
    """Operations and strengths under their official names.

    An operation hits each picture with the probability p of the pipe times its multiplier; with 0 it is left
    out. ``std`` is that of a normal distribution, of the base-2 logarithm where the operation is a factor.

    Attributes:
        xflip: mirrors left and right, in half of the hits.
        rotate90: turns by a multiple of 90 degrees, one of four.
        xint: moves by whole pixels, up to the fraction ``xint_max`` of the side.
        scale: zooms.
        rotate: turns by any angle up to ``rotate_max`` times 180 degrees, before ``aniso``, after it or both.
        aniso: stretches one axis and shrinks the other.
        xfrac: moves by fractions of the side.
        brightness: adds to all channels.
        contrast: multiplies all channels.
        lumaflip: inverts the luma and keeps the chroma, in half of the hits.
        hue: turns the chroma by up to ``hue_max`` times 180 degrees.
        saturation: multiplies the chroma.
        imgfilter: amplifies each of four frequency bands, lowest first, ``imgfilter_bands`` times as often.
        noise: adds white noise with a standard deviation that is half-normal.
        cutout: sets a square to 0, mid grey, of ``cutout_size`` times the side.
    """

    xflip: float = 0
    rotate90: float = 0
    xint: float = 0
    xint_max: float = 0.125
    scale: float = 0
    rotate: float = 0
    aniso: float = 0
    xfrac: float = 0
    scale_std: float = 0.2
    rotate_max: float = 1
    aniso_std: float = 0.2
    xfrac_std: float = 0.125
    brightness: float = 0
    contrast: float = 0
    lumaflip: float = 0
    hue: float = 0
    saturation: float = 0
    brightness_std: float = 0.2
    contrast_std: float = 0.5
    hue_max: float = 1
    saturation_std: float = 1
    imgfilter: float = 0
    imgfilter_bands: Sequence[float] = (1, 1, 1, 1)
    imgfilter_std: float = 1
    noise: float = 0
    cutout: float = 0
    noise_std: float = 0.1
    cutout_size: float = 0.5

    def __post_init__(self) -> None:
        if len(self.imgfilter_bands) != 4:
            raise ValueError(f"imgfilter_bands are four numbers, not {len(self.imgfilter_bands)}")

    def includes(self, *groups: str) -> bool:
        """Whether any operation of some groups may happen."""
        return any(getattr(self, operation) > 0 for group in groups for operation in GROUPS[group])


def augmentations_named(name: str) -> Augmentations:
    """All operations of a pipe of the table, each with multiplier 1.

    Raises:
        InputError: the table has none of that name.
    """
    if name not in PIPES:
        raise InputError(f"{name!r} names no augmentations; choose one of {', '.join(PIPES)}")
    multipliers: dict[str, Any] = {operation: 1 for group in PIPES[name] for operation in GROUPS[group]}
    return Augmentations(**multipliers)


class Draws:
    """Random strengths for a batch (B, n), one row a picture; 0 where a picture is spared.

    They are made on the CPU, where the few numbers cost least and decide how large a padded batch must be
    without waiting for a GPU.

    Args:
        count: pictures B.
        p: probability that is multiplied with that of each operation.
        generator: of the random numbers, on any device; torch's own for the CPU where None.
        percentile: in its place every draw is this quantile of its distribution, and all pictures are hit.
    """

    def __init__(
        self, count: int, p: float, generator: Generator | None = None, percentile: float | None = None
    ) -> None:
        self.count, self.p, self.generator, self.percentile = count, p, generator, percentile
        self.device = torch.device("cpu") if generator is None else generator.device

    def fraction(self, columns: int = 1) -> Tensor:
        """Uniform in [0, 1), for all pictures."""
        if self.percentile is not None:
            return torch.full((self.count, columns), self.percentile)
        return torch.rand(self.count, columns, generator=self.generator, device=self.device).cpu()

    def hits(self, probability: float | Tensor) -> Tensor:
        """Which pictures an operation hits, bool (B, 1), or (B, n) for n probabilities."""
        columns = probability.numel() if isinstance(probability, Tensor) else 1
        if self.percentile is not None:
            return torch.as_tensor(probability > 0).expand(self.count, columns)
        return self.fraction(columns) < probability

    def uniform(self, probability: float, columns: int = 1) -> Tensor:
        """Uniform in [-1, 1)."""
        return (self.fraction(columns) * 2 - 1) * self.hits(probability)

    def whole(self, probability: float, below: int) -> Tensor:
        """One of the whole numbers 0 .. ``below`` - 1."""
        return (self.fraction() * below).floor() * self.hits(probability)

    def normal(self, probability: float | Tensor, columns: int = 1) -> Tensor:
        """Standard normal; a percentile is that of a distribution narrower by sqrt(2), as officially."""
        return self._normal(columns, -1) * self.hits(probability)

    def half_normal(self, probability: float) -> Tensor:
        """The absolute value of a standard normal number; percentiles as those of ``normal``."""
        return self._normal(1, 0).abs() * self.hits(probability)

    def _normal(self, columns: int, low: float) -> Tensor:
        """Normal numbers; as a percentile, that of those above the error function's value ``low``."""
        if self.percentile is not None:
            return torch.erfinv(self.fraction(columns) * (1 - low) + low)
        return torch.randn(self.count, columns, generator=self.generator, device=self.device).cpu()
