"""Tables of the MyTimeMachine paper for real people: global SAM and ways to personalise it, a row each."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets.person_photos import PersonPhotos, load_person
from evaluation.folds import Fold, given_split, personalized_model
from evaluation.judges import chosen_judges, independence_notes
from evaluation.markdown import markdown_table, number
from evaluation.published_protocol import (
    COLUMNS,
    TASKS,
    Task,
    judged_task,
    make_task,
    mean_of_tasks,
    summarize_task,
)
from evaluation.report import write_report
from models.aging_model import AgingModel
from models.judges import Judges
from options.evaluate_options import PeopleOptions
from utils.errors import InputError

GLOBAL = "SAM"
LABELS = {
    "regression": ("all ages below", "20 years below", "40 years below"),
    "progression": ("all ages above", "20 years above", "20 years below"),
}


def report_published(
    options: PeopleOptions, made_by: Mapping[str, Any], global_model: AgingModel, folders: list[Path]
) -> None:
    """Writes ``people.json`` and ``people.md``, and the trainings below a folder for each person.

    Args:
        options: how people are evaluated.
        made_by: command, date and versions, which the figures begin with.
        global_model: the SAM.
        folders: of the people.

    Raises:
        InputError: a file cannot be used, or no task of anybody could be evaluated.
    """
    judges = chosen_judges(options)
    notes = independence_notes(judges, options.checkpoint_path)
    people = {folder.name: _person(folder, options, global_model, judges) for folder in folders}
    figures: dict[str, Any] = {
        **made_by,
        "checkpoint": options.checkpoint_path,
        "preset": options.preset,
        "protocol": options.protocol,
        "n_photos": options.n_photos,
        "regression_years": options.regression_years,
        "judges": judges.cards(),
        "tasks": {name: _over_people(name, people) for name in TASKS},
        "people": people,
    }
    notes += [
        f"{person}: {task['failed']}"
        for person, tasks in people.items()
        for task in tasks.values()
        if "failed" in task
    ]
    counted = {
        person: [str(task["training_photos"]) for task in tasks.values() if "failed" not in task]
        for person, tasks in people.items()
    }
    notes += [f"{name}: trained on {' and '.join(found)} photos" for name, found in counted.items() if found]
    title = "Personalisation by the protocol of the MyTimeMachine paper"
    write_report(options.exp_dir, "people", title, figures, published_table(figures), notes)
    if not any(figures["tasks"].values()):
        raise InputError(f"nobody in {options.people} could be evaluated; the reasons are above")


def _person(
    folder: Path, options: PeopleOptions, global_model: AgingModel, judges: Judges
) -> dict[str, dict[str, Any]]:
    """The figures of a person in each task, or ``failed`` with the reason."""
    found: dict[str, dict[str, Any]] = {}
    try:
        photos = load_person(folder, global_model.input_size, own_output=[options.exp_dir])
    except InputError as error:
        print(f"{folder.name}: {error}", file=sys.stderr)
        return {name: {"failed": str(error)} for name in TASKS}
    files = [folder / photo for photo in photos.names]
    train, held_out = given_split(folder, files) or (files, None)
    for name in TASKS:
        try:
            task = make_task(name, train, held_out, options.n_photos, options.regression_years)
            found[name] = _task(task, folder, options, global_model, judges, photos, files)
        except InputError as error:
            print(f"{folder.name}: {error}", file=sys.stderr)
            found[name] = {"failed": str(error)}
    return found


def _task(
    task: Task,
    folder: Path,
    options: PeopleOptions,
    global_model: AgingModel,
    judges: Judges,
    photos: PersonPhotos,
    files: list[Path],
) -> dict[str, Any]:
    """Every method's figures of a task: ``methods``, each with means by column and ``rows``."""
    methods: dict[str, Any] = {}

    def judge(name: str, model: AgingModel) -> None:
        rows = judged_task(task, model, photos, files, judges)
        methods[name] = {**summarize_task(task, rows), "rows": rows}

    judge(GLOBAL, global_model)
    for variant in options.variants or ("personalised",):
        chosen = options.with_variant(variant) if options.variants else options
        place = Path(options.exp_dir) / folder.name / task.name / (variant if options.variants else "")
        print(f"{folder.name}, {task.name}, {variant}: {len(task.training)} photos", flush=True)
        judge(variant, personalized_model(Fold(place, task.training, task.references), chosen))
    return {
        "start": task.start,
        "inputs": [path.name for path in task.inputs],
        "training_photos": len(task.training),
        "methods": methods,
    }


def _over_people(name: str, people: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Means over people of each method in a task; empty if all failed."""
    done = [tasks[name]["methods"] for tasks in people.values() if "failed" not in tasks[name]]
    columns = COLUMNS[name]
    return {
        method: {"people": len(done)}
        | mean_of_tasks([{column: row[method][column] for column in columns} for row in done])
        for method in (done[0] if done else ())
    }


def published_table(figures: Mapping[str, Any]) -> str:
    """A table for each task, a row for each method, with the judges in its head."""
    age, identity = (Path(figures["judges"][name]["file"]).name for name in ("age", "identity"))
    parts = []
    for task in TASKS:
        rows = figures["tasks"][task]
        if not rows:
            continue
        header = [task, "people", f"age error ({age})"]
        header += [f"identity ({identity}): {LABELS[task][0]}", *LABELS[task][1:]]
        lines = [
            [
                method,
                str(row["people"]),
                number(row["all"]["age_error"], 1),
                *(number(row[column]["similarity"], 3) for column in COLUMNS[task]),
            ]
            for method, row in rows.items()
        ]
        parts.append(markdown_table(header, lines))
    return "\n\n".join(parts)
