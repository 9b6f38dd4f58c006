"""Personalises SAM to real people, some of their ages left out in turn, and judges the outputs at those ages.

For each sub-folder of --people and each fold of its ages: MyTimeMachine is trained on the photos of the
other ages; then every left-out photo is aged to the ages of the other left-out photos, by SAM and by the
personalised model. A person for whom this fails is reported with the reason. The same command continues an
interrupted one.
"""

import _bootstrap  # noqa: F401

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _evaluation

from evaluation.judges import Judges
from evaluation.personal import (
    TABLE_HEADER,
    Pair,
    evaluate_personalization,
    life_span_picture,
    load_person,
    middle_photo,
    personalization_table,
    summarize_pairs,
    table_row,
)
from datasets.age_parsing import parse_age
from models.aging_model import AgingModel, load_aging_model
from options.evaluate_options import parse_people_options, training_options
from training.coach_personalized import CoachPersonalized
from utils.device import select_device
from utils.errors import InputError, run_command
from utils.pictures.reading import list_images
from utils.pictures.writing import save_pil
from evaluation.markdown import markdown_table
from utils.files.writing import write_json


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes ``people.json``, ``people.md`` and for each person a folder with runs and pictures."""
    opts, training = parse_people_options(arguments, __doc__ or "")
    judges, notes = _evaluation.judges_and_notes(opts)
    global_model = load_aging_model(
        opts.checkpoint_path, select_device(opts.device), None, opts.mixed_precision
    )
    if global_model.kind != "sam":
        raise InputError(f"{opts.checkpoint_path} is {global_model.kind}; personalisation starts from SAM")
    people: dict[str, dict[str, Any]] = {}
    for folder in people_folders(opts.people, opts.only):
        try:
            people[folder.name] = evaluate_person(folder, opts, training, global_model, judges)
            table = personalization_table(people[folder.name])
            print(f"\n{folder.name}\n{table}\n", flush=True)
        except InputError as error:
            people[folder.name] = {"failed": str(error)}
            print(f"{folder.name} failed: {error}", file=sys.stderr)
    figures = {
        **_evaluation.header("evaluate_people", None if arguments is None else list(arguments)),
        "checkpoint": str(opts.checkpoint_path),
        "preset": opts.preset,
        "folds": opts.folds,
        "judges": judges.cards(),
        "overall": overall(people),
        "people": people,
    }
    notes += [f"{name} failed: {row['failed']}" for name, row in people.items() if "failed" in row]
    _evaluation.write_report(
        Path(opts.exp_dir), "people", "Personalisation to real people", figures, people_table(figures), notes
    )
    if figures["overall"] is None:
        raise InputError(f"not one person in {opts.people} could be evaluated; the reasons are above")
    print(f"results in {opts.exp_dir}")


def people_folders(root: str | Path, only: str | None = None) -> list[Path]:
    """The sub-folders of a folder, sorted; only those named, if any are.

    Raises:
        InputError: no such folder, no sub-folders, or an unknown name.
    """
    if not Path(root).is_dir():
        raise InputError(f"--people={root}: no such folder")
    found = {
        path.name: path for path in sorted(Path(root).iterdir()) if path.is_dir() and path.name[0] != "."
    }
    if not found:
        raise InputError(f"--people={root} has no sub-folders; make one for each person")
    for name in only.split(",") if only else ():
        if name not in found:
            raise InputError(f"--only: there is no {name} in {root} (there are {', '.join(found)})")
    return [found[name] for name in (only.split(",") if only else found)]


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


def evaluate_person(
    folder: Path, opts: argparse.Namespace, training: Sequence[str], global_model: AgingModel, judges: Judges
) -> dict[str, Any]:
    """Trains and evaluates all folds of a person.

    Returns:
        ``summarize_pairs`` over the pairs of all folds, with ``folds``: what each left out and its means.

    Raises:
        InputError: the photos cannot be used, or a training fails.
    """
    paths = list_images(folder)
    ages = [parse_age(path) for path in paths]
    pairs: list[Pair] = []
    folds = []
    for number, left_out in enumerate(age_folds(ages, opts.folds), start=1):
        place = Path(opts.exp_dir) / folder.name / f"fold_{number}_of_{opts.folds}"
        kept = [path for path, age in zip(paths, ages, strict=True) if age not in left_out]
        listed = ", ".join(f"{age:g}" for age in left_out)
        print(f"{folder.name}, fold {number} of {opts.folds}: leaving out {listed}", flush=True)
        personal_model = personalise(place, kept, opts, training)
        held = load_person(folder, global_model.input_size)
        held = held.subset([i for i, age in enumerate(held.ages.tolist()) if age in left_out])
        found = evaluate_personalization(
            global_model, personal_model, held, judges, batch_size=opts.test_batch_size
        )
        picture = life_span_picture(global_model, personal_model, middle_photo(held), held)
        save_pil(picture, place / "life_span.png")
        kept_ages = [age for age in ages if age not in left_out]
        span = (min(kept_ages), max(kept_ages))
        folds.append({"left_out": left_out, **summarize_pairs(found, span, keep_pairs=False)})
        pairs += found
    return {"photos": len(paths), **summarize_pairs(pairs), "folds": folds}


def personalise(
    place: Path, photos: Sequence[Path], opts: argparse.Namespace, training: Sequence[str]
) -> AgingModel:
    """Trains MyTimeMachine on some photos, or takes the finished training in ``place``.

    Raises:
        InputError: the photos cannot be used, or the folder holds another training.
        KeyboardInterrupt: the training was interrupted.
    """
    options = training_options(opts, training, place / "photos", place / "run")
    record_fold(photos, opts, training, place / "fold.json")
    name = f"checkpoints/iteration_{options.max_steps}.pt"
    finished = sorted((place / "run").glob(f"*/{name}"))
    if not finished:
        link_photos(photos, place / "photos")
        coach = CoachPersonalized(options)
        coach.train()
        finished = [coach.run.path / name]
        if not finished[0].is_file():
            raise KeyboardInterrupt
    return load_aging_model(finished[-1], select_device(opts.device), None, opts.mixed_precision)


def record_fold(
    photos: Sequence[Path], opts: argparse.Namespace, training: Sequence[str], path: Path
) -> None:
    """Writes down what a fold was made from, so that no other training is taken for it later.

    Raises:
        InputError: the file is there and says something else.
    """
    checkpoint = Path(opts.checkpoint_path)
    content = {
        "photos": [str(photo) for photo in photos],
        "checkpoint": str(checkpoint),
        "checkpoint_modified": checkpoint.stat().st_mtime,
        "preset": opts.preset,
        "training": list(training),
    }
    if path.exists() and json.loads(path.read_text()) != content:
        raise InputError(
            f"{path.parent} holds a training from other photos or options; use another --exp_dir"
        )
    write_json(content, path)


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


def overall(people: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
    """Means over people, each counted once; None if all failed."""
    rows = [row["overall"] for row in people.values() if "failed" not in row]
    if not rows:
        return None

    def mean(*keys: str) -> float:
        values = [row[keys[0]][keys[1]] for row in rows]
        return sum(values) / len(values)

    return {
        "people": len(rows),
        "pairs": sum(row["pairs"] for row in rows),
        **{
            name: {key: mean(name, key) for key in rows[0][name]}
            for name in ("input", "global", "personalized", "gain")
        },
    }


def people_table(figures: dict[str, Any]) -> str:
    """A line for each person, also where it failed, and the mean over people."""
    rows = []
    for name, row in figures["people"].items():
        failed = [name, *["failed"] * (len(TABLE_HEADER) - 1)]
        rows.append(failed if "failed" in row else table_row(name, row["overall"]))
    if figures["overall"]:
        rows.append(table_row("mean over people", figures["overall"]))
    return markdown_table(["person", *TABLE_HEADER[1:]], rows)


if __name__ == "__main__":
    run_command(main)
