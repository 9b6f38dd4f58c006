"""A StyleGAN2 discriminator that judges faces of any size, and whether they are of their age."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.stylegan2.model import Discriminator
from utils.age_groups import AgeGroups


class AgedDiscriminator(nn.Module):
    """Judges pictures that are averaged down to its own size, at their ages if it knows age groups.

    Args:
        discriminator: of pictures, and of as many classes as there are groups.
        groups: the classes; None for one without.
    """

    def __init__(self, discriminator: Discriminator, groups: AgeGroups | None) -> None:
        super().__init__()
        self.discriminator, self.groups = discriminator, groups

    @property
    def compute_dtype(self) -> torch.dtype | None:
        """Dtype of activations."""
        return self.discriminator.compute_dtype

    @compute_dtype.setter
    def compute_dtype(self, precision: torch.dtype | None) -> None:
        self.discriminator.compute_dtype = precision

    def forward(self, images: Tensor, ages: Tensor | None = None) -> Tensor:
        """Logits (B, 1) of (B, 3, S, S) pictures at ages (B,) in years; without groups these are left out."""
        images = F.adaptive_avg_pool2d(images, self.discriminator.size)
        if self.groups is None:
            return self.discriminator(images)
        assert ages is not None
        return self.discriminator(images, self.groups.one_hot(ages).to(images.dtype))
