"""The three things that `scripts/evaluate.py` measures: each is measured, then its files are written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation.ageing import evaluate_ageing, spread_photos
from evaluation.classifiers import evaluate_age_classifiers
from evaluation.curves import ageing_curves, personal_curves
from evaluation.judges import chosen_judges, independence_notes
from evaluation.life_span import life_span_picture
from evaluation.person_photos import load_person, middle_photo
from evaluation.personal import check_models, evaluate_personalization, global_name
from evaluation.report import write_report
from evaluation.summaries import summarize_pairs
from evaluation.tables import ageing_table, classifier_table, personalization_table
from inference.refinement import refined
from inference.target_years import ages_of_photos
from models.aging_model import load_aging_model
from options.evaluate_options import EvaluateOptions
from utils.device import select_device
from utils.pictures.writing import save_pil


def report_ageing(options: EvaluateOptions, made_by: Mapping[str, str]) -> None:
    """Writes ``evaluation.json``, ``evaluation.md``, ``curves.png`` and ``examples.png``.

    Args:
        options: what is measured.
        made_by: command and date, which the figures begin with.

    Raises:
        InputError: a file or the photos cannot be used.
    """
    judges = chosen_judges(options)
    notes = independence_notes(judges, options.model_path)
    device = select_device(options.device)
    model = load_aging_model(
        options.model_path,
        device,
        options.global_checkpoint,
        options.mixed_precision,
        options.encoder_path,
    )
    model = refined(model, options, ages_of_photos(model.crop, device), device)
    photos = spread_photos(options.data_path, model.input_size, options.n_images, options.own_output)
    result = evaluate_ageing(
        model,
        photos,
        options.target_ages,
        judges,
        batch_size=options.test_batch_size,
        examples=options.n_examples,
    )
    figures: dict[str, Any] = {
        **made_by,
        "checkpoint": options.model_path,
        "kind": model.kind,
        "data": options.data_path,
        "skipped": [str(path) for path, _ in photos.skipped],
        "target_ages": options.target_ages,
        "judges": judges.cards(),
        **result.figures(),
    }
    folder = Path(options.exp_dir)
    save_pil(ageing_curves(figures), folder / "curves.png")
    save_pil(result.sheet(), folder / "examples.png")
    table = ageing_table(figures)
    write_report(folder, "evaluation", f"Ageing by {options.model_path}", figures, table, notes)


def report_age_classifiers(options: EvaluateOptions, made_by: Mapping[str, str]) -> None:
    """Writes ``age_classifiers.json`` and ``age_classifiers.md``; arguments as in :func:`report_ageing`.

    Raises:
        InputError: a file or the photos cannot be used.
    """
    files = options.age_classifier or ()
    device = select_device(options.device)
    rows = evaluate_age_classifiers(files, options.data_path, device, options.own_output)
    figures = {**made_by, "data": options.data_path, "classifiers": rows}
    notes = [f"labels: the ages in the names of the files in {options.data_path}"]
    table = classifier_table(rows)
    write_report(options.exp_dir, "age_classifiers", "Age classifiers", figures, table, notes)


def report_personalization(options: EvaluateOptions, made_by: Mapping[str, str]) -> None:
    """Writes ``personalization.{json,md,png}`` and ``life_span.png``; arguments as in :func:`report_ageing`.

    Raises:
        InputError: a file or the photos cannot be used, or the models are not such a pair.
    """
    personalized = options.personalized_checkpoint
    assert personalized is not None
    judges = chosen_judges(options)
    notes = independence_notes(judges, options.model_path)
    device, precision = select_device(options.device), options.mixed_precision
    global_model = load_aging_model(options.model_path, device, None, precision)
    personal_model = load_aging_model(personalized, device, options.global_checkpoint, precision)
    check_models(global_model, personal_model)
    truths = load_person(options.data_path, global_model.input_size, own_output=options.own_output)
    inputs = (
        load_person(options.input_path, global_model.input_size, False, options.own_output)
        if options.input_path
        else truths
    )
    pairs = evaluate_personalization(
        global_model, personal_model, truths, judges, inputs, batch_size=options.test_batch_size
    )
    figures: dict[str, Any] = {
        **made_by,
        "checkpoint": options.model_path,
        "personalized_checkpoint": personalized,
        "data": options.data_path,
        "judges": judges.cards(),
        **summarize_pairs(pairs, options.training_ages),
    }
    folder = Path(options.exp_dir)
    life_span = life_span_picture(global_model, personal_model, middle_photo(inputs), truths)
    save_pil(life_span, folder / "life_span.png")
    save_pil(personal_curves(figures, global_name(global_model)), folder / "personalization.png")
    title = f"{personalized} against {options.model_path}"
    write_report(folder, "personalization", title, figures, personalization_table(figures), notes)
