"""A fourth way to age a face, in one file: it tints by age. Nothing but the contract is known of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.aging_model import Ages, AgingModel, StyleModel, age_grid
from utils.ages import scale_age
from utils.files.checkpoints import save_checkpoint
from utils.pictures.tensors import resize

SIDE = 32


class TintModel(AgingModel):
    """The older, the more of a colour."""

    kind = "tint"
    input_size = SIDE
    output_size = SIDE
    crop = "tight"

    def __init__(self, colour: Tensor) -> None:
        super().__init__()
        self.register_buffer("colour", colour)

    def age_path(self, images: Tensor, ages: Ages) -> Tensor:
        images = resize(images.to(self.colour.device), SIDE)
        shares = scale_age(age_grid(ages, images))[:, :, None, None, None]
        return images[:, None].lerp(self.colour.view(3, 1, 1).expand_as(images[:, None]), shares)


def load_tint(content: Mapping[str, Any], source: str, precision: torch.dtype) -> TintModel:
    """Makes the model of a file."""
    return TintModel(content["colour"])


def write_tint(path: Path, colour: tuple[float, float, float] = (1.0, -1.0, -1.0)) -> Path:
    """Writes a file of it."""
    return save_checkpoint({"kind": "tint", "colour": torch.tensor(colour)}, path)


class ShadeModel(StyleModel):
    """A model with codes: it renders the mean of one as a shade. What it makes of ages its kinds say."""

    kind, input_size, output_size, crop = "sam", 8, 8, "tight"

    def photo_codes(self, images: Tensor) -> Tensor:
        return images.new_zeros(len(images), 2, 3)

    def random_codes(self, count: int, generator: torch.Generator) -> Tensor:
        return torch.zeros(count, 2, 3)

    def synthesize(self, codes: Tensor) -> Tensor:
        return codes.mean((1, 2))[:, None, None, None].expand(-1, 3, 8, 8)

    def modulations(self) -> list[Tensor]:
        return [torch.ones(1, 3), torch.ones(1, 3)]
