"""Folds of a person's ages, and the personalisation that each leaves some ages out of."""

import gc
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.age_parsing import parse_age
from models.aging_model import AgingModel, load_aging_model
from options.evaluate_options import PeopleOptions
from training.start import make_coach
from utils.device import select_device
from utils.errors import InputError
from utils.files.writing import write_json

SPLIT = ("train", "held_out")  # sub-folders of a person who comes with a split


@dataclass(frozen=True)
class Fold:
    """A training on the photos of all but some ages of a person.

    Attributes:
        folder: its own: ``run/``, ``photos/``, ``fold.json`` and the picture go there.
        photos: the files it is trained on.
        held_out: those that it does not see.
    """

    folder: Path
    photos: tuple[Path, ...]
    held_out: tuple[Path, ...]

    @property
    def left_out(self) -> tuple[float, ...]:
        """The ages in years of what is held out, rising."""
        return tuple(sorted({parse_age(photo) for photo in self.held_out}))

    @property
    def training_range(self) -> tuple[float, float]:
        """Youngest and oldest age of the training photos."""
        ages = [parse_age(photo) for photo in self.photos]
        return min(ages), max(ages)


def age_folds(ages: Sequence[float], folds: int) -> list[list[float]]:
    """Splits the different ages into parts that each reach over the whole range: every ``folds``-th age.

    Raises:
        InputError: too few ages for two to be left out and two to be trained on in every fold.
    """
    different = sorted(set(ages))
    parts = [different[start::folds] for start in range(folds)]
    if any(len(part) < 2 or len(different) - len(part) < 2 for part in parts):
        raise InputError(
            f"photos of {len(different)} different ages are too few for {folds} folds; every fold leaves out "
            f"two ages or more: use at least {2 * folds} ages, or fewer --folds"
        )
    return parts


def make_folds(photos: Sequence[Path], count: int, folder: Path) -> list[Fold]:
    """The folds of a person.

    Args:
        photos: named `{age}_{idx}`.
        count: how many folds.
        folder: each fold has a sub-folder of it.

    Raises:
        InputError: a name tells no age, or there are too few ages.
    """
    ages = [parse_age(photo) for photo in photos]
    found = []
    for number, left_out in enumerate(age_folds(ages, count), start=1):
        held_out = tuple(photo for photo, age in zip(photos, ages, strict=True) if age in left_out)
        kept = tuple(photo for photo in photos if photo not in held_out)
        found.append(Fold(folder / f"fold_{number}_of_{count}", kept, held_out))
    return found


def given_split(root: Path, photos: Sequence[Path]) -> tuple[list[Path], list[Path]] | None:
    """The photos in a person's ``train/`` and ``held_out/``; None where there are no such folders.

    Args:
        root: the person's folder.
        photos: in it or below.
    """
    train, held_out = ([photo for photo in photos if root / part in photo.parents] for part in SPLIT)
    return (train, held_out) if train and held_out else None


def personalized_model(fold: Fold, options: PeopleOptions) -> AgingModel:
    """Trains MyTimeMachine on the photos of a fold, or takes the finished training in its folder.

    Raises:
        InputError: the photos cannot be used, or the folder holds another training.
        StoppedError: the training was stopped; the same command continues it.
    """
    photos, run = fold.folder / "photos", fold.folder / "run"
    train_options = options.training_options(photos, run)
    record_fold(fold, options)
    weights = f"checkpoints/iteration_{train_options.max_steps}.pt"
    finished = sorted(run.glob(f"*/{weights}"))
    if not finished:
        link_photos(fold.photos, photos)
        coach = make_coach(train_options)
        coach.train()
        finished = [coach.run.path / weights]
        del coach
        gc.collect()  # it refers to itself, and would stand in memory beside the next one
    return load_aging_model(finished[-1], select_device(options.device), None, options.mixed_precision)


def record_fold(fold: Fold, options: PeopleOptions) -> None:
    """Writes down what a fold is made from, so that no other training is taken for it later.

    Raises:
        InputError: this is written down already and says something else.
    """
    checkpoint, path = Path(options.checkpoint_path), fold.folder / "fold.json"
    content = {
        "photos": [str(photo) for photo in fold.photos],
        "checkpoint": str(checkpoint),
        "checkpoint_modified": checkpoint.stat().st_mtime,
        "preset": options.preset,
        "training": list(options.training_flags),
    }
    if path.exists() and _record_in(path) != content:
        raise InputError(
            f"{fold.folder} holds a training from other photos or options; use another --exp_dir"
        )
    write_json(content, path)


def _record_in(path: Path) -> Any:
    """What is written down in a file; None where it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None


def link_photos(photos: Sequence[Path], folder: Path) -> None:
    """Makes a folder of links to exactly these photos; copies where links are not possible."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for index, path in enumerate(photos):
        target = folder / f"{parse_age(path):g}_{index}{path.suffix}"
        try:
            os.symlink(path.resolve(), target)
        except OSError:
            shutil.copyfile(path, target)
