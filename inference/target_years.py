"""The target ages of a command as years for each photo: fixed, drawn, or counted from the photo's own age."""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from configs.paths_config import model_paths
from datasets.input_age import InputAge, InputAges
from datasets.photos import PhotoBatch
from options.ageing_options import InputAgeOptions
from options.target_ages import TargetAge
from utils.ages import OLDEST, YOUNGEST
from utils.notes import above_bars, note


def input_ages(opts: InputAgeOptions, crop: str, device: torch.device) -> InputAges:
    """Tells the ages of photos, as the options of a command say; see :func:`ages_of_photos`."""
    return ages_of_photos(crop, device, opts.age_classifier, opts.input_age)


def ages_of_photos(
    crop: str, device: torch.device, classifier: str | None = None, given: float | None = None
) -> InputAges:
    """Tells the ages of photos, by the given age classifier or else the one that knows the crop.

    Args:
        crop: how the faces are cut, a key of ``utils.faces.alignment.CROPS``.
        device: where the classifier computes.
        classifier: its file.
        given: the age of everybody, in years.
    """
    official, bundled = model_paths["age_predictor"], model_paths["demo_age_classifier"]
    if classifier is None:
        classifier = official if crop == "ffhq" and Path(official).is_file() else bundled
    return InputAges(classifier, given, crop == "ffhq" and classifier == bundled, device)


class TargetYears:
    """Says which years the target ages are for each photo of a batch.

    Args:
        targets: the target ages.
        own_ages: tells how old the people in the photos are, where a target is relative to that.
        generator: draws the years of ``uniform_random``.
    """

    def __init__(self, targets: Sequence[TargetAge], own_ages: InputAges, generator: torch.Generator) -> None:
        self.targets = targets
        self.own_ages = own_ages
        self.generator = generator

    def draw(self, count: int) -> Tensor:
        """Years ``(count,)`` of so many faces for ``uniform_random``: a whole year for each."""
        if all(target.years is not None for target in self.targets):
            return torch.full((count,), torch.nan)
        return torch.randint(int(YOUNGEST), int(OLDEST) + 1, (count,), generator=self.generator).float()

    def __call__(self, batch: PhotoBatch, drawn: Tensor) -> Tensor:
        """Years ``(B, A)`` of the faces of a batch.

        Args:
            batch: the faces.
            drawn: ``(B,)`` of :meth:`draw`.

        Raises:
            InputError: an age classifier is needed and cannot be loaded.
        """
        relative = any(target.relative for target in self.targets)
        faces = face_names(batch)
        own = self._own(batch, faces) if relative else torch.empty(0)
        return torch.stack([self._column(target, faces, own, drawn) for target in self.targets], dim=1)

    def own(self, batch: PhotoBatch) -> list[InputAge]:
        """Ages of the faces of a batch, and what tells them.

        Raises:
            InputError: an age classifier is needed and cannot be loaded.
        """
        # The name of a photo tells the age of one person only.
        paths = [
            path if rows.stop - rows.start == 1 else Path()
            for path, rows in zip(batch.paths, batch.faces, strict=True)
            for _ in range(rows.start, rows.stop)
        ]
        return self.own_ages(paths, batch.images)

    def _own(self, batch: PhotoBatch, faces: Sequence[str]) -> Tensor:
        """Ages ``(B,)`` of the people in the photos; says what tells them."""
        found = self.own(batch)
        for name, age in zip(faces, found, strict=True):
            above_bars(f"{name}: {age.years:.3g} years ({age.source})", sys.stdout)
        return torch.tensor([age.years for age in found])

    def _column(self, target: TargetAge, faces: Sequence[str], own: Tensor, drawn: Tensor) -> Tensor:
        """Years ``(B,)`` of one target age."""
        if target.years is None:
            return drawn
        if not target.relative:
            return torch.full((len(faces),), target.years)
        wanted = own + target.years
        taken = wanted.clamp(YOUNGEST, OLDEST)
        for name, years, age in zip(faces, wanted.tolist(), taken.tolist(), strict=True):
            if years != age:
                note(f"{name}: {target.label} gives {years:.3g} years, taken as {age:g}")
        return taken


def face_names(batch: PhotoBatch) -> list[str]:
    """What each face of a batch is called in messages: its photo, and its number where there are several."""
    names = []
    for name, rows in zip(batch.names, batch.faces, strict=True):
        count = rows.stop - rows.start
        names += [str(name)] if count == 1 else [f"{name}, face {number + 1}" for number in range(count)]
    return names
