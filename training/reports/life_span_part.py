"""The life span before and after personalisation, with the numbers, in the report of a training."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from datasets.person_photos import PersonPhotos
from models.aging_model import AgingModel
from models.judges import Judges
from training.life_span import FIGURES, life_span
from training.reports.parts import Part
from utils.pictures.curves import Curve, Panel
from utils.spacing import evenly

PHOTOS = 4  # from which the numbers are means
UNITS = ("years", "years", "cosine", "cosine")  # of the figures


def life_span_part(
    global_model: AgingModel, personal_model: AgingModel, photos: PersonPhotos, judges: Judges, whose: str
) -> Part:
    """Takes some photos of a person through the ages by both models.

    Args:
        global_model, personal_model: see ``training.life_span.life_span``.
        photos: of the person, with ages.
        judges: tell ages and people.
        whose: what the photos are, a sentence.
    """
    order = photos.ages.argsort().tolist()
    chosen = [order[place] for place in evenly(len(order), PHOTOS, at=0.5)]
    spans = [life_span(global_model, personal_model, photos.subset([i]), photos) for i in chosen]
    judged = [span.judged(judges) for span in spans]
    found = {name: torch.stack([of[name] for of in judged]) for name in spans[0].rows}
    ages = torch.tensor([span.ages[1:] for span in spans]).mean(0).tolist()
    middle = spans[len(spans) // 2]
    return Part(
        title="Life span before and after",
        text=[
            f"{whose} The numbers are means over {len(spans)} photos, by --judge_age and --judge_identity.",
            f"Age: {judges.age_card.sentence()}. Identity: {judges.identity_card.sentence()}.",
        ],
        header=["age", *(f"{figure}: {name}" for figure in FIGURES[1:] for name in found)],
        rows=_rows(ages, found),
        panels=_panels(ages, found),
        pictures={f"from {middle.photo.names[0]}": middle.picture()},
    )


def _rows(ages: Sequence[float], found: Mapping[str, Tensor]) -> list[list[str]]:
    """A row for each age and one for all, of figures (photos, figures, ages) by model."""

    def cells(values: Mapping[str, Tensor]) -> list[str]:
        return [_cell(values[name][figure]) for figure in range(1, len(FIGURES)) for name in values]

    at_age = [{name: of.nanmean(0)[:, i] for name, of in found.items()} for i in range(len(ages))]
    rows = [[f"{age:.0f}", *cells(values)] for age, values in zip(ages, at_age, strict=True)]
    return [*rows, ["all", *cells({name: of.nanmean((0, 2)) for name, of in found.items()})]]


def _cell(value: Tensor) -> str:
    number = float(value)
    return f"{number:.3g}" if math.isfinite(number) else "-"


def _panels(ages: Sequence[float], found: Mapping[str, Tensor]) -> list[Panel]:
    panels = []
    for figure, title in enumerate(FIGURES):
        curves = [Curve(name, ages, of.nanmean(0)[figure].tolist()) for name, of in found.items()]
        if figure == 0:
            curves.append(Curve("asked for", ages, ages, style="k--"))
        panels.append(Panel(title, "age asked for (years)", UNITS[figure], curves))
    return panels
