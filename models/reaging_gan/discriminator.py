"""Discriminator of Re-Aging GAN: one trunk, and a branch for each age class that tells real from made."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.reaging_gan.blocks import SLOPE, ResidualBlock, convolution
from utils.device import autocast

WIDEST = 8  # layers, in units of the first
LAST = 4  # side of the last features


class BranchedDiscriminator(nn.Module):
    """Residual blocks that halve height and width, and a real or fake output for each class.

    Args:
        size: side of the pictures in pixels, a power of two.
        classes: branches.
        channels: of the first layer; each halving doubles them, up to eight times as many.

    Attributes:
        compute_dtype: of the activations.
    """

    def __init__(self, size: int, classes: int, channels: int = 64) -> None:
        super().__init__()
        self.compute_dtype = torch.float32
        halvings = (size // LAST).bit_length() - 1
        widths = [channels * min(WIDEST, 2**level) for level in range(halvings + 1)]
        self.first = convolution(3, channels, 3)
        self.blocks = nn.Sequential(
            *(
                ResidualBlock(wide, wider, resample="down")
                for wide, wider in zip(widths, widths[1:], strict=False)
            )
        )
        self.mixed = nn.Conv2d(widths[-1], widths[-1], LAST)
        self.branches = nn.Linear(widths[-1], classes)

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Logits (B, 1) of the branches of some classes.

        Args:
            images: (B, 3, S, S) in [-1, 1].
            classes: (B, n), 1 at the class of each picture and 0 elsewhere.
        """
        return (self.every_branch(images) * classes).sum(1, keepdim=True)

    def every_branch(self, images: Tensor) -> Tensor:
        """Logits (B, n) of all branches, float32."""
        with autocast(images.device, self.compute_dtype):
            x = F.leaky_relu(self.blocks(self.first(images)), SLOPE)
            x = F.leaky_relu(self.mixed(x), SLOPE)
            return self.branches(x.flatten(1)).float()
