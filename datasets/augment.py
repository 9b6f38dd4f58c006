"""Augmentations of image batches in plain torch: differentiable for a GAN, stronger for classifiers.

The GAN set follows the idea of "Differentiable Augmentation for Data-Efficient GAN Training" (Zhao et al.,
2020): the same random operations on real and generated pictures, through which gradients (and R1's second
derivatives) flow. Parameters are drawn on the generator's device, so one seed on a CPU generator gives the
same augmentation on every processor.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

# Luminance quantisation of JPEG at quality 50 (ITU-T T.81, table K.1).
_JPEG_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)


def _rand(n: int, low: float, high: float, generator: Generator | None) -> Tensor:
    """Draws ``(n,)`` uniform numbers on the generator's device."""
    device = "cpu" if generator is None else generator.device
    return torch.rand(n, generator=generator, device=device) * (high - low) + low


def _chosen(n: int, probability: float, generator: Generator | None) -> Tensor:
    """Draws which of ``n`` pictures an operation applies to, bool ``(n,)``."""
    return _rand(n, 0.0, 1.0, generator) < probability


def _per_image(values: Tensor, images: Tensor) -> Tensor:
    """Shapes ``(B,)`` parameters to ``(B, 1, 1, 1)`` on the device and in the dtype of the pictures."""
    return values.to(images.device, images.dtype, non_blocking=True).view(-1, 1, 1, 1)


def _same_format(result: Tensor, like: Tensor) -> Tensor:
    """Gives a batch the memory format of another."""
    if like.is_contiguous(memory_format=torch.channels_last) and not like.is_contiguous():
        return result.contiguous(memory_format=torch.channels_last)
    return result.contiguous()


def _grey(images: Tensor) -> Tensor:
    """Returns the luma ``(B, 1, H, W)`` (ITU-R BT.601)."""
    red, green, blue = images.split(1, 1)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def flip(images: Tensor, mask: Tensor) -> Tensor:
    """Mirrors the pictures ``(B, C, H, W)`` where ``mask`` (B,) holds."""
    mask = mask.to(images.device).view(-1, 1, 1, 1)
    return _same_format(torch.where(mask, images.flip(3), images), images)


def shift(images: Tensor, offsets: list[tuple[int, int]], padding: str = "reflect") -> Tensor:
    """Moves picture ``i`` by ``offsets[i]`` = (down, right) whole pixels.

    Args:
        images: ``(B, C, H, W)``.
        offsets: one pair per picture, smaller than the picture.
        padding: "reflect" mirrors at the border, "zero" fills with 0 (mid grey).
    """
    if not any(down or right for down, right in offsets):
        return images
    mode = "constant" if padding == "zero" else padding
    height, width = images.shape[2:]
    moved = []
    for image, (down, right) in zip(images.split(1), offsets, strict=True):
        if down or right:
            sides = (max(right, 0), max(-right, 0), max(down, 0), max(-down, 0))
            top, left = sides[3], sides[1]
            image = F.pad(image, sides, mode)[:, :, top : top + height, left : left + width]
        moved.append(image)
    return _same_format(torch.cat(moved), images)


def colour(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor | None = None) -> Tensor:
    """Scales saturation, then contrast about the mean of each picture, then adds brightness.

    Args:
        images: ``(B, 3, H, W)``.
        brightness: (B,) offset; 0 changes nothing.
        contrast: (B,) factor; 1 changes nothing.
        saturation: (B,) factor; 1 changes nothing, 0 gives grey; None skips it.
    """
    if saturation is not None:
        images = torch.lerp(_grey(images).expand_as(images), images, _per_image(saturation, images))
    gain = _per_image(contrast, images)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return images * gain + (mean * (1 - gain) + _per_image(brightness, images))


