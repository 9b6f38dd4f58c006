"""Personalised against global ageing on true photos that no training saw (how MyTimeMachine is judged)."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from datasets.age_parsing import parse_age
from datasets.faces import FaceFolder
from evaluation.judges import Judges
from evaluation.markdown import markdown_table, number
from models.aging_model import AgingModel
from utils.errors import InputError
from utils.pictures.reading import read_image
from utils.pictures.sheets import image_sheet

# What is compared with the true photo: the input photo as it is, and the outputs of both models.
METHODS = ("input", "global", "personalized")
PICTURE_AGES = tuple(range(0, 101, 10))


@dataclass(frozen=True)
class PersonPhotos:
    """Aligned photos of one person.

    Attributes:
        images: (N, 3, S, S) in [-1, 1].
        ages: (N,) years; NaN where a photo names none.
        names: N file names.
    """

    images: Tensor
    ages: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    def subset(self, indices: Sequence[int]) -> "PersonPhotos":
        """Some of the photos."""
        chosen = list(indices)
        return PersonPhotos(self.images[chosen], self.ages[chosen], tuple(self.names[i] for i in chosen))


@dataclass(frozen=True)
class Pair:
    """An input photo, a true photo at another age, and what the judges said, by :data:`METHODS`.

    Attributes:
        input: name of the input photo.
        truth: name of the true photo.
        input_age: years, NaN if unknown.
        target_age: years of the true photo, which the models were asked for.
        similarity: judged identity similarity to the true photo.
        judged_age: years.
    """

    input: str
    truth: str
    input_age: float
    target_age: float
    similarity: dict[str, float]
    judged_age: dict[str, float]

    def age_error(self, method: str) -> float:
        """Years between judged and target age."""
        return abs(self.judged_age[method] - self.target_age)


def load_person(path: str | Path, size: int, require_age: bool = True) -> PersonPhotos:
    """Reads the photos `{age}_{idx}` of a folder, or one photo.

    Raises:
        InputError: no such path, no pictures, a photo without an age where one is needed.
    """
    path = Path(path)
    if path.is_file():
        try:
            age = parse_age(path)
        except InputError:
            if require_age:
                raise
            age = math.nan
        return PersonPhotos(read_image(path, size)[None], torch.tensor([age]), (path.name,))
    folder = FaceFolder(path, size, require_age)
    images = folder.batch(list(range(len(folder))))["image"]
    return PersonPhotos(images, folder.ages, tuple(str(p.relative_to(path)) for p in folder.paths))


def ordered_pairs(input_ages: Sequence[float], true_ages: Sequence[float]) -> list[tuple[int, int]]:
    """(input, truth) of every input photo and every true photo at another age."""
    return [(i, t) for i, age in enumerate(input_ages) for t, true in enumerate(true_ages) if age != true]


@torch.inference_mode()
def evaluate_personalization(
    global_model: AgingModel,
    personal_model: AgingModel,
    truths: PersonPhotos,
    judges: Judges,
    inputs: PersonPhotos | None = None,
    *,
    batch_size: int = 4,
    progress: bool = True,
) -> list[Pair]:
    """Ages every input photo to the age of every true photo by both models and judges the outputs.

    Args:
        global_model: SAM.
        personal_model: MyTimeMachine, trained on neither inputs nor true photos.
        truths: true photos with ages.
        judges: networks that no loss used.
        inputs: photos to age; None takes every true photo as input for all others.
        batch_size: input photos at a time; each makes as many outputs as there are true ages.
        progress: whether to show a bar.

    Returns:
        One entry for each ordered pair.

    Raises:
        InputError: there is no pair of an input and a true photo at another age.
    """
    inputs = truths if inputs is None else inputs
    pairs = ordered_pairs(inputs.ages.tolist(), truths.ages.tolist())
    if not pairs:
        what = "one photo only" if len(truths) == 1 else f"photos of one age only, {float(truths.ages[0]):g}"
        raise InputError(f"there are {what}; a true photo at another age than the input is needed")
    ages = sorted(set(truths.ages.tolist()))
    judged: dict[str, tuple[Tensor, Tensor]] = {}
    with tqdm(total=2 * len(inputs), desc="ageing and judging", unit="photo", disable=not progress) as bar:
        for method, model in (("global", global_model), ("personalized", personal_model)):
            rows = []
            for images in inputs.images.split(batch_size):
                rows.append(judges.measure(model.age_path(images, ages)))
                bar.update(len(images))
            judged[method] = tuple(torch.cat(part) for part in zip(*rows, strict=True))
    input_ages, input_codes = judges.measure(inputs.images)
    judged["input"] = (
        input_ages[:, None].expand(-1, len(ages)),
        input_codes[:, None].expand(-1, len(ages), -1),
    )
    _, true_codes = judges.measure(truths.images)
    column = {age: index for index, age in enumerate(ages)}
    result = []
    for i, t in pairs:
        target = float(truths.ages[t])
        cell = (i, column[target])
        result.append(
            Pair(
                input=inputs.names[i],
                truth=truths.names[t],
                input_age=float(inputs.ages[i]),
                target_age=target,
                similarity={m: float(judged[m][1][cell] @ true_codes[t]) for m in METHODS},
                judged_age={m: float(judged[m][0][cell]) for m in METHODS},
            )
        )
    return result


# ---------------------------------------------------------------- summaries


def means(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Mean similarity and age error of each method, and the gain of the personalised over the global one."""
    count = len(pairs)
    figures: dict[str, Any] = {
        method: {
            "similarity": sum(pair.similarity[method] for pair in pairs) / count,
            "age_error": sum(pair.age_error(method) for pair in pairs) / count,
        }
        for method in METHODS
    }
    ours, theirs = figures["personalized"], figures["global"]
    better = sum(pair.similarity["personalized"] > pair.similarity["global"] for pair in pairs)
    return {
        "pairs": count,
        **figures,
        "gain": {
            "similarity": ours["similarity"] - theirs["similarity"],
            "age_error": ours["age_error"] - theirs["age_error"],
            "share_of_pairs_with_higher_similarity": better / count,
        },
    }


