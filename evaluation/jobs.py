"""What `scripts/evaluate.py` measures: each is measured, then its files are written."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets.faces import FaceFolder
from datasets.person_photos import load_person, middle_photo
from evaluation.ageing import AgeingEvaluation, evaluate_ageing, methods_sheet, spread_photos
from evaluation.classifiers import evaluate_age_classifiers
from evaluation.curves import ageing_panels, personal_panels
from evaluation.judges import chosen_judges, independence_notes
from evaluation.personal import check_models, evaluate_personalization
from evaluation.report import write_report
from evaluation.summaries import summarize_pairs
from evaluation.tables import ageing_table, classifier_table, methods_table, personalization_table
from inference.path_model import with_given_codes
from inference.target_years import ages_of_photos
from models.aging_model import AgingModel, load_aging_model
from models.judges import Judges
from options.evaluate_options import EvaluateOptions
from training.life_span import global_name, life_span
from utils.device import select_device
from utils.errors import InputError
from utils.pictures.curves import draw_panels
from utils.pictures.writing import save_pil


def report_ageing(options: EvaluateOptions, made_by: Mapping[str, Any]) -> None:
    """Writes ``evaluation.json``, ``evaluation.md``, ``curves.png`` and ``examples.png``.

    Args:
        options: what is measured.
        made_by: command, date and versions, which the figures begin with.

    Raises:
        InputError: a file or the photos cannot be used.
    """
    judges = chosen_judges(options)
    model = _loaded(options, options.model_path)
    photos = spread_photos(options.data_path, model.input_size, options.n_images, options.own_output)
    _report_one(options, made_by, options.model_path, model, photos, judges, Path(options.exp_dir))


def report_methods(options: EvaluateOptions, made_by: Mapping[str, Any]) -> None:
    """Sets methods side by side on the same photos, each with a report of its own in a sub-folder.

    Writes ``methods.json``, ``methods.md`` and ``methods.png``; arguments as in :func:`report_ageing`.

    Raises:
        InputError: a file or the photos cannot be used, or the models need faces cut in different ways.
    """
    judges = chosen_judges(options)
    names = method_names(options.methods)
    models = {name: _loaded(options, path) for name, path in zip(names, options.methods, strict=True)}
    crops = {model.crop for model in models.values()}
    if len(crops) > 1:
        raise InputError(
            f"the models need faces cut in different ways ({', '.join(sorted(crops))}); evaluate them apart"
        )
    size = max(model.input_size for model in models.values())
    photos = spread_photos(options.data_path, size, options.n_images, options.own_output)
    results, figures = {}, {}
    for name, path in zip(names, options.methods, strict=True):
        folder = Path(options.exp_dir) / name
        results[name], figures[name] = _report_one(
            options, made_by, path, models.pop(name), photos, judges, folder
        )
    folder = Path(options.exp_dir)
    save_pil(methods_sheet(results), folder / "methods.png")
    write_report(
        folder,
        "methods",
        "Methods side by side",
        {**made_by, "data": options.data_path, "judges": judges.cards(), "methods": figures},
        methods_table(figures),
        [f"{name}: {path}" for name, path in zip(names, options.methods, strict=True)],
    )


def method_names(paths: Sequence[str]) -> list[str]:
    """A name for each file: its own without suffix, and its folder before it where that is not enough."""
    stems = [Path(path).stem for path in paths]
    longer = [f"{Path(path).resolve().parent.name}_{Path(path).stem}" for path in paths]
    names = [stem if stems.count(stem) == 1 else long for stem, long in zip(stems, longer, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{number}_{name}" for number, name in enumerate(names, start=1)]
    return names


def _loaded(options: EvaluateOptions, path: str) -> AgingModel:
    device = select_device(options.device)
    more = (options.global_checkpoint, options.mixed_precision, options.encoder_path)
    model = load_aging_model(path, device, *more)
    return with_given_codes(model, options, ages_of_photos(model.crop, device), device)


def _report_one(
    options: EvaluateOptions,
    made_by: Mapping[str, Any],
    path: str,
    model: AgingModel,
    photos: FaceFolder,
    judges: Judges,
    folder: Path,
) -> tuple[AgeingEvaluation, dict[str, Any]]:
    """Measures one model and writes its report; returns what was measured, and the figures."""
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
        "checkpoint": path,
        "kind": model.kind,
        "data": options.data_path,
        "skipped": [str(skipped) for skipped, _ in photos.skipped],
        "target_ages": options.target_ages,
        "judges": judges.cards(),
        **result.figures(),
    }
    save_pil(draw_panels(ageing_panels(figures)), folder / "curves.png")
    save_pil(result.sheet(), folder / "examples.png")
    table, notes = ageing_table(figures), independence_notes(judges, path)
    write_report(folder, "evaluation", f"Ageing by {path}", figures, table, notes)
    return result, figures


def report_age_classifiers(options: EvaluateOptions, made_by: Mapping[str, Any]) -> None:
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


def report_personalization(options: EvaluateOptions, made_by: Mapping[str, Any]) -> None:
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
    span = life_span(global_model, personal_model, middle_photo(inputs), truths)
    save_pil(span.picture(), folder / "life_span.png")
    panels = personal_panels(figures, global_name(global_model))
    save_pil(draw_panels(panels), folder / "personalization.png")
    title = f"{personalized} against {options.model_path}"
    write_report(folder, "personalization", title, figures, personalization_table(figures), notes)
