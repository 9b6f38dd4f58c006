"""The diagrams of an evaluation, made of the plain figures of its JSON file."""

from collections.abc import Mapping
from typing import Any

from utils.pictures.curves import Curve, Panel

Figures = Mapping[str, Any]


def ageing_panels(figures: Figures) -> list[Panel]:
    """Judged age and identity similarity over the target age, with the 5th to 95th percentile as bands."""
    rows = figures["per_age"]
    ages = [row["target_age"] for row in rows]

    def curve(label: str, name: str) -> Curve:
        mean, low, high = ([row[name][key] for row in rows] for key in ("mean", "p5", "p95"))
        return Curve(label, ages, mean, low, high)

    people = figures["identity"]["different_people"]["mean"]
    return [
        Panel(
            "judged age",
            "target age (years)",
            "judged age (years)",
            [curve("judged age, 5-95 %", "judged_age"), Curve("target", ages, ages, style="k--")],
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


def methods_panels(figures: Figures) -> list[Panel]:
    """The means of several methods over the target age."""
    methods = figures["methods"]

    def curves(name: str) -> list[Curve]:
        return [
            Curve(method, [r["target_age"] for r in of["per_age"]], [r[name]["mean"] for r in of["per_age"]])
            for method, of in methods.items()
        ]

    ages = [row["target_age"] for of in methods.values() for row in of["per_age"]]
    target = Curve("target", sorted(set(ages)), sorted(set(ages)), style="k--")
    axis = "target age (years)"
    return [
        Panel("judged age", axis, "judged age (years)", [*curves("judged_age"), target]),
        Panel("identity of input and output", axis, "cosine similarity", curves("similarity")),
    ]


def classifier_panels(figures: Figures) -> list[Panel]:
    """Errors of age classifiers by decade."""
    curves = [
        Curve(
            str(row["file"]),
            [decade["from_age"] for decade in row["decades"]],
            [decade["mean_absolute_error"] for decade in row["decades"]],
        )
        for row in figures["classifiers"]
    ]
    return [Panel("error by decade", "true age (years), from", "mean absolute error (years)", curves)]


def personal_panels(figures: Figures, global_name: str = "global SAM") -> list[Panel]:
    """Similarity to the true photo and judged-age error over the true age, global against personalised.

    Args:
        figures: of ``summarize_pairs``.
        global_name: what the legend calls the global model.
    """
    rows = figures["per_age"]
    ages = [row["target_age"] for row in rows]
    labels = {"input": "unchanged input", "global": global_name, "personalized": "personalised"}

    def curves(name: str) -> list[Curve]:
        return [
            Curve(label, ages, [row[method][name] for row in rows], style=":o" if method == "input" else "-o")
            for method, label in labels.items()
        ]

    return [
        Panel("identity", "true age (years)", "similarity to the true photo", curves("similarity")),
        Panel("judged age", "true age (years)", "absolute error (years)", curves("age_error")),
    ]