@dataclass(frozen=True)
class SimpleAugment:
    """The "simple" GAN augmentation: each operation hits each picture with ``probability``.

    Probabilities below about 0.5 do not leak into the generated pictures. Flips have a probability of their
    own: where the data is already flipped, 0 leaves them out.

    Attributes:
        probability: of shift, brightness, contrast and saturation, each.
        flip_probability: of mirroring.
        max_shift: largest shift as a fraction of the side.
        brightness: largest offset, on the scale of [-1, 1].
        contrast: factors lie in ``1 - contrast .. 1 + contrast``.
        saturation: factors lie in ``1 - saturation .. 1 + saturation``; 0 leaves it out.
        padding: "reflect" or "zero".
    """

    probability: float = 0.2
    flip_probability: float = 0.0
    max_shift: float = 0.125
    brightness: float = 0.4
    contrast: float = 0.5
    saturation: float = 0.0
    padding: str = "reflect"

    def __call__(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Augments ``(B, 3, H, W)``; shape, dtype and memory format stay, values may leave [-1, 1]."""
        n = images.shape[0]
        flips = _chosen(n, self.flip_probability, generator)
        offsets = self._offsets(images, generator)
        brightness = self._amounts(n, self.brightness, generator)
        contrast = 1 + self._amounts(n, self.contrast, generator)
        saturation = 1 + self._amounts(n, self.saturation, generator) if self.saturation else None
        if self.flip_probability > 0:
            images = flip(images, flips)
        images = shift(images, offsets, self.padding)
        if self.probability > 0:
            images = colour(images, brightness, contrast, saturation)
        return images

    def _amounts(self, n: int, limit: float, generator: Generator | None) -> Tensor:
        """Draws (n,) numbers in ``-limit .. limit``, 0 where the operation does not apply."""
        chosen = _chosen(n, self.probability, generator)
        return _rand(n, -limit, limit, generator) * chosen

    def _offsets(self, images: Tensor, generator: Generator | None) -> list[tuple[int, int]]:
        """Draws the whole-pixel shift of every picture."""
        n, _, height, width = images.shape
        chosen = _chosen(n, self.probability, generator).tolist()
        down = _rand(n, -1.0, 1.0, generator).mul(self.max_shift * height).round().int().tolist()
        right = _rand(n, -1.0, 1.0, generator).mul(self.max_shift * width).round().int().tolist()
        return [(d, r) if c else (0, 0) for c, d, r in zip(chosen, down, right, strict=True)]


# Changes that leave the age of a face, and who it is, alone.
AGING_AUGMENT = SimpleAugment(
    probability=0.5, flip_probability=0.5, max_shift=0.06, brightness=0.2, contrast=0.25, saturation=1.0
)


def affine(
    images: Tensor, angle: Tensor, scale: Tensor, offset: Tensor, mirror: Tensor | None = None
) -> Tensor:
    """Turns, zooms and moves pictures about their centres; bilinear, mirrored at the border.

    Args:
        images: ``(B, C, H, W)``.
        angle: (B,) radians, anticlockwise as seen.
        scale: (B,) zoom; 1 changes nothing, 2 doubles the size of what is seen.
        offset: (B, 2) movement to the right and down, as a fraction of the side.
        mirror: (B,) bool; these pictures are flipped first.
    """
    cos, sin = angle.cos() / scale, angle.sin() / scale
    aspect = images.shape[2] / images.shape[3]
    right, down = 2 * offset[:, 0], 2 * offset[:, 1]
    first = torch.stack([cos, -sin * aspect, -(cos * right - sin * aspect * down)], 1)
    second = torch.stack([sin / aspect, cos, -(sin / aspect * right + cos * down)], 1)
    if mirror is not None:
        first = torch.where(mirror[:, None], -first, first)
    theta = torch.stack([first, second], 1).to(images.device, images.dtype)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return _same_format(F.grid_sample(images, grid, "bilinear", "reflection", align_corners=False), images)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Blurs every picture with its own Gaussian; ``sigma`` (B,) in pixels, more than 0."""
    batch, channels, height, width = images.shape
    radius = min(math.ceil(3 * float(sigma.max())), height - 1, width - 1)
    steps = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (steps[None] / sigma.float().cpu()[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).to(images.device, images.dtype)
    kernel = kernel.repeat_interleave(channels, 0)
    planes = F.pad(images.reshape(1, batch * channels, height, width), (radius,) * 4, "reflect")
    planes = F.conv2d(planes, kernel[:, None, None, :], groups=batch * channels)
    planes = F.conv2d(planes, kernel[:, None, :, None], groups=batch * channels)
    return _same_format(planes.view(batch, channels, height, width), images)


def low_resolution(images: Tensor, size: int) -> Tensor:
    """Reduces pictures to ``size`` pixels a side and enlarges them again."""
    small = F.interpolate(images, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return F.interpolate(small, size=images.shape[2:], mode="bicubic", align_corners=False)


def jpeg_like(images: Tensor, quality: Tensor) -> Tensor:
    """Rounds 8x8 cosine coefficients of luma and colour differences as a JPEG of ``quality`` (B,), 1-100.

    Colour is quantised with the luma table and not subsampled. No gradient flows (rounding).
    """
    batch, _, height, width = images.shape
    steps = torch.arange(8, device=images.device, dtype=torch.float32)
    basis = torch.cos(math.pi / 8 * (steps[None] + 0.5) * steps[:, None]) * 0.5
    basis[0] = math.sqrt(1 / 8)
    percent = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality).to(images.device, torch.float32)
    table = torch.tensor(_JPEG_TABLE, device=images.device, dtype=torch.float32)
    table = (table * percent.view(-1, 1, 1) / 100).round().clamp_min(1).view(batch, 1, 1, 1, 8, 8)
    luma = _grey(images.float())
    planes = torch.cat([luma, images[:, ::2] - luma], 1) * 127.5
    planes = F.pad(planes, (0, -width % 8, 0, -height % 8), "replicate")
    blocks = planes.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)  # B, 3, rows, columns, 8, 8
    coefficients = (basis @ blocks @ basis.T / table).round() * table
    planes = (basis.T @ coefficients @ basis).transpose(3, 4).flatten(4, 5).flatten(2, 3)
    luma, red, blue = (planes[..., :height, :width] / 127.5).split(1, 1)
    green = luma - (0.299 * red + 0.114 * blue) / 0.587
    return _same_format(torch.cat([luma + red, green, luma + blue], 1).to(images.dtype), images)


@dataclass(frozen=True)
class ClassifierAugment:
    """Augmentation for age classifiers, identity networks and judges: they must also read generated pictures.

    Every picture is turned, zoomed, moved and recoloured within the limits; the degradations (grey, blur,
    noise, low resolution, JPEG) hit each picture with their own probability. Values stay in [-1, 1].

    Attributes:
        flip_probability: of mirroring.
        max_angle: degrees.
        max_scale: largest zoom in or out, as a factor minus one.
        max_offset: largest movement as a fraction of the side.
        brightness: largest offset, on the scale of [-1, 1].
        contrast: factors lie in ``1 - contrast .. 1 + contrast``.
        saturation: factors lie in ``1 - saturation .. 1 + saturation``.
        grey: probability of a grey picture.
        blur: probability; sigma up to 1.5 % of the side.
        noise: probability; deviation up to 0.1.
        low_resolution: probability; down to 30 % of the side.
        jpeg: probability; quality 30 to 90.
    """

    flip_probability: float = 0.5
    max_angle: float = 10.0
    max_scale: float = 0.12
    max_offset: float = 0.06
    brightness: float = 0.25
    contrast: float = 0.25
    saturation: float = 0.3
    grey: float = 0.1
    blur: float = 0.15
    noise: float = 0.15
    low_resolution: float = 0.15
    jpeg: float = 0.1

    @torch.no_grad()
    def __call__(self, images: Tensor, generator: Generator | None = None) -> Tensor:
        """Augments ``(B, 3, H, W)`` in [-1, 1], in float32; shape, dtype and memory format stay."""
        n, _, height, _ = images.shape
        dtype, images = images.dtype, images.float()
        angle = _rand(n, -1.0, 1.0, generator) * math.radians(self.max_angle)
        scale = torch.exp(_rand(n, -1.0, 1.0, generator) * math.log1p(self.max_scale))
        offset = torch.stack([_rand(n, -1.0, 1.0, generator), _rand(n, -1.0, 1.0, generator)], 1)
        mirror = _chosen(n, self.flip_probability, generator)
        images = affine(images, angle, scale, offset * self.max_offset, mirror)
        brightness = _rand(n, -1.0, 1.0, generator) * self.brightness
        contrast = 1 + _rand(n, -1.0, 1.0, generator) * self.contrast
        saturation = 1 + _rand(n, -1.0, 1.0, generator) * self.saturation
        saturation = saturation * ~_chosen(n, self.grey, generator)
        images = colour(images, brightness, contrast, saturation)
        sigma = _rand(n, 0.3, max(0.4, 0.015 * height), generator)
        self._degrade(images, self.blur, generator, lambda part, rows: blur(part, sigma[rows]))
        size = max(4, round(height * float(_rand(1, 0.3, 0.8, generator))))
        self._degrade(images, self.low_resolution, generator, lambda part, _: low_resolution(part, size))
        noise = _rand(n, 0.01, 0.1, generator)
        self._degrade(images, self.noise, generator, lambda part, rows: _noisy(part, noise[rows], generator))
        quality = _rand(n, 30.0, 90.0, generator)
        self._degrade(images, self.jpeg, generator, lambda part, rows: jpeg_like(part, quality[rows]))
        return images.clamp_(-1.0, 1.0).to(dtype)

    @staticmethod
    def _degrade(
        images: Tensor,
        probability: float,
        generator: Generator | None,
        operation: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        """Replaces a random part of the batch, in place, by ``operation(part, its rows)``."""
        rows = _chosen(images.shape[0], probability, generator).nonzero().flatten()
        if len(rows):
            target = rows.to(images.device)
            images[target] = operation(images[target], rows)


def _noisy(images: Tensor, deviation: Tensor, generator: Generator | None) -> Tensor:
    """Adds normal noise with the deviation (B,) of each picture."""
    device = "cpu" if generator is None else generator.device
    noise = torch.randn(images.shape, generator=generator, device=device)
    return images + noise.to(images.device, images.dtype) * _per_image(deviation, images)