def summarize_pairs(
    pairs: Sequence[Pair], training_range: tuple[float, float] | None = None, keep_pairs: bool = True
) -> dict[str, Any]:
    """All figures of a person as plain numbers.

    Args:
        pairs: what :func:`evaluate_personalization` returned, of one or several folds.
        training_range: youngest and oldest age of the training photos; adds figures inside and outside.
        keep_pairs: whether to list every pair.
    """
    figures: dict[str, Any] = {"overall": means(pairs)}
    if training_range is not None:
        low, high = training_range
        inside = [pair for pair in pairs if low <= pair.target_age <= high]
        outside = [pair for pair in pairs if not low <= pair.target_age <= high]
        figures["training_range"] = [low, high]
        figures["inside_training_range"] = means(inside) if inside else None
        figures["outside_training_range"] = means(outside) if outside else None
    figures["per_age"] = [
        {"target_age": age, **means([pair for pair in pairs if pair.target_age == age])}
        for age in sorted({pair.target_age for pair in pairs})
    ]
    if keep_pairs:
        figures["pairs"] = [asdict(pair) for pair in pairs]
    return figures


TABLE_HEADER = (
    "true age",
    "pairs",
    "similarity: input",
    "global",
    "personalised",
    "gain",
    "age error: input",
    "global",
    "personalised",
    "change",
)


def table_row(label: str, figures: dict[str, Any]) -> list[str]:
    """One line of :func:`personalization_table` from the figures of :func:`means`."""
    similarity = [number(figures[method]["similarity"], 3) for method in METHODS]
    error = [number(figures[method]["age_error"], 1) for method in METHODS]
    gain = figures["gain"]
    return [
        label,
        str(figures["pairs"]),
        *similarity,
        number(gain["similarity"], 3, sign=True),
        *error,
        number(gain["age_error"], 1, sign=True),
    ]


def personalization_table(figures: dict[str, Any]) -> str:
    """Markdown table of :func:`summarize_pairs`: a line for each true age, then the means over all pairs."""
    rows = [table_row(f"{row['target_age']:g}", row) for row in figures["per_age"]]
    if figures.get("training_range"):
        low, high = figures["training_range"]
        for name, label in (("inside", f"in {low:g}-{high:g}"), ("outside", f"outside {low:g}-{high:g}")):
            if figures[f"{name}_training_range"]:
                rows.append(table_row(label, figures[f"{name}_training_range"]))
    rows.append(table_row("all", figures["overall"]))
    return markdown_table(TABLE_HEADER, rows)


# ---------------------------------------------------------------- the picture


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
    """Three rows over the life span: input and true photos, global SAM, personalised.

    Args:
        global_model: SAM.
        personal_model: MyTimeMachine.
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
    rows = [
        list(model.age_path(photo.images, ages)[0].float().cpu()) for model in (global_model, personal_model)
    ]
    if not known:
        for row in rows:
            row[0] = None
    size = global_model.output_size
    first = [photo.images[0], *(None if index is None else others.images[index] for _, index in columns)]
    shown = [None if image is None else _resized(image, size) for image in first]
    labels = [f"input {own_age:g}" if known else "input", *(f"{age:g}" for age in ages[1:])]
    return image_sheet([shown, *rows], ["true photos", "global SAM", "personalised"], labels)


def _resized(image: Tensor, size: int) -> Tensor:
    resized = F.interpolate(image[None], (size, size), mode="bilinear", align_corners=False, antialias=True)
    return resized[0].clamp(-1, 1)


def middle_photo(photos: PersonPhotos) -> PersonPhotos:
    """The photo of the median age, the fairest one to show a whole life span from."""
    order = photos.ages.nan_to_num(50.0).argsort().tolist()
    return photos.subset([order[len(order) // 2]])
