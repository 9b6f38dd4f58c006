"""An ageing model as functions of tensors alone: each becomes a graph, whatever the method is."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from models.aging_model import AgingModel, HasAdapter, KeepsBackground, LatentModel
from models.exported.card import AGES, BATCH, COUNT, ENCODER, GENERATOR, WHOLE, ExportedModel, Shape
from utils.ages import OLDEST

Function = Callable[..., Tensor]
_COARSE = 8  # pixels of the noise that example pictures are made of


def functions_of(model: AgingModel) -> dict[str, Function]:
    """What each graph computes, of the inputs that its signature names, in their order."""
    if isinstance(model, LatentModel):
        latent = model

        def generator(codes: Tensor) -> Tensor:
            return latent.synthesize(codes).float()

        def whole(images: Tensor, ages: Tensor) -> Tensor:
            return generator(latent.codes(images, ages).flatten(0, 1)).unflatten(0, ages.shape)

        return {ENCODER: latent.codes, GENERATOR: generator, WHOLE: whole}
    return {WHOLE: model.age_within if isinstance(model, KeepsBackground) else model.age_path}


def description_of(model: AgingModel, precision: str) -> ExportedModel:
    """What its card will say of a model."""
    face = torch.zeros(1, 3, model.input_size, model.input_size)
    styles = model.codes(face, 50.0).shape[2:] if isinstance(model, LatentModel) else (0, 0)
    return ExportedModel(
        method=model.kind,
        input_size=model.input_size,
        output_size=model.output_size,
        crop=model.crop,
        fine_tuned=model.fine_tuned,
        n_styles=styles[0],
        style_dim=styles[1],
        masked=isinstance(model, KeepsBackground) and model.face_masks(face) is not None,
        adapter=isinstance(model, HasAdapter),
        precision=precision,
    )


def example_inputs(
    model: AgingModel, shapes: Mapping[str, Shape], numbers: Mapping[str, int], seed: int = 0
) -> dict[str, Tensor]:
    """Inputs of a graph, the same for the same seed: smooth pictures, random ages and masks, codes of those.

    Args:
        model: makes the codes.
        shapes: of the inputs, by name.
        numbers: what words in the shapes stand for.
        seed: of the draws.
    """
    draws = torch.Generator().manual_seed(seed)

    def smooth(channels: int, side: int) -> Tensor:
        noise = torch.rand(numbers[BATCH], channels, _COARSE, _COARSE, generator=draws)
        return F.interpolate(noise, size=side, mode="bicubic").clamp(0, 1)

    images = smooth(3, model.input_size) * 2 - 1
    ages = torch.rand(numbers[BATCH], numbers[AGES], generator=draws) * OLDEST
    found = {"images": images, "ages": ages}
    if "masks" in shapes:
        found["masks"] = (smooth(1, model.output_size) * 3 - 1).clamp(0, 1)
    if "codes" in shapes and isinstance(model, LatentModel):
        found["codes"] = model.codes(images, ages).flatten(0, 1)[: numbers[COUNT]]
    return {name: found[name] for name in shapes}
