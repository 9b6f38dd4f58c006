"""A fourth way to age a face, in one file: it tints by age. Nothing but the contract is known of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.aging_model import Ages, AgingModel, age_grid
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
