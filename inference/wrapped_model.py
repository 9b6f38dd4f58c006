"""A model with other codes than its own: whatever else is asked of it, the model inside answers."""

import torch
from torch import Tensor, nn

from models.aging_model import StyleModel


class WrappedModel(StyleModel):
    """Base of models that change the codes of another one.

    Args:
        model: the model inside.
    """

    def __init__(self, model: StyleModel) -> None:
        super().__init__()
        self.model = model
        self.kind, self.crop = model.kind, model.crop
        self.input_size, self.output_size = model.input_size, model.output_size

    def photo_codes(self, images: Tensor) -> Tensor:
        return self.model.photo_codes(images)

    def random_codes(self, count: int, generator: torch.Generator) -> Tensor:
        return self.model.random_codes(count, generator)

    def synthesize(self, codes: Tensor) -> Tensor:
        return self.model.synthesize(codes)

    def modulations(self) -> list[Tensor]:
        return self.model.modulations()

    def networks(self) -> list[nn.Module]:
        return self.model.networks()
