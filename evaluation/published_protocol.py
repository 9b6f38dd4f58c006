"""The protocol of the MyTimeMachine paper (section 4.1): age regression and progression of one person.

Regression makes the person younger from a photo of the oldest years, progression older from a photo of about
40. Each has a training of its own, on photos of the years below the input. At every tenth year the age error
is that of the age judge, identity the highest similarity to held-out photos within three years of the target.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from datasets.age_parsing import parse_age
from datasets.person_photos import PersonPhotos
from models.aging_model import AgingModel
from models.judges import Judges
from utils.errors import InputError
from utils.spacing import evenly

WINDOW = 3.0  # years that a reference may lie away from the target
PROGRESSION_FROM, PROGRESSION_YEARS = 40.0, 20.0
FURTHEST_START = 10.0  # years that the input of the progression may lie away from 40
TRAINED_SHARE = 2 / 3  # of the photos in the years of the training, where nobody said which are held out
TENTHS = tuple(float(age) for age in range(0, 101, 10))
TASKS = ("regression", "progression")
# Columns: the name in tables, and the targets that count, by the age of the input.
COLUMNS: dict[str, tuple[str, ...]] = {
    "regression": ("all", "near", "far"),
    "progression": ("all", "near", "younger"),
}


@dataclass(frozen=True)
class Task:
    """One of :data:`TASKS` for a person.

    Attributes:
        name: which.
        training: the files to train on.
        inputs: the photos to age, of one age but for three years.
        references: what no training saw, the inputs among them.
    """

    name: str
    training: tuple[Path, ...]
    inputs: tuple[Path, ...]
    references: tuple[Path, ...]

    @property
    def start(self) -> float:
        """The age in years that the inputs are about."""
        ages = [parse_age(photo) for photo in self.inputs]
        return sum(ages) / len(ages)

    def targets(self) -> list[float]:
        """Every tenth year that the inputs are made; in the progression the years of the training, too."""
        if self.name == "regression":
            return [age for age in TENTHS if age <= self.start + WINDOW]
        return [age for age in TENTHS if age >= self.start - PROGRESSION_YEARS - WINDOW]

    def counts(self, column: str, target: float) -> bool:
        """Whether a target belongs to a column of the tables."""
        years = self.start - target if self.name == "regression" else target - self.start
        if column == "younger":
            return years <= WINDOW
        most = {"all": 100.0, "near": 20.0, "far": 40.0}[column]
        return -WINDOW <= years <= most + WINDOW


def make_task(
    name: str,
    photos: Sequence[Path],
    held_out: Sequence[Path] | None,
    count: int,
    regression_years: float,
) -> Task:
    """Chooses inputs, training photos and references.

    Args:
        name: one of :data:`TASKS`.
        photos: of the person, `{age}_{idx}`; without those held out.
        held_out: what no training may see, or None to choose: then the input is held out, a third of the
            photos in the years of the training, evenly, and all outside of these.
        count: so many photos to train on, evenly over the ages, or all there are.
        regression_years: years below the input that the regression is trained on.

    Raises:
        InputError: there is no photo of about the age to begin with, or there are too few to train on.
    """
    pool = sorted(photos if held_out is None else held_out, key=parse_age)
    wanted = parse_age(pool[-1]) if name == "regression" else PROGRESSION_FROM
    nearest = min((parse_age(photo) for photo in pool), key=lambda age: abs(age - wanted))
    if abs(nearest - wanted) > FURTHEST_START:
        raise InputError(f"{name}: no photo is of about {wanted:g} years, the nearest of {nearest:g}")
    inputs = [photo for photo in pool if parse_age(photo) == nearest]
    years = regression_years if name == "regression" else PROGRESSION_YEARS
    trainable = [
        photo
        for photo in sorted(photos, key=parse_age)
        if nearest - years <= parse_age(photo) <= nearest and photo not in inputs
    ]
    if held_out is None:
        count = min(count, int(TRAINED_SHARE * len(trainable)))
    training = [trainable[index] for index in evenly(len(trainable), count, at=0.5)]
    if len({parse_age(photo) for photo in training}) < 2:
        raise InputError(
            f"{name}: {len(training)} photos of {nearest - years:g} to {nearest:g} years are left "
            "to train on; photos of two ages or more are needed"
        )
    references = [photo for photo in pool if photo not in training]
    return Task(name, tuple(training), tuple(inputs), tuple(references))


@torch.inference_mode()
def judged_task(
    task: Task, model: AgingModel, photos: PersonPhotos, files: Sequence[Path], judges: Judges
) -> list[dict[str, Any]]:
    """Ages the inputs of a task and judges them.

    Args:
        task: what is asked.
        model: global or personalised.
        photos: of the person, all of the task's.
        files: their files, in the same order.
        judges: networks that no loss used.

    Returns:
        One entry for each input and target: ``input``, ``target_age``, ``judged_age``, ``similarity`` (None
        without a reference) and ``references``, how many there are.
    """
    position = {file: index for index, file in enumerate(files)}
    references = photos.subset([position[file] for file in task.references])
    _, known = judges.measure(references.images)
    inputs, targets = photos.subset([position[file] for file in task.inputs]), task.targets()
    rows = []
    for index, name in enumerate(inputs.names):
        pictures = model.age_path(inputs.images[index : index + 1], targets)[0]
        for age, judged, identity in zip(targets, *judges.measure(pictures), strict=True):
            near = (references.ages - age).abs() <= WINDOW
            near &= torch.tensor([other != name for other in references.names])
            similarity = float((known[near] @ identity).max()) if near.any() else None
            rows.append(
                {
                    "input": name,
                    "target_age": age,
                    "judged_age": float(judged),
                    "similarity": similarity,
                    "references": int(near.sum()),
                }
            )
    return rows


def summarize_task(task: Task, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means of :func:`judged_task` in each column; None where a column has no target or no reference."""
    figures: dict[str, Any] = {}
    for column in COLUMNS[task.name]:
        chosen = [row for row in rows if task.counts(column, row["target_age"])]
        compared = [row["similarity"] for row in chosen if row["similarity"] is not None]
        errors = [abs(row["judged_age"] - row["target_age"]) for row in chosen]
        figures[column] = {
            "targets": len(chosen),
            "compared": len(compared),
            "age_error": sum(errors) / len(errors) if errors else None,
            "similarity": sum(compared) / len(compared) if compared else None,
        }
    return figures


def mean_of_tasks(people: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over people of the figures of one task and method; who has none in a column is left out there."""
    found: dict[str, Any] = {}
    for column in people[0]:
        cells = [person[column] for person in people]
        found[column] = {name: sum(cell[name] for cell in cells) for name in ("targets", "compared")}
        for name in ("age_error", "similarity"):
            known = [cell[name] for cell in cells if cell[name] is not None]
            found[column][name] = sum(known) / len(known) if known else None
    return found
