"""The augmentations in their order, as one module (Karras et al. 2020, appendix B)."""

import torch
from torch import Generator, Tensor, nn

from models.prepared import Prepared, have_numbers
from models.stylegan2.augment.choices import Augmentations, Draws
from models.stylegan2.augment.colour import (
    draw_colours,
    draw_cutout,
    draw_gains,
    draw_noise_level,
    filtered,
    recoloured,
)
from models.stylegan2.augment.geometry import draw_transform, warped
from models.stylegan2.augment.resampling import filter_bank, resampling_filter


class AugmentPipe(nn.Module):
    """Changes pictures at random, each operation with probability ``p`` times its multiplier.

    Gradients and second derivatives reach the pictures. The state dict has the official keys.

    Args:
        chosen: operations and their strengths.

    Attributes:
        p: probability (), a buffer; with 0 pictures pass untouched and no random number is drawn.
        Hz_geom: low-pass around the warp (12,).
        Hz_fbank: filters of four frequency bands (4, 43).
    """

    p: Tensor
    Hz_geom: Tensor
    Hz_fbank: Tensor

    def __init__(self, chosen: Augmentations) -> None:
        super().__init__()
        self.chosen = chosen
        self.register_buffer("p", torch.ones(()))
        self.register_buffer("Hz_geom", resampling_filter())
        self.register_buffer("Hz_fbank", filter_bank())
        self._known_p = Prepared[float]()

    def forward(
        self,
        images: Tensor,
        generator: Generator | None = None,
        noise: Tensor | None = None,
        debug_percentile: float | None = None,
    ) -> Tensor:
        """Augments pictures.

        Args:
            images: (B, 3, H, W) or (B, 1, H, W), about -1 to 1; bfloat16 is computed in float32.
            generator: of all random numbers. Without it they are torch's own: those of the CPU, for the noise
                those of the device of the pictures.
            noise: (B, C, H, W) standard normal; drawn where None.
            debug_percentile: in the place of random numbers, this quantile of each; whatever ``p`` is, every
                picture is hit.

        Returns:
            Shape, dtype and memory format of the pictures; values may leave their range.
        """
        p = 1.0 if debug_percentile is not None else self._p(images)
        if p == 0:
            return images
        draws = Draws(len(images), p, generator, debug_percentile)
        result = self._augment(images if images.dtype == torch.float64 else images.float(), draws, noise)
        channels_last = images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()
        layout = torch.channels_last if channels_last else torch.contiguous_format
        return result.to(images.dtype).contiguous(memory_format=layout)

    def _p(self, images: Tensor) -> float:
        """The probability without waiting for a GPU, except after it was changed."""
        if not have_numbers([images]):  # a rehearsal shall see what a later step needs
            return 1.0
        return self._known_p.of([self.p], self.p.item)

    def _augment(self, images: Tensor, draws: Draws, noise: Tensor | None) -> Tensor:
        chosen, (height, width) = self.chosen, images.shape[2:]
        if chosen.includes("blit", "geom"):
            images = warped(images, draw_transform(draws, chosen, width, height), self.Hz_geom)
        if chosen.includes("color"):
            images = recoloured(images, draw_colours(draws, chosen))
        if chosen.includes("filter"):
            images = filtered(images, draw_gains(draws, chosen), self.Hz_fbank)
        if chosen.includes("noise"):
            level = draw_noise_level(draws, chosen)[:, :, None, None].to(images, non_blocking=True)
            images = images + level * (_noise_like(images, draws.generator) if noise is None else noise)
        if chosen.includes("cutout"):
            left = draw_cutout(draws, chosen, width, height)
            images = images * left.to(images.device, non_blocking=True)
        return images


def _noise_like(images: Tensor, generator: Generator | None) -> Tensor:
    device = images.device if generator is None else generator.device
    return torch.randn(images.shape, generator=generator, device=device, dtype=images.dtype).to(images.device)
