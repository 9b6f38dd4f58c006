"""Measures an ageing model by judges: age control and identity over a folder, or personalised against global.

python scripts/evaluate.py --data_path=FOLDER --exp_dir=DIR [--checkpoint_path=SAM.pt]
python scripts/evaluate.py --data_path=FOLDER --exp_dir=DIR --age_classifier=FILE
python scripts/evaluate.py --data_path=TRUE_PHOTOS --exp_dir=DIR --personalized_checkpoint=FILE
"""

import _bootstrap  # noqa: F401

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import _evaluation

from evaluation.ageing import evaluate_age_classifier, evaluate_ageing, spread_photos
from evaluation.personal import (
    evaluate_personalization,
    life_span_picture,
    load_person,
    middle_photo,
    personalization_table,
    summarize_pairs,
)
from evaluation.tables import ageing_curves, ageing_table, classifier_table, personal_curves
from datasets.faces import FaceFolder
from models.aging_model import load_aging_model
from models.auxiliary import ALIGNED_SIZE, OFFICIAL_DEX, load_age_classifier
from options.evaluate_options import parse_evaluate_options
from utils.device import select_device
from utils.errors import InputError, run_command
from utils.pictures.writing import save_pil


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs what the command line asks for; files are written when everything is measured."""
    opts = parse_evaluate_options(arguments, __doc__ or "")
    head = _evaluation.header("evaluate", None if arguments is None else list(arguments))
    if opts.personalized_checkpoint:
        personalization(opts, head)
    else:
        if opts.age_classifier:
            age_classifiers(opts, head)
        if opts.ages_people:
            ageing(opts, head)
    print(f"results in {opts.exp_dir}")


def ageing(opts: argparse.Namespace, head: dict[str, str]) -> None:
    """Writes ``evaluation.json``, ``evaluation.md``, ``curves.png`` and ``examples.png``."""
    judges, notes = _evaluation.judges_and_notes(opts)
    device = select_device(opts.device)
    model = load_aging_model(opts.checkpoint_path, device, opts.global_checkpoint, opts.mixed_precision)
    photos = spread_photos(opts.data_path, model.input_size, opts.n_images)
    result = evaluate_ageing(
        model, photos, opts.target_age, judges, batch_size=opts.test_batch_size, examples=opts.n_examples
    )
    figures: dict[str, Any] = {
        **head,
        "checkpoint": str(opts.checkpoint_path),
        "kind": model.kind,
        "data": str(opts.data_path),
        "skipped": [str(path) for path, _ in photos.skipped],
        "target_ages": opts.target_age,
        "judges": judges.cards(),
        **result.figures(),
    }
    folder = Path(opts.exp_dir)
    save_pil(ageing_curves(figures), folder / "curves.png")
    save_pil(result.sheet(), folder / "examples.png")
    _evaluation.write_report(
        folder, "evaluation", f"Ageing by {opts.checkpoint_path}", figures, ageing_table(figures), notes
    )


def age_classifiers(opts: argparse.Namespace, head: dict[str, str]) -> None:
    """Writes ``age_classifiers.json`` and ``age_classifiers.md``."""
    device = select_device(opts.device)
    rows, folders = [], {}
    for file in opts.age_classifier:
        classifier = load_age_classifier(file, device)
        size = aligned_size(classifier.input_size)
        if size not in folders:
            folders[size] = FaceFolder(opts.data_path, size, require_age=True, resample="lanczos")
        rows.append({"file": file, **evaluate_age_classifier(classifier, folders[size])})
    figures = {**head, "data": str(opts.data_path), "classifiers": rows}
    notes = [f"labels: the ages in the names of the files in {opts.data_path}"]
    _evaluation.write_report(
        Path(opts.exp_dir), "age_classifiers", "Age classifiers", figures, classifier_table(rows), notes
    )


def aligned_size(input_size: int) -> int:
    """Side of the aligned pictures that a classifier is shown: a power of two at or above its proportion."""
    return 2 ** math.ceil(math.log2(input_size * ALIGNED_SIZE / OFFICIAL_DEX["input_size"] - 0.5))


def personalization(opts: argparse.Namespace, head: dict[str, str]) -> None:
    """Writes ``personalization.{json,md,png}`` and ``life_span.png``."""
    judges, notes = _evaluation.judges_and_notes(opts)
    device = select_device(opts.device)
    global_model = load_aging_model(opts.checkpoint_path, device, None, opts.mixed_precision)
    personal_model = load_aging_model(
        opts.personalized_checkpoint, device, opts.global_checkpoint, opts.mixed_precision
    )
    if personal_model.kind != "mytimemachine" or global_model.kind != "sam":
        raise InputError(
            "a SAM in --checkpoint_path is compared with a MyTimeMachine in --personalized_checkpoint; "
            f"here they are {global_model.kind} and {personal_model.kind}"
        )
    truths = load_person(opts.data_path, global_model.input_size)
    inputs = load_person(opts.input_path, global_model.input_size, False) if opts.input_path else None
    pairs = evaluate_personalization(
        global_model, personal_model, truths, judges, inputs, batch_size=opts.test_batch_size
    )
    figures = {
        **head,
        "checkpoint": str(opts.checkpoint_path),
        "personalized_checkpoint": str(opts.personalized_checkpoint),
        "data": str(opts.data_path),
        "judges": judges.cards(),
        **summarize_pairs(pairs, opts.training_ages),
    }
    folder = Path(opts.exp_dir)
    photo = middle_photo(truths if inputs is None else inputs)
    save_pil(life_span_picture(global_model, personal_model, photo, truths), folder / "life_span.png")
    save_pil(personal_curves(figures), folder / "personalization.png")
    _evaluation.write_report(
        folder,
        "personalization",
        f"{opts.personalized_checkpoint} against {opts.checkpoint_path}",
        figures,
        personalization_table(figures),
        notes,
    )


if __name__ == "__main__":
    run_command(main)
