"""Spectrum loss: pictures have as much detail of every size and direction as photos."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from criteria.frozen import full_precision

LUMINANCE = (0.299, 0.587, 0.114)
LEVELS = 127.5  # of a picture's brightness in a unit of [-1, 1]
ROUNDING = 1 / 12  # power of the rounding to whole levels; what lies below it is no detail
DETAIL_FROM = 1 / 8  # cycles a pixel; below it lie the parts of the face
PLACES = 7  # windows in a row of a picture, where it is larger than the window
SIDES = (128, 32)  # pixels: the whole of a small face, and a patch of skin
DRAWN = 12  # windows a step


class SpectrumLoss(nn.Module):
    """Mean squared difference, in decibels, of the mean log power of pictures from that of photos.

    Powers are those of the luminance under a Hann window, at the same place of aligned faces; what varies
    between pictures is free, the mean of a batch counts. Frequencies below 1/8 cycle a pixel do not count.

    Args:
        photos: (N, 3, R, R) in [-1, 1].
    """

    def __init__(self, photos: Tensor) -> None:
        super().__init__()
        size = photos.shape[-1]
        self.sides = sorted({min(side, size) for side in SIDES}, reverse=True)
        self._size = size
        self._wanted: list[Tensor] = []
        for side in self.sides:
            places = [(top, left) for top in self._starts(side) for left in self._starts(side)]
            parts = [log_power(photo[None], side, places) for photo in photos]
            self._wanted.append(torch.cat(parts).mean(0))

    def _starts(self, side: int) -> list[int]:
        count = PLACES if side < self._size else 1
        return torch.linspace(0, self._size - side, count).round().int().tolist()

    def forward(self, images: Tensor) -> Tensor:
        """The mean over the window sides of pictures (B, 3, R, R); windows are drawn and moved at random."""
        images = full_precision(images).clamp(-1, 1)
        return torch.stack([self._distance(images, *pair) for pair in enumerate(self.sides)]).mean()

    def _distance(self, images: Tensor, number: int, side: int) -> Tensor:
        starts = self._starts(side)
        drawn = torch.randperm(len(starts) ** 2)[:DRAWN]
        reach = (starts[1] - starts[0]) // 2 if len(starts) > 1 else 0
        moved = torch.randint(-reach, reach + 1, (len(drawn), 2))
        cells = torch.stack([drawn // len(starts), drawn % len(starts)], dim=1)
        corners = (torch.tensor(starts)[cells] + moved).clamp(0, self._size - side)
        made = log_power(images, side, [(int(top), int(left)) for top, left in corners]).mean(0)
        wanted = self._wanted[number].to(made.device)[drawn.to(made.device)]
        return (made - wanted)[:, is_detail(side).to(made.device)].square().mean()


def log_power(images: Tensor, side: int, corners: Sequence[tuple[int, int]]) -> Tensor:
    """Power in decibels (B, windows, side, side // 2 + 1) of windows of images (B, 3, R, R)."""
    weights = images.new_tensor(LUMINANCE)[:, None, None] * LEVELS
    luminance = (images * weights).sum(1)
    line = torch.hann_window(side, device=images.device, dtype=images.dtype)
    window = torch.outer(line, line)
    parts = torch.stack([luminance[:, top : top + side, left : left + side] for top, left in corners], dim=1)
    means = (parts * window).sum((-2, -1), keepdim=True) / window.sum()
    waves = torch.fft.rfft2((parts - means) * window)
    power = (waves.real.square() + waves.imag.square()) / window.square().sum()
    return 10 * (power + ROUNDING).log10()


def is_detail(side: int) -> Tensor:
    """Which frequencies (side, side // 2 + 1) of a window count."""
    down, across = torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None]
    return torch.hypot(down, across) > DETAIL_FROM
