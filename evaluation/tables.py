"""What an evaluation shows: Markdown tables and curves, made of the plain figures of its JSON file."""

from collections.abc import Sequence
from typing import Any

from PIL import Image

from evaluation.markdown import markdown_table, number
from utils.pictures.curves import Curve, Panel, draw_panels


def ageing_table(figures: dict[str, Any]) -> str:
    """Three tables of ``AgeingEvaluation.figures``: overall, similarities, each target age."""
    return "\n\n".join([_overall(figures), _similarities(figures), _per_age(figures)])


def _overall(figures: dict[str, Any]) -> str:
    age, identity = figures["age"], figures["identity"]
    rows = [
        ["photos", str(figures["photos"])],
        ["Spearman correlation of target and judged age", number(age["spearman"], 3)],
        ["the same within each photo, mean", number(age["spearman_within_a_photo"], 3)],
        ["mean absolute error of the judged age, years", number(age["mean_absolute_error"], 2)],
        ["mean of judged minus target age, years", number(age["bias"], 2, sign=True)],
        ["error of the age judge on the photos, years", number(age["judge_error_on_labelled_photos"], 2)],
        ["identity similarity of input and output", number(identity["input_and_output"]["mean"], 3)],
        ["identity similarity of different people", number(identity["different_people"]["mean"], 3)],
        [
            "P(input, output more similar than two people)",
            number(identity["separation_from_different_people"], 3),
        ],
    ]
    return markdown_table(["what", "value"], rows)


def _similarities(figures: dict[str, Any]) -> str:
    labels = {
        "input_and_output": "input and its output",
        "different_people": "two photos of different people",
        "input_and_output_of_others": "input and the output of somebody else at that age",
    }
    rows = []
    for name, label in labels.items():
        row = figures["identity"][name]
        values = [number(row[key], 3) for key in ("mean", "std", "p5", "p50", "p95")]
        rows.append([label, str(row["count"]), *values])
    return markdown_table(["identity similarity", "pairs", "mean", "std", "5 %", "median", "95 %"], rows)


def _per_age(figures: dict[str, Any]) -> str:
    rows = []
    for row in figures["per_age"]:
        judged, similarity = row["judged_age"], row["similarity"]
        rows.append(
            [
                f"{row['target_age']:g}",
                f"{number(judged['mean'], 1)} ± {number(judged['std'], 1)}",
                number(row["mean_absolute_error"], 1),
                f"{number(similarity['mean'], 3)} ± {number(similarity['std'], 3)}",
                number(row["similarity_to_output_of_others"]["mean"], 3),
            ]
        )
    header = ["target age", "judged age", "abs. error", "similarity to input", "to other people's input"]
    return markdown_table(header, rows)


def ageing_curves(figures: dict[str, Any]) -> Image.Image:
    """Judged age and identity similarity over the target age, with the 5th to 95th percentile as bands."""
    rows = figures["per_age"]
    ages = [row["target_age"] for row in rows]

    def curve(label: str, name: str) -> Curve:
        mean, low, high = ([row[name][key] for row in rows] for key in ("mean", "p5", "p95"))
        return Curve(label, ages, mean, low, high)

    people = figures["identity"]["different_people"]["mean"]
    return draw_panels(
        [
            Panel(
                "judged age",
                "target age (years)",
                "judged age (years)",
                [
                    curve("judged age, 5-95 %", "judged_age"),
                    Curve("target", ages, ages, style="k--"),
                ],
            ),
            Panel(
                "identity",
                "target age (years)",
                "cosine similarity",
                [
                    curve("input and its output, 5-95 %", "similarity"),
                    curve("input and somebody else's output", "similarity_to_output_of_others"),
                    Curve("photos of different people, mean", ages, [people] * len(ages), style="k--"),
                ],
            ),
        ]
    )


def classifier_table(rows: Sequence[dict[str, Any]]) -> str:
    """Errors of age classifiers (``evaluate_age_classifier`` and ``file``), overall and by decade."""
    overall = [
        [
            row["file"],
            str(row["photos"]),
            number(row["mean_absolute_error"]),
            number(row["median_absolute_error"]),
            number(row["bias"], sign=True),
            number(row["spearman"], 3),
        ]
        for row in rows
    ]
    header = ["age classifier", "photos", "mean abs. error", "median", "bias", "Spearman"]
    starts = sorted({decade["from_age"] for row in rows for decade in row["decades"]})
    names = [f"{start}-{start + 9}" if start < 90 else "90-100" for start in starts]
    by_decade = []
    for row in rows:
        errors = {decade["from_age"]: decade["mean_absolute_error"] for decade in row["decades"]}
        by_decade.append([row["file"], *(number(errors.get(start), 1) for start in starts)])
    return (
        markdown_table(header, overall) + "\n\n" + markdown_table(["abs. error at ages", *names], by_decade)
    )


def personal_curves(figures: dict[str, Any]) -> Image.Image:
    """Similarity to the true photo and judged-age error over the true age, global against personalised."""
    rows = figures["per_age"]
    ages = [row["target_age"] for row in rows]
    labels = {"input": "unchanged input", "global": "global SAM", "personalized": "personalised"}

    def curves(name: str) -> list[Curve]:
        return [
            Curve(label, ages, [row[method][name] for row in rows], style=":o" if method == "input" else "-o")
            for method, label in labels.items()
        ]

    return draw_panels(
        [
            Panel("identity", "true age (years)", "similarity to the true photo", curves("similarity")),
            Panel("judged age", "true age (years)", "absolute error (years)", curves("age_error")),
        ]
    )
