"""The curves of an evaluation, made of the plain figures of its JSON file."""

from typing import Any

from PIL import Image

from utils.pictures.curves import Curve, Panel, draw_panels


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


def personal_curves(figures: dict[str, Any], global_name: str = "global SAM") -> Image.Image:
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

    return draw_panels(
        [
            Panel("identity", "true age (years)", "similarity to the true photo", curves("similarity")),
            Panel("judged age", "true age (years)", "absolute error (years)", curves("age_error")),
        ]
    )
