"""A person over the life span: true photos, the global model and the personalised one, with the numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from datasets.person_photos import PersonPhotos
from models.aging_model import AgingModel
from models.judges import Judges
from utils.pictures.sheets import image_sheet
from utils.pictures.tensors import resize

PICTURE_AGES = tuple(range(0, 101, 10))
PERSONALIZED = "personalised"
FIGURES = ("judged age", "age error", "similarity to the input", "similarity to the true photo")


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


@dataclass(frozen=True)
class LifeSpan:
    """One photo at several ages by two models.

    Attributes:
        photo: the one input photo.
        ages: (A,) years of the columns; the first is the age of the photo, NaN where it is not known.
        truths: a true photo (3, S, S) for each column, None where there is none near; the first is the input.
        rows: pictures (A, 3, R, R) by the names of the models, the global one first.
    """

    photo: PersonPhotos
    ages: Sequence[float]
    truths: Sequence[Tensor | None]
    rows: dict[str, Tensor]

    def picture(self) -> Image.Image:
        """A row of true photos, and one for each model."""
        size = next(iter(self.rows.values())).shape[-1]
        known = math.isfinite(self.ages[0])
        first = [
            None if image is None else resize(image[None], size)[0].clamp(-1, 1) for image in self.truths
        ]
        rows = [[*row] if known else [None, *row[1:]] for row in self.rows.values()]
        labels = [f"input {self.ages[0]:g}" if known else "input", *(f"{age:g}" for age in self.ages[1:])]
        return image_sheet([first, *rows], ["true photos", *self.rows], labels)

    def judged(self, judges: Judges) -> dict[str, Tensor]:
        """What judges say of each row but for its first column: (figures, A - 1) by the names of the models.

        The figures are those of :data:`FIGURES`, NaN where there is no true photo.
        """
        there = [index for index, image in enumerate(self.truths) if image is not None]
        _, known = judges.measure(torch.stack([image for image in self.truths if image is not None]))
        asked, found = torch.tensor(self.ages[1:]), {}
        for name, row in self.rows.items():
            ages, identities = judges.measure(row)
            to_truth = torch.full_like(ages, math.nan)
            to_truth[there] = (identities[there] * known).sum(1)
            figures = [ages[1:], (ages[1:] - asked).abs(), (identities @ known[0])[1:], to_truth[1:]]
            found[name] = torch.stack(figures)
        return found


def global_name(global_model: AgingModel) -> str:
    """What pictures call the global model."""
    return "global SAM" if global_model.kind == "sam" else f"global {global_model.kind}"


@torch.inference_mode()
def life_span(
    global_model: AgingModel,
    personal_model: AgingModel,
    photo: PersonPhotos,
    truths: PersonPhotos,
    grid: Sequence[float] = PICTURE_AGES,
) -> LifeSpan:
    """Takes a photo through the ages by the global and by the personalised model.

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
    own_age = float(photo.ages[0])
    asked = [own_age if math.isfinite(own_age) else float(grid[0]), *(age for age, _ in columns)]
    size = global_model.output_size
    models = {global_name(global_model): global_model, PERSONALIZED: personal_model}
    rows = {
        name: resize(model.age_path(photo.images, asked)[0].float().cpu(), size)
        for name, model in models.items()
    }
    true = [photo.images[0], *(None if index is None else others.images[index] for _, index in columns)]
    return LifeSpan(photo, [own_age, *asked[1:]], true, rows)
