"""Adaptive discriminator augmentation: what real and generated pictures pass through (Karras et al. 2020)."""

from models.stylegan2.augment.choices import PIPES, Augmentations, augmentations_named
from models.stylegan2.augment.pipe import AugmentPipe

__all__ = ["PIPES", "AugmentPipe", "Augmentations", "augmentations_named"]
