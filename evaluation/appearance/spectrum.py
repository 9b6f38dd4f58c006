"""Power spectra of pictures: how much detail of each size there is, and regular patterns such as a grid.

All spectra are of the luminance in levels of 255, in decibels. Pictures larger than :data:`TILE` are cut into
overlapping tiles whose powers are averaged (Welch 1967), so that a pattern of the pixels has one frequency at
any size.
"""

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import median_filter
from torch import Tensor

from criteria.spectrum_loss import DETAIL_FROM, LUMINANCE, ROUNDING
from utils.pictures.tensors import to_uint8

TILE = 128  # pixels
FIRST_RING = 2  # rings below it hold what the window smears of the mean
SMOOTH = 0.1  # cycles a pixel, over which the median makes the smooth spectrum


def power_of(images: Tensor) -> Tensor:
    """Mean power of tiles under a Hann window, zero frequency first.

    Args:
        images: (..., 3, R, R) in [-1, 1].

    Returns:
        (..., T, T) float32 on the CPU, T the smaller of R and :data:`TILE`.
    """
    pixels = to_uint8(images).float()
    luminance = (pixels * pixels.new_tensor(LUMINANCE)[:, None, None]).sum(-3)
    side = luminance.shape[-1]
    tile = min(side, TILE)
    line = torch.hann_window(tile, device=pixels.device)
    window = torch.outer(line, line)
    count = 1 if side == tile else -(-2 * (side - tile) // tile) + 1
    starts = np.linspace(0, side - tile, count).round().astype(int).tolist()
    total = torch.zeros(*luminance.shape[:-2], tile, tile, device=pixels.device)
    for top in starts:
        for left in starts:
            part = luminance[..., top : top + tile, left : left + tile]
            mean = (part * window).sum((-2, -1), keepdim=True) / window.sum()
            waves = torch.fft.fft2((part - mean) * window)
            total += waves.real.square() + waves.imag.square()
    return (total / (count**2 * window.square().sum())).cpu()


def decibels(power: Tensor) -> Tensor:
    """Power in decibels, not below that of rounding."""
    return 10 * (power + ROUNDING).log10()


def frequencies(tile: int) -> tuple[Tensor, Tensor]:
    """Cycles a pixel in x and in y of a spectrum (T, T), each (T, T)."""
    line = torch.fft.fftfreq(tile)
    down, across = torch.meshgrid(line, line, indexing="ij")
    return across, down


@cache
def _ring_shares(tile: int) -> Tensor:
    """Weights (T * T, T // 2) with which a spectrum's values make the means of its rings."""
    number = (torch.hypot(*frequencies(tile)) * tile).round().long().flatten()
    members = F.one_hot(number, int(number.max()) + 1)[:, : tile // 2].float()
    return members / members.sum(0)


def rings(power: Tensor) -> Tensor:
    """Mean power (..., T // 2) of (..., T, T) in rings one bin wide, the first about the zero frequency."""
    return power.flatten(-2) @ _ring_shares(power.shape[-1])


class MeanSpectrum:
    """Spectra of many pictures of one size.

    Attributes:
        profiles: of each picture the rings in decibels (T // 2,).
    """

    def __init__(self) -> None:
        self.profiles: list[Tensor] = []
        self._total: Tensor | None = None

    def add(self, power: Tensor) -> None:
        """Adds the powers (N, T, T) of some pictures."""
        total = decibels(power).double().sum(0)
        self._total = total if self._total is None else self._total + total
        self.profiles += decibels(rings(power)).unbind(0)

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return len(self.profiles)

    @property
    def plane(self) -> Tensor:
        """Mean (T, T) in decibels."""
        assert self._total is not None
        return self._total / self.count

    @property
    def profile(self) -> Tensor:
        """Mean rings (T // 2,) in decibels."""
        return torch.stack(self.profiles).mean(0)


def distance(profile: Tensor, other: Tensor, share: float = 1.0) -> float:
    """Mean absolute difference of two profiles (T // 2,) in decibels; NaN where no ring is left.

    Args:
        profile: of :class:`MeanSpectrum`.
        other: the same of other pictures.
        share: of the band that both can have; less than 1 where photos were enlarged.
    """
    end = round(len(profile) * min(1.0, share))
    return float((profile - other)[FIRST_RING:end].abs().mean())


def smooth(plane: Tensor) -> Tensor:
    """The median of a plane (T, T) in decibels about each frequency."""
    bins = round(SMOOTH * len(plane)) | 1
    return torch.from_numpy(median_filter(plane.numpy(), bins, mode="wrap"))


def peak(plane: Tensor, photos: Tensor) -> dict[str, float]:
    """The highest narrow peak of a plane (T, T) in decibels over its smooth spectrum.

    What stands out among photos as well, such as the edges of mouth and eyes, does not count.

    Returns:
        ``height`` over the smooth spectrum and ``over_photos``, over that of the photos, in decibels; ``x``
        and ``y`` in cycles a pixel.
    """
    calm = smooth(photos)
    height = plane - smooth(plane) - (photos - calm).clamp(min=0)
    across, down = frequencies(len(plane))
    height[torch.hypot(across, down) < DETAIL_FROM] = -torch.inf
    place = int(height.argmax())
    return {
        "height": float(height.flatten()[place]),
        "over_photos": float((plane - calm).flatten()[place]),
        "x": abs(float(across.flatten()[place])),
        "y": abs(float(down.flatten()[place])),
    }
