"""The picture of a personalised evaluation: true photos, global and personalised model over the life span."""

import math
from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from evaluation.person_photos import PersonPhotos
from evaluation.personal import global_name
from models.aging_model import AgingModel
from utils.pictures.sheets import image_sheet
from utils.pictures.tensors import resize

PICTURE_AGES = tuple(range(0, 101, 10))


def picture_columns(
    true_ages: Sequence[float], grid: Sequence[float] = PICTURE_AGES
) -> list[tuple[float, int | None]]:
    """Ages of the life span and the true photo at each: a true photo takes the place of the nearest grid age.

    Returns:
        (years, index of the true photo or None), as many as the grid has ages, in rising order.
    """
    spacing = min((b - a for a, b in zip(grid, grid[1:], strict=False)), default=math.inf)
    columns: list[tuple[float, int | None]] = []
    used: set[int] = set()
    for age in grid:
        near = [(abs(true - age), index) for index, true in enumerate(true_ages) if index not in used]
        distance, index = min(near, default=(math.inf, -1))
        if distance <= spacing / 2:
            used.add(index)
            columns.append((float(true_ages[index]), index))
        else:
            columns.append((float(age), None))
    return sorted(columns, key=lambda column: column[0])


@torch.inference_mode()
def life_span_picture(
    global_model: AgingModel,
    personal_model: AgingModel,
    photo: PersonPhotos,
    truths: PersonPhotos,
    grid: Sequence[float] = PICTURE_AGES,
) -> Image.Image:
    """Three rows over the life span: input and true photos, global model, personalised.

    Args:
        global_model: the model without an adapter, such as SAM.
        personal_model: the one with an adapter.
        photo: the one input photo; its column shows it, and both models at its own age if that is known.
        truths: true photos; the input photo itself is left out.
        grid: ages of the columns where no true photo is near.
    """
    others = truths.subset(
        [i for i, image in enumerate(truths.images) if not torch.equal(image, photo.images[0])]
    )
    columns = picture_columns(others.ages.tolist(), grid)
    own_age, known = float(photo.ages[0]), bool(photo.ages.isfinite()[0])
    ages = [own_age if known else float(grid[0]), *(age for age, _ in columns)]
    size = global_model.output_size
    rows: list[list[Tensor | None]] = []
    for model in (global_model, personal_model):
        outputs = resize(model.age_path(photo.images, ages)[0].float().cpu(), size)
        rows.append([*outputs] if known else [None, *outputs[1:]])
    first = [photo.images[0], *(None if index is None else others.images[index] for _, index in columns)]
    shown = [None if image is None else resize(image[None], size)[0].clamp(-1, 1) for image in first]
    labels = [f"input {own_age:g}" if known else "input", *(f"{age:g}" for age in ages[1:])]
    return image_sheet([shown, *rows], ["true photos", global_name(global_model), "personalised"], labels)
