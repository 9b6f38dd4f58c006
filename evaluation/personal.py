"""Personalised against global ageing on true photos that no training saw (how MyTimeMachine is judged)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from datasets.person_photos import PersonPhotos
from models.aging_model import AgingModel, HasAdapter
from models.judges import Judges
from utils.errors import InputError
from utils.faces.quality import sharpness
from utils.pictures.tensors import to_uint8

# What is compared with the true photo: the input photo as it is, and the outputs of both models.
METHODS = ("input", "global", "personalized")


def is_personal(model: AgingModel) -> bool:
    """Whether a model knows one person, by an adapter or because it was fine-tuned."""
    return model.fine_tuned or isinstance(model, HasAdapter)


def check_models(global_model: AgingModel, personal_model: AgingModel) -> None:
    """Makes sure that a global model is compared with a personal one.

    Raises:
        InputError: it is otherwise.
    """
    if is_personal(global_model) or not is_personal(personal_model):
        raise InputError(
            "a SAM in --checkpoint_path is compared with a MyTimeMachine in --personalized_checkpoint; "
            f"here they are {global_model.kind} and {personal_model.kind}"
        )


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
        sharpness: ``utils.faces.quality.sharpness`` of the picture.
        true_sharpness: the same of the true photo at its size.
    """

    input: str
    truth: str
    input_age: float
    target_age: float
    similarity: dict[str, float]
    judged_age: dict[str, float]
    sharpness: dict[str, float]
    true_sharpness: dict[str, float]

    def age_error(self, method: str) -> float:
        """Years between judged and target age."""
        return abs(self.judged_age[method] - self.target_age)


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
        global_model: the model without an adapter, such as SAM.
        personal_model: the one with an adapter, trained on neither inputs nor true photos.
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
    models = {"global": global_model, "personalized": personal_model}
    judged = _judged(models, inputs, ages, judges, batch_size, progress)
    sizes = {"input": global_model.output_size, **{name: model.output_size for name, model in models.items()}}
    sharp = {size: sharpness_of(truths, size) for size in set(sizes.values())}
    _, true_identities = judges.measure(truths.images)
    result = []
    for i, t in pairs:
        target = float(truths.ages[t])
        cell = (i, ages.index(target))
        result.append(
            Pair(
                input=inputs.names[i],
                truth=truths.names[t],
                input_age=float(inputs.ages[i]),
                target_age=target,
                similarity={m: float(judged[m].identities[cell] @ true_identities[t]) for m in METHODS},
                judged_age={m: float(judged[m].ages[cell]) for m in METHODS},
                sharpness={m: float(judged[m].sharpness[cell]) for m in METHODS},
                true_sharpness={m: float(sharp[sizes[m]][t]) for m in METHODS},
            )
        )
    return result


class Judged(NamedTuple):
    """What was measured of N photos at A ages: ages and sharpness (N, A), identities (N, A, D)."""

    ages: Tensor
    identities: Tensor
    sharpness: Tensor


def sharpness_of(photos: PersonPhotos, size: int) -> Tensor:
    """Sharpness (N,) of photos at a size."""
    return torch.cat([_sharpness(photos.picture(index, size)[None]) for index in range(len(photos))])


def _sharpness(pictures: Tensor) -> Tensor:
    """Sharpness (...) of pictures (..., 3, R, R)."""
    pixels = to_uint8(pictures.flatten(0, -4)).permute(0, 2, 3, 1).cpu().numpy()
    return torch.tensor([sharpness(picture) for picture in pixels]).view(pictures.shape[:-3])


def _judged(
    models: Mapping[str, AgingModel],
    photos: PersonPhotos,
    ages: Sequence[float],
    judges: Judges,
    batch_size: int,
    progress: bool,
) -> dict[str, Judged]:
    """What is measured of photos made older or younger, by :data:`METHODS`."""
    judged: dict[str, Judged] = {}
    total = len(models) * len(photos)
    with tqdm(total=total, desc="ageing and judging", unit="photo", disable=not progress) as bar:
        for method, model in models.items():
            rows = []
            for images in photos.images.split(batch_size):
                outputs = model.age_path(images, ages)
                rows.append((*judges.measure(outputs), _sharpness(outputs)))
                bar.update(len(images))
            judged[method] = Judged(*(torch.cat(part) for part in zip(*rows, strict=True)))
    unchanged = (*judges.measure(photos.images), sharpness_of(photos, models["global"].output_size))
    judged["input"] = Judged(  # a photo as it is looks the same at every age
        *(part[:, None].expand(-1, len(ages), *part.shape[1:]) for part in unchanged)
    )
    return judged
