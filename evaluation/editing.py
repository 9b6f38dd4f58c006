"""Which directions are good for editing: what each changes of a picture, and of the person and the age."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from evaluation.markdown import markdown_table, number
from evaluation.report import write_report
from inference.editing import (
    Edited,
    chosen_directions,
    direction_file,
    edited_photos,
    edits,
    write_direction,
    write_grid,
)
from inference.run import InferenceRun
from models.aging_model import StyleModel
from models.judges import Judges, load_judges
from options.edit_options import EditOptions
from utils.distributed import everyone, is_main

REPORT = "directions"
HALF_LEVELS = 127.5  # of 255 in one unit of [-1, 1]
YEARS = 20.0  # of judged age that weigh as much as the whole identity
LEAST_LOSS = 0.01  # below it the judges tell nothing apart


@dataclass
class DirectionFigures:
    """What edits along one direction did to P photos at S strengths, on the CPU; 0 is among the strengths.

    Attributes:
        change: (P, S) mean absolute difference from the unedited picture, in levels of 255.
        identity: (P, S) cosine of the judged identities of both.
        age_change: (P, S, A) judged age less that of the unedited picture, in years.
    """

    change: list[Tensor] = field(default_factory=list)
    identity: list[Tensor] = field(default_factory=list)
    age_change: list[Tensor] = field(default_factory=list)

    def add(self, pictures: Tensor, plain: int, judges: Judges) -> None:
        """Measures pictures (B, S, A, 3, R, R), of which one strength is the unedited one."""
        pictures = pictures.clamp(-1, 1)
        difference = (pictures - pictures[:, plain : plain + 1]).abs()
        ages, embeddings = judges.measure(pictures)
        self.change.append(HALF_LEVELS * difference.mean((2, 3, 4, 5)).cpu())
        self.identity.append((embeddings * embeddings[:, plain : plain + 1]).sum(3).mean(2))
        self.age_change.append(ages - ages[:, plain : plain + 1])

    def figures(self, strengths: Sequence[float]) -> dict[str, Any]:
        """Plain numbers: at each strength, over all strengths but 0, and the score of the ranking."""
        change, identity, years = (
            torch.cat(values) for values in (self.change, self.identity, self.age_change)
        )
        at = [
            {
                "strength": strength,
                "picture_change": float(change[:, index].mean()),
                "identity": float(identity[:, index].mean()),
                "age_change": float(years[:, index].mean()),
                "absolute_age_change": float(years[:, index].abs().mean()),
            }
            for index, strength in enumerate(strengths)
            if strength
        ]
        means = {name: sum(row[name] for row in at) / len(at) for name in at[0] if name != "strength"}
        del means["age_change"]  # of both ends, which go opposite ways
        lowest = min(row["identity"] for row in at)
        return {**means, "lowest_identity": lowest, "score": score(**means), "strengths": at}


def score(picture_change: float, identity: float, absolute_age_change: float) -> float:
    """How useful a direction is: what it changes of a picture for what it costs of the person and the age.

    Args:
        picture_change: levels of 255.
        identity: cosine.
        absolute_age_change: years.
    """
    return picture_change / max(1 - identity + absolute_age_change / YEARS, LEAST_LOSS)


def report_edits(run: InferenceRun[StyleModel], opts: EditOptions, made_by: Mapping[str, Any]) -> None:
    """Writes a grid for each photo and direction, the directions, and ``directions.json`` and ``.md``.

    Args:
        run: the photos and their target ages.
        opts: the directions.
        made_by: command, date and versions, which the figures begin with.

    Raises:
        InputError: a direction or the photos cannot be used, or a file cannot be written.
    """
    folder, strengths = opts.folder, opts.strengths
    directions = chosen_directions(run.model, opts)
    kept = [direction_file(folder, direction) for direction in directions]
    run.will_write(
        lambda name, *_: [folder / direction.name / name for direction in directions],
        [folder / f"{REPORT}.json", folder / f"{REPORT}.md", *kept],
        reads=[*(opts.directions or ()), opts.judge_age, opts.judge_identity],
    )
    judges = load_judges(opts.judge_age, opts.judge_identity, run.device)
    found = {direction.name: DirectionFigures() for direction in directions}

    def write(edited: Edited) -> None:
        for photo in edited_photos(run, edited):
            path = folder / edited.direction.name / photo.name
            run.write(
                photo.path, partial(write_grid, photo, run.labels, strengths, path), photo.results.nbytes
            )

    with run.background:
        for edited in edits(run, directions, strengths):
            found[edited.direction.name].add(edited.pictures, strengths.index(0.0), judges)
            write(edited)
    figures = ranked(_of_all(found), strengths)
    if is_main():
        for direction, path in zip(directions, kept, strict=True):
            write_direction(direction, path)
        _write(folder, figures, judges, opts, made_by)
    run.report(folder)


def ranked(found: Mapping[str, DirectionFigures], strengths: Sequence[float]) -> dict[str, dict[str, Any]]:
    """The figures of every direction, the most useful first."""
    figures = {name: figures.figures(strengths) for name, figures in found.items()}
    return dict(sorted(figures.items(), key=lambda item: -item[1]["score"]))


def directions_table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """A row a direction: picture change, identity, age change at both ends, score."""
    first = next(iter(figures.values()))["strengths"]
    low, high = (f"{row['strength']:+g}" for row in (first[0], first[-1]))
    header = ["direction", "picture change", "identity", "lowest", "age change", f"at {low}", f"at {high}"]
    header.append("score")
    rows = [
        [
            name,
            number(row["picture_change"], 1),
            number(row["identity"], 3),
            number(row["lowest_identity"], 3),
            number(row["absolute_age_change"], 1),
            number(row["strengths"][0]["age_change"], 1, sign=True),
            number(row["strengths"][-1]["age_change"], 1, sign=True),
            number(row["score"], 1),
        ]
        for name, row in figures.items()
    ]
    return markdown_table(header, rows)


def _of_all(found: Mapping[str, DirectionFigures]) -> dict[str, DirectionFigures]:
    """The figures of the photos of all processes."""
    parts = everyone({name: vars(figures) for name, figures in found.items()})
    joined = {name: DirectionFigures() for name in found}
    for name, figures in joined.items():
        for part in parts:
            for kind, values in part[name].items():
                getattr(figures, kind).extend(values)
    return joined


def _write(
    folder: Path,
    figures: Mapping[str, Mapping[str, Any]],
    judges: Judges,
    opts: EditOptions,
    made_by: Mapping[str, Any],
) -> None:
    """Writes the figures and their table."""
    notes = [
        "each figure is a mean over photos, ages and all strengths but 0, beside the unedited picture of the "
        "same age",
        "picture change: levels of 255; identity: cosine of the judge's embeddings, and its lowest mean at a "
        "strength",
        "age change: years, without its sign, then with it at the ends",
        f"score: picture change / (1 - identity + age change / {YEARS:g} years)",
        "the judges do not see whether a picture is sharp: look at the grids",
        f"strength 1 is a standard deviation of the generator's own random codes; {opts.checkpoint}",
        f"age judge: {judges.age_card.sentence()}",
        f"identity judge: {judges.identity_card.sentence()}",
    ]
    content = {
        **made_by,
        "checkpoint": opts.checkpoint,
        "styles": opts.latent_mask and list(opts.latent_mask),
        "judges": judges.cards(),
        "directions": figures,
    }
    write_report(folder, REPORT, "Directions", content, directions_table(figures), notes)
