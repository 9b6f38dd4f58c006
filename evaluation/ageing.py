"""How well a model ages many people: judged age and judged identity over the target age."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from datasets.faces import FaceFolder
from evaluation.appearance.meter import AppearanceMeter
from evaluation.classifiers import by_decade
from evaluation.figures import (
    distribution,
    mean_absolute_error,
    separation,
    similarity_to_others,
    similarity_within,
    spearman,
)
from models.aging_model import AgingModel
from models.judges import Judges
from utils.ages import OLDEST, YOUNGEST
from utils.errors import InputError
from utils.local_regression import LEAST, by_whole_year
from utils.pictures.listing import find_pictures
from utils.pictures.sheets import image_sheet
from utils.pictures.tensors import resize
from utils.spacing import evenly

OLDER = (40, 80)  # years; where judges that no loss used saw too little ageing
MOST_COMPARED = 1000  # photos compared with one another; the number of pairs grows with the square


@dataclass
class AgeingEvaluation:
    """What the judges said about N photos at A target ages; all tensors on the CPU.

    Attributes:
        target_ages: (A,) years.
        labels: (N,) years from the file names, NaN without.
        appearance: what the eye sees of the outputs.
        input_ages: (N,) judged ages of the photos.
        input_embeddings: (N, D) judged identities of the photos.
        judged_ages: (N, A) judged ages of the outputs.
        embeddings: (N, A, D) judged identities of the outputs.
        own_embeddings: (N, D) the same of the outputs at each person's own age.
        examples: pictures (1 + A, 3, R, R) of some photos: the photo and its outputs.
    """

    target_ages: Tensor
    labels: Tensor
    appearance: AppearanceMeter
    input_ages: Tensor
    input_embeddings: Tensor
    judged_ages: Tensor
    embeddings: Tensor
    own_embeddings: Tensor
    examples: list[Tensor] = field(default_factory=list)

    @property
    def similarity(self) -> Tensor:
        """(N, A) cosine of each photo and its output."""
        return (self.embeddings * self.input_embeddings[:, None]).sum(2)

    @property
    def own_similarity(self) -> Tensor:
        """(N,) cosine of each photo and the output at the person's own age: what a method loses of a face."""
        return (self.own_embeddings * self.input_embeddings).sum(1)

    def figures(self) -> dict[str, Any]:
        """Every figure, as plain numbers for a JSON file."""
        targets = self.target_ages.expand_as(self.judged_ages)
        some = evenly(len(self.labels), MOST_COMPARED)
        people = similarity_within(self.input_embeddings[some])
        other_outputs = [
            similarity_to_others(self.input_embeddings[some], outputs)
            for outputs in self.embeddings[some].unbind(1)
        ]
        others = torch.cat(other_outputs)
        labelled = self.labels.isfinite()
        within = [spearman(self.target_ages, row) for row in self.judged_ages]
        seen = self.seen_in_photos()
        shift = self.judged_ages.mean(0) - seen
        old = (self.target_ages >= OLDER[0]) & (self.target_ages <= OLDER[1])
        return {
            "photos": len(self.labels),
            "age": {
                "spearman": spearman(targets, self.judged_ages),
                "spearman_within_a_photo": sum(within) / len(within),
                "mean_absolute_error": mean_absolute_error(self.judged_ages, targets),
                "bias": float((self.judged_ages - targets).mean()),
                "judge_error_on_labelled_photos": mean_absolute_error(
                    self.input_ages[labelled], self.labels[labelled]
                )
                if labelled.any()
                else None,
                "bias_against_photos": _finite(shift.mean()),
                "bias_against_photos_40_to_80": _finite(shift[old].mean()),
            },
            "judge_by_decade": self._judge_by_decade(),
            "identity": {
                "input_and_output": distribution(self.similarity),
                "input_and_output_at_own_age": distribution(self.own_similarity),
                "different_people": distribution(people),
                "input_and_output_of_others": distribution(others),
                "separation_from_different_people": separation(self.similarity, people),
                "separation_at_own_age": separation(self.own_similarity, people),
                "separation_from_output_of_others": separation(self.similarity, others),
            },
            "per_age": [
                self._at_age(index, others) | {"seen_in_photos": _finite(seen[index])}
                for index, others in enumerate(other_outputs)
            ],
            "appearance": self.appearance.figures(self.labels, self.input_embeddings, self.embeddings),
        }

    def seen_in_photos(self) -> Tensor:
        """(A,) mean age that the judge sees in real photos of the target ages; NaN without enough labels.

        No judge is right on average: the old look younger to it, the young older. An output that it takes for
        as old as photos of that age is as old as it can be told.
        """
        labelled = self.labels.isfinite()
        if int(labelled.sum()) < LEAST:
            return torch.full_like(self.target_ages, torch.nan)
        curve = by_whole_year(self.labels[labelled].double(), self.input_ages[None, labelled].double())[0]
        below = self.target_ages.floor().clamp(YOUNGEST, OLDEST - 1).long()
        return torch.lerp(curve[below], curve[below + 1], (self.target_ages - below).double()).float()

    def _judge_by_decade(self) -> list[dict[str, Any]]:
        """Error and bias of the age judge on the labelled photos of each decade."""
        labelled = self.labels.isfinite()
        if not labelled.any():
            return []
        return by_decade(self.labels[labelled], self.input_ages[labelled])

    def _at_age(self, index: int, others: Tensor) -> dict[str, Any]:
        age, judged = float(self.target_ages[index]), self.judged_ages[:, index]
        return {
            "target_age": age,
            "judged_age": distribution(judged),
            "mean_absolute_error": mean_absolute_error(judged, torch.full_like(judged, age)),
            "similarity": distribution(self.similarity[:, index]),
            "similarity_to_output_of_others": distribution(others),
        }

    def sheet(self) -> Image.Image:
        """The examples: one photo a row, the photo and its outputs."""
        columns = ["photo", *(f"{age:g}" for age in self.target_ages.tolist())]
        return image_sheet(self.examples, column_labels=columns)


