"""Personalised against global ageing on true photos that no training saw (how MyTimeMachine is judged)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from datasets.person_photos import PersonPhotos
from models.aging_model import AgingModel, HasAdapter
from models.judges import Judges
from utils.errors import InputError

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
    judged = _judged(models, inputs.images, ages, judges, batch_size, progress)
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
                similarity={m: float(judged[m][1][cell] @ true_identities[t]) for m in METHODS},
                judged_age={m: float(judged[m][0][cell]) for m in METHODS},
            )
        )
    return result


def _judged(
    models: Mapping[str, AgingModel],
    photos: Tensor,
    ages: Sequence[float],
    judges: Judges,
    batch_size: int,
    progress: bool,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Judged ages (N, A) and identities (N, A, D) of N photos at A ages, by :data:`METHODS`."""
    judged: dict[str, tuple[Tensor, Tensor]] = {}
    total = len(models) * len(photos)
    with tqdm(total=total, desc="ageing and judging", unit="photo", disable=not progress) as bar:
        for method, model in models.items():
            rows = []
            for images in photos.split(batch_size):
                rows.append(judges.measure(model.age_path(images, ages)))
                bar.update(len(images))
            judged_ages, identities = (torch.cat(part) for part in zip(*rows, strict=True))
            judged[method] = judged_ages, identities
    unchanged_ages, unchanged = judges.measure(photos)  # a photo as it is looks the same at every age
    judged["input"] = (
        unchanged_ages[:, None].expand(-1, len(ages)),
        unchanged[:, None].expand(-1, len(ages), -1),
    )
    return judged
