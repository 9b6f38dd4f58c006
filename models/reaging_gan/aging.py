"""Re-Aging GAN behind the contract of ageing models, and its files."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from models.aging_model import (
    PIXELS_AT_A_TIME,
    Ages,
    AgingModel,
    KeepsBackground,
    age_grid,
    group_shares,
)
from models.architecture import checked_sizes
from models.loading import built_from, described_by, weights_of
from models.reaging_gan.age_code import age_code
from models.reaging_gan.generator import ReAgingGenerator
from utils.age_groups import AgeGroups, parse_age_groups
from utils.device import autocast
from utils.errors import InputError, naming
from utils.faces.alignment import CROPS
from utils.faces.masks import FaceMasks, blended, face_only
from utils.files.checkpoints import Checkpoint
from utils.pictures.tensors import resize

KIND = "reaging_gan"


class ReAgingModel(AgingModel, KeepsBackground):
    """A trained generator, for any age: between the centres of two groups their codes are interpolated.

    Args:
        generator: its norms use the running statistics from now on.
        groups: one for each of its classes.
        crop: how its faces are cut.
        masked: whether only the face is changed; what lies beside it stays to the bit.
        precision: dtype of activations.

    Raises:
        ValueError: generator and groups do not belong together.
    """

    kind = KIND

    def __init__(
        self,
        generator: ReAgingGenerator,
        groups: AgeGroups,
        crop: str = "ffhq",
        masked: bool = True,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if generator.classes != len(groups):
            raise ValueError(f"{len(groups)} age groups for a generator of {generator.classes} classes")
        self.generator = generator.eval().requires_grad_(False)
        self.groups, self.crop, self.precision = groups, crop, precision
        self.input_size = self.output_size = generator.size
        self.masks = FaceMasks(crop) if masked else None

    def codes(self, ages: Tensor) -> Tensor:
        """Age codes (N, 50 classes) of ages (N,) in years, without noise."""
        return age_code(group_shares(self.groups, ages))

    def face_masks(self, images: Tensor) -> Tensor | None:
        return None if self.masks is None else self.masks(images, self.output_size)

    @torch.no_grad()
    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """The faces (B, 3, R, R) at the size of the network, their masks, and their features."""
        images = resize(images.to(self.generator.decoder.last.weight.device), self.output_size).float()
        masks = self.face_masks(images)
        with autocast(images.device, self.precision):
            return images, masks, self.generator.identity_encoder(face_only(images, masks))

    def age_path(self, images: Tensor, ages: Ages) -> Tensor:
        return self.age_encoded(self.encode(images), ages)

    @torch.no_grad()
    def age_encoded(self, encoded: tuple[Tensor, Tensor | None, Tensor], ages: Ages) -> Tensor:
        images, masks, identity = encoded
        grid = age_grid(ages, images)
        codes = self.codes(grid.flatten())
        at_once = max(1, PIXELS_AT_A_TIME // self.output_size**2)
        with autocast(images.device, self.precision):
            identity = identity.repeat_interleave(grid.shape[1], 0)
            parts = zip(identity.split(at_once), codes.split(at_once), strict=True)
            pictures = torch.cat([self.generator.render(*part).float() for part in parts])
        masks = None if masks is None else masks[:, None]
        return blended(images[:, None], pictures.unflatten(0, grid.shape), masks)

    def networks(self) -> list[nn.Module]:
        generator = self.generator
        return [generator.identity_encoder, generator.age_modulator, generator.decoder]


def reaging_checkpoint(
    generator: ReAgingGenerator,
    architecture: Mapping[str, Any],
    groups: AgeGroups,
    crop: str,
    masked: bool,
    **more: Any,
) -> Checkpoint:
    """The content of a file.

    Args:
        generator: with the weights and statistics to be used.
        architecture: arguments of its constructor.
        groups: of its classes.
        crop: how its faces are cut.
        masked: whether only the face is changed.
        more: further entries.
    """
    return {
        "kind": KIND,
        "architecture": dict(architecture),
        "state_dict": generator.state_dict(),
        "classes": {"age_groups": str(groups)},
        "crop": crop,
        "masked": masked,
        **more,
    }


def load_reaging_gan(content: Mapping[str, Any], source: str, precision: torch.dtype) -> ReAgingModel:
    """Makes the ageing model of a file.

    Raises:
        InputError: the file does not fit, or its parts do not belong together.
    """
    with described_by(source):
        sizes = checked_sizes(ReAgingGenerator, content["architecture"])
        text, crop, masked = content["classes"]["age_groups"], content["crop"], content["masked"]
    if not isinstance(text, str) or not isinstance(masked, bool):
        raise InputError(f"{source} does not say which ages its classes have; give another file")
    if not isinstance(crop, str) or crop not in CROPS:
        raise InputError(f"{source} needs faces cut as {str(crop)[:40]!r}, which is not known here")
    with naming(source):
        groups = parse_age_groups(text)
    generator = built_from(partial(ReAgingGenerator, **sizes), weights_of(content, source), source)
    with described_by(source):
        return ReAgingModel(generator, groups, crop, masked, precision)
