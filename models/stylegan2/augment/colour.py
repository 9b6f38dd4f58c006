"""The augmentations of colours, frequencies and pixels."""

import math

import torch
from torch import Tensor

from models.stylegan2.augment.choices import Augmentations, Draws
from models.stylegan2.augment.resampling import filter_matrices

SPECTRUM = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # power of the four bands of photos, lowest first


def draw_colours(draws: Draws, chosen: Augmentations) -> Tensor:
    """Affine maps (B, 3, 4) of red, green and blue.

    All five operations keep the grey axis and the plane across it: luma is multiplied and moved, chroma is
    multiplied and turned.
    """
    p = draws.p
    brightness = draws.normal(p * chosen.brightness) * chosen.brightness_std
    contrast = torch.exp2(draws.normal(p * chosen.contrast) * chosen.contrast_std)
    luma = contrast * (1 - 2 * draws.whole(p * chosen.lumaflip, 2))
    angle = draws.uniform(p * chosen.hue) * math.pi * chosen.hue_max
    chroma = contrast * torch.exp2(draws.normal(p * chosen.saturation) * chosen.saturation_std)
    grey = torch.full((3, 3), 1 / 3)
    plane = torch.eye(3) - grey
    turned = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)  # by 90 degrees
    luma, chroma, angle = (value[:, :, None] for value in (luma, chroma, angle))
    linear = luma * grey + chroma * (angle.cos() * plane + angle.sin() * turned)
    return torch.cat([linear, luma * brightness[:, None].expand(-1, 3, 1)], 2)


def recoloured(images: Tensor, colours: Tensor) -> Tensor:
    """Pictures (B, 3, H, W), or grey ones (B, 1, H, W), after maps of :func:`draw_colours`.

    Raises:
        ValueError: they have another number of channels.
    """
    colours = colours.to(images, non_blocking=True)
    linear, offset = colours.split((3, 1), 2)
    if images.shape[1] == 3:
        return torch.baddbmm(offset, linear, images.flatten(2)).view_as(images)
    if images.shape[1] == 1:
        return images * linear.sum(2).mean(1)[:, None, None, None] + offset[:, :1, :, None]
    raise ValueError(f"pictures have three channels or one, not {images.shape[1]}")


def draw_gains(draws: Draws, chosen: Augmentations) -> Tensor:
    """Amplification (B, 4) of the frequency bands, lowest first.

    After each of the four changes the expected power of a photo is what it was.
    """
    bands = torch.tensor(chosen.imgfilter_bands, dtype=torch.float32)
    change = draws.normal(draws.p * chosen.imgfilter * bands, len(bands)) * chosen.imgfilter_std
    gains = torch.exp2(change)
    power = torch.tensor(SPECTRUM)
    return gains / (1 - power + power * gains.square()).sqrt().prod(1, keepdim=True)


def filtered(images: Tensor, gains: Tensor, filters: Tensor) -> Tensor:
    """Pictures (B, C, H, W) with their bands (4 filters of some taps) amplified along both axes."""
    gains, filters = gains.to(images, non_blocking=True), filters.to(images.dtype)
    higher, wider = (
        torch.einsum("bn,nij->bij", gains, filter_matrices(filters, side))[:, None]
        for side in images.shape[2:]
    )
    return higher @ (images @ wider.mT)


def draw_noise_level(draws: Draws, chosen: Augmentations) -> Tensor:
    """Standard deviation (B, 1) of the noise."""
    return draws.half_normal(draws.p * chosen.noise) * chosen.noise_std


def draw_cutout(draws: Draws, chosen: Augmentations, width: int, height: int) -> Tensor:
    """What is left of each picture, bool (B, 1, height, width)."""
    half = draws.hits(draws.p * chosen.cutout) * (chosen.cutout_size / 2)
    x, y = draws.fraction(2).split(1, 1)
    columns = ((torch.arange(width) + 0.5) / width - x).abs() >= half
    rows = ((torch.arange(height) + 0.5) / height - y).abs() >= half
    return columns[:, None, None, :] | rows[:, None, :, None]
