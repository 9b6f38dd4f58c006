"""Generator of Re-Aging GAN (Makhmudkhujaev et al. 2021): identity encoder, age modulator, decoder."""

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from models.reaging_gan.age_code import CODE_LENGTH
from models.reaging_gan.blocks import (
    SLOPE,
    AdaptiveInstanceNorm2d,
    ConditionalBatchNorm2d,
    ResidualBlock,
    convolution,
)
from models.stylegan2.layers import PixelNorm

SMALLEST, LARGEST = 16, 1024  # pixels
LARGEST_IDENTITY = 64  # side of f_id, at most a quarter of that of the picture
COMPACT = 4  # side at which the age modulator takes the mean


class IdentityEncoder(nn.Module):
    """Maps faces to f_id, features with height and width that know nothing of the target age.

    Args:
        channels: behind the first convolution; each halving doubles them.
        halvings: blocks that halve height and width.
        residual_blocks: blocks after these.
    """

    def __init__(self, channels: int, halvings: int, residual_blocks: int) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(halvings + 1)]
        down = [
            ResidualBlock(wide, wider, _pixel_norm, "down")
            for wide, wider in zip(widths, widths[1:], strict=False)
        ]
        level = [ResidualBlock(widths[-1], widths[-1], _pixel_norm) for _ in range(residual_blocks)]
        self.first = convolution(3, channels, 7)
        self.blocks = nn.Sequential(*down, *level)

    def forward(self, images: Tensor) -> Tensor:
        """f_id (B, C, h, h) of faces (B, 3, S, S) in [-1, 1]."""
        return self.blocks(self.first(images))


class AgeModulator(nn.Module):
    """Maps f_id under an age code to f_aw, a vector: what this face has to become at that age.

    Args:
        channels: of f_id, and of all blocks.
        side: of f_id.
        code_length: of the age code.
        style_dim: of f_aw.
    """

    def __init__(self, channels: int, side: int, code_length: int, style_dim: int) -> None:
        super().__init__()
        norm = partial(ConditionalBatchNorm2d, condition_dim=code_length)
        halvings = (side // COMPACT).bit_length() - 1
        down = [ResidualBlock(channels, channels, norm, "down") for _ in range(halvings)]
        self.blocks = nn.ModuleList([*down, ResidualBlock(channels, channels, norm)])
        self.last = nn.Linear(channels, style_dim)

    def forward(self, identity: Tensor, codes: Tensor) -> Tensor:
        """f_aw (B, style_dim) of f_id (B, C, h, h) and age codes (B, code_length)."""
        x = identity
        for block in self.blocks:
            x = block(x, codes)
        return self.last(F.leaky_relu(x, SLOPE).mean((2, 3)))


class Decoder(nn.Module):
    """Renders f_id as f_aw says.

    Args:
        channels: of the last block.
        doublings: blocks that double height and width.
        residual_blocks: blocks before these.
        style_dim: of f_aw.
    """

    def __init__(self, channels: int, doublings: int, residual_blocks: int, style_dim: int) -> None:
        super().__init__()
        norm = partial(AdaptiveInstanceNorm2d, condition_dim=style_dim)
        widths = [channels * 2**level for level in range(doublings, -1, -1)]
        level = [ResidualBlock(widths[0], widths[0], norm) for _ in range(residual_blocks)]
        up = [
            ResidualBlock(wide, narrow, norm, "up") for wide, narrow in zip(widths, widths[1:], strict=False)
        ]
        self.blocks = nn.ModuleList([*level, *up])
        self.last = convolution(channels, 3, 1)

    def forward(self, identity: Tensor, styles: Tensor) -> Tensor:
        """Pictures (B, 3, S, S), not clamped, of f_id (B, C, h, h) and f_aw (B, style_dim)."""
        x = identity
        for block in self.blocks:
            x = block(x, styles)
        return self.last(F.leaky_relu(x, SLOPE))


class ReAgingGenerator(nn.Module):
    """Faces and age codes in, faces at these ages out.

    Args:
        size: side of the pictures in pixels, a power of two from 16 on.
        classes: age groups.
        channels: of the layers at full size.
        style_dim: length of f_aw.
        residual_blocks: of the encoder, and of the decoder, at the size of f_id.

    Raises:
        ValueError: there is no such network.
    """

    def __init__(
        self, size: int, classes: int, channels: int = 64, style_dim: int = 256, residual_blocks: int = 4
    ) -> None:
        super().__init__()
        if not SMALLEST <= size <= LARGEST or size & (size - 1):
            raise ValueError(f"{size} is not a power of two from {SMALLEST} to {LARGEST}")
        if min(classes, channels, style_dim) < 1:
            raise ValueError("there must be classes, channels and a style")
        self.size, self.classes = size, classes
        side = min(size // 4, LARGEST_IDENTITY)
        halvings = (size // side).bit_length() - 1
        self.identity_encoder = IdentityEncoder(channels, halvings, residual_blocks)
        self.age_modulator = AgeModulator(channels << halvings, side, CODE_LENGTH * classes, style_dim)
        self.decoder = Decoder(channels, halvings, residual_blocks, style_dim)

    def render(self, identity: Tensor, codes: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) of f_id (B, C, h, h) at age codes (B, 50 classes); f_id is computed once."""
        return self.decoder(identity, self.age_modulator(identity, codes))

    def forward(self, images: Tensor, codes: Tensor) -> Tensor:
        """Pictures (B, 3, S, S), not clamped, of faces (B, 3, S, S) in [-1, 1] at age codes."""
        return self.render(self.identity_encoder(images), codes)


def _pixel_norm(channels: int) -> PixelNorm:
    return PixelNorm()
