"""Personalisation to real people: some ages are left out in turn, the outputs judged at those ages."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from datasets.person_photos import PersonPhotos, load_person, middle_photo
from evaluation.folds import Fold, given_split, make_folds, personalized_model
from evaluation.judges import chosen_judges, independence_notes
from evaluation.personal import Pair, evaluate_personalization
from evaluation.published_people import report_published
from evaluation.report import write_report
from evaluation.summaries import mean_over_people, summarize_pairs
from evaluation.tables import people_table, personalization_table, variants_table
from models.aging_model import AgingModel, load_aging_model
from models.judges import Judges
from options.evaluate_options import PeopleOptions
from training.life_span import life_span
from utils.device import select_device
from utils.errors import InputError
from utils.pictures.listing import list_images
from utils.pictures.writing import save_pil


def report_people(options: PeopleOptions, made_by: Mapping[str, Any]) -> None:
    """Writes ``people.json``, ``people.md`` and for each person a folder with runs and pictures.

    With ``--variants`` every one of them has such a folder of its own, and a row in one table.

    Args:
        options: who is evaluated, and how.
        made_by: command, date and versions, which the figures begin with.

    Raises:
        InputError: a file cannot be used, or not one person could be evaluated.
    """
    device = select_device(options.device)
    global_model = load_aging_model(options.checkpoint_path, device, None, options.mixed_precision)
    if global_model.kind != "sam":
        raise InputError(f"{options.checkpoint_path} is {global_model.kind}; personalisation starts from SAM")
    folders = people_folders(options.people, options.only)
    if options.protocol == "mytimemachine":
        report_published(options, made_by, global_model, folders)
        return
    judges = chosen_judges(options)
    notes = independence_notes(judges, options.checkpoint_path)
    variants: dict[str, dict[str, Any]] = {}
    for variant in options.variants or ("",):
        chosen = options.with_variant(variant) if variant else options
        place = replace(chosen, exp_dir=str(Path(options.exp_dir) / variant))
        people = {folder.name: _evaluated(folder, place, global_model, judges) for folder in folders}
        notes += [
            " ".join((*filter(None, [variant]), name, f"failed: {row['failed']}"))
            for name, row in people.items()
            if "failed" in row
        ]
        variants[variant] = {"overall": mean_over_people(people), "people": people}
    figures: dict[str, Any] = {
        **made_by,
        "checkpoint": options.checkpoint_path,
        "preset": options.preset,
        "folds": options.folds,
        "judges": judges.cards(),
        **({"variants": variants} if options.variants else variants[""]),
    }
    table = variants_table(variants) if options.variants else people_table(figures)
    write_report(options.exp_dir, "people", "Personalisation to real people", figures, table, notes)
    if all(row["overall"] is None for row in variants.values()):
        raise InputError(f"not one person in {options.people} could be evaluated; the reasons are above")


def people_folders(root: str | Path, only: Sequence[str] | None = None) -> list[Path]:
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
    for name in only or ():
        if name not in found:
            raise InputError(f"--only: there is no {name} in {root} (there are {', '.join(found)})")
    return [found[name] for name in only or found]


def _evaluated(
    folder: Path, options: PeopleOptions, global_model: AgingModel, judges: Judges
) -> dict[str, Any]:
    """The figures of a person, whose table is printed, or ``failed`` with the reason."""
    try:
        figures = evaluate_person(folder, options, global_model, judges)
    except InputError as error:
        print(f"{folder.name} failed: {error}", file=sys.stderr)
        return {"failed": str(error)}
    print(f"\n{folder.name}\n{personalization_table(figures)}\n", flush=True)
    return figures


def evaluate_person(
    folder: Path, options: PeopleOptions, global_model: AgingModel, judges: Judges
) -> dict[str, Any]:
    """Trains and evaluates all folds of a person.

    Returns:
        ``summarize_pairs`` over the pairs of all folds, with ``folds``: what each left out and its means.

    Raises:
        InputError: the photos cannot be used, or a training fails.
    """
    photos = list_images(folder, [options.exp_dir])
    pairs: list[Pair] = []
    rows = []
    place, split = Path(options.exp_dir) / folder.name, given_split(folder, photos)
    if split:
        folds = [Fold(place / "given_split", *map(tuple, split))]
    else:
        folds = make_folds(photos, options.folds, place)
    for number, fold in enumerate(folds, start=1):
        listed = ", ".join(f"{age:g}" for age in fold.left_out)
        print(f"{folder.name}, fold {number} of {len(folds)}: leaving out {listed}", flush=True)
        personal_model = personalized_model(fold, options)
        held = left_out_photos(folder, fold, global_model.input_size)
        found = evaluate_personalization(
            global_model, personal_model, held, judges, batch_size=options.test_batch_size
        )
        span = life_span(global_model, personal_model, middle_photo(held), held)
        save_pil(span.picture(), fold.folder / "life_span.png")
        means = summarize_pairs(found, fold.training_range, keep_pairs=False)
        rows.append({"left_out": list(fold.left_out), **means})
        pairs += found
    return {"photos": len(photos), **summarize_pairs(pairs), "folds": rows}


def left_out_photos(folder: Path, fold: Fold, size: int) -> PersonPhotos:
    """The photos of a person that a fold holds out, ``size`` pixels wide."""
    photos = load_person(folder, size)
    return photos.subset([i for i, name in enumerate(photos.names) if folder / name in fold.held_out])