def _finite(value: Tensor) -> float | None:
    """A number, None in place of NaN."""
    return float(value) if value.isfinite() else None


def methods_sheet(results: Mapping[str, AgeingEvaluation]) -> Image.Image:
    """The examples of several methods: for each photo a row a method, the photo and its outputs."""
    first = next(iter(results.values()))
    columns = ["photo", *(f"{age:g}" for age in first.target_ages.tolist())]
    rows, labels = [], []
    for number in range(len(first.examples)):
        for name, result in results.items():
            rows.append(result.examples[number])
            labels.append(name)
    return image_sheet(rows, row_labels=labels, column_labels=columns)


def spread_photos(
    folder: str | Path, size: int, limit: int | None = None, own_output: Sequence[str | Path] = ()
) -> FaceFolder:
    """The photos of a folder, or ``limit`` of them spread evenly over its sorted files.

    Raises:
        InputError: no such folder, no pictures, or more than a tenth of them are bad.
    """
    if limit is None:
        return FaceFolder(folder, size, own_output=own_output)
    paths = find_pictures(folder, own_output).pictures
    chosen = {paths[i] for i in evenly(len(paths), limit)}
    return FaceFolder(folder, size, select=chosen.__contains__, own_output=own_output)


@torch.inference_mode()
def evaluate_ageing(
    model: AgingModel,
    photos: FaceFolder,
    target_ages: Sequence[float],
    judges: Judges,
    *,
    batch_size: int = 8,
    examples: int = 6,
    progress: bool = True,
) -> AgeingEvaluation:
    """Ages every photo to every target age and lets the judges look at photos and outputs.

    Args:
        model: what ages faces.
        photos: decoded at the model's input size; see :func:`spread_photos`.
        target_ages: years.
        judges: networks that no loss used.
        batch_size: photos at a time; each makes as many outputs as there are target ages.
        examples: photos whose outputs are kept for the sheet.
        progress: whether to show a bar.

    Raises:
        InputError: fewer than two photos, so that nobody can be compared with somebody else.
    """
    if len(photos) < 2:
        raise InputError(
            f"{photos.folder} holds one photo only; comparing with different people needs two or more"
        )
    shown, kept = set(evenly(len(photos), examples)), []
    ages = torch.tensor([float(age) for age in target_ages])
    meter = AppearanceMeter(model, ages.tolist())
    rows: list[tuple[Tensor, ...]] = []
    with tqdm(total=len(photos), desc="ageing and judging", unit="photo", disable=not progress) as bar:
        for start in range(0, len(photos), batch_size):
            indices = range(start, min(start + batch_size, len(photos)))
            batch = photos.batch(list(indices))
            images, measured = batch["image"], judges.measure(batch["image"])
            own = torch.where(batch["age"].isfinite(), batch["age"], measured[0].cpu()).clamp(
                YOUNGEST, OLDEST
            )
            grid = torch.cat([ages.expand(len(images), -1), own[:, None]], dim=1)
            outputs, own_outputs = model.age_path(images, grid).split([len(ages), 1], dim=1)
            meter.add([photos.paths[index] for index in batch["index"].tolist()], outputs)
            rows.append((*measured, *judges.measure(outputs), judges.measure(own_outputs[:, 0])[1]))
            for row, index in enumerate(indices):
                if index in shown:
                    kept.append(_with_photo(images[row], outputs[row].float().cpu()))
            bar.update(len(indices))
    columns = (torch.cat(part) for part in zip(*rows, strict=True))
    result = AgeingEvaluation(ages, photos.ages, meter, *columns)
    result.examples += kept
    return result


def _with_photo(photo: Tensor, outputs: Tensor) -> Tensor:
    """(1 + A, 3, R, R): the photo at the size of its outputs (A, 3, R, R), and these."""
    return torch.cat([resize(photo[None], outputs.shape[-1]), outputs]).clamp(-1, 1)
