"""The Markdown tables of every evaluation, made of the plain figures of its JSON file."""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.appearance.tables import appearance_of_methods, appearance_tables
from evaluation.markdown import markdown_table, number
from evaluation.personal import METHODS

PAIRS_HEADER = (
    "true age",
    "pairs",
    "similarity: input",
    "global",
    "personalised",
    "gain",
    "age error: input",
    "global",
    "personalised",
    "change",
)


def ageing_table(figures: dict[str, Any]) -> str:
    """Tables of ``AgeingEvaluation.figures``: overall, similarities, each target age, what the eye sees."""
    judged = [_overall(figures), _judge(figures), _similarities(figures), _per_age(figures)]
    return "\n\n".join([*filter(None, judged), appearance_tables(figures["appearance"])])


def methods_table(methods: Mapping[str, dict[str, Any]]) -> str:
    """Several methods side by side: a row each, what judges say and what the eye sees.

    Args:
        methods: by their names, figures of ``AgeingEvaluation.figures``.
    """
    rows = []
    for name, figures in methods.items():
        age, identity = figures["age"], figures["identity"]
        rows.append(
            [
                name,
                figures["kind"],
                str(figures["photos"]),
                number(age["spearman"], 3),
                number(age["mean_absolute_error"], 1),
                number(age["bias"], 1, sign=True),
                number(age["bias_against_photos_40_to_80"], 1, sign=True),
                number(identity["input_and_output"]["mean"], 3),
                number(identity["separation_from_different_people"], 3),
                number(identity["input_and_output_at_own_age"]["mean"], 3),
                number(identity["separation_at_own_age"], 3),
            ]
        )
    header = [
        "method",
        "kind",
        "photos",
        "Spearman",
        "age error",
        "bias",
        "to photos, 40-80",
        "identity",
        "AUC",
        "own age",
        "AUC",
    ]
    return f"{markdown_table(header, rows)}\n\n{appearance_of_methods(methods)}"


def _overall(figures: dict[str, Any]) -> str:
    age, identity = figures["age"], figures["identity"]
    rows = [
        ["photos", str(figures["photos"])],
        ["Spearman correlation of target and judged age", number(age["spearman"], 3)],
        ["the same within each photo, mean", number(age["spearman_within_a_photo"], 3)],
        ["mean absolute error of the judged age, years", number(age["mean_absolute_error"], 2)],
        ["mean of judged minus target age, years", number(age["bias"], 2, sign=True)],
        ["error of the age judge on the photos, years", number(age["judge_error_on_labelled_photos"], 2)],
        [
            "judged age minus that of real photos of the target age, years",
            number(age["bias_against_photos"], 2, sign=True),
        ],
        [
            "the same at targets from 40 to 80",
            number(age["bias_against_photos_40_to_80"], 2, sign=True),
        ],
        ["identity similarity of input and output", number(identity["input_and_output"]["mean"], 3)],
        ["identity similarity of different people", number(identity["different_people"]["mean"], 3)],
        [
            "P(input, output more similar than two people)",
            number(identity["separation_from_different_people"], 3),
        ],
        [
            "identity similarity at the person's own age",
            number(identity["input_and_output_at_own_age"]["mean"], 3),
        ],
        ["P(the same at the own age)", number(identity["separation_at_own_age"], 3)],
    ]
    return markdown_table(["what", "value"], rows)


def _judge(figures: dict[str, Any]) -> str | None:
    """What the age judge makes of the photos themselves; None where no name says an age."""
    rows = [
        [
            f"{row['from_age']}-{row['from_age'] + 9}",
            str(row["photos"]),
            number(row["mean_absolute_error"], 1),
            number(row["bias"], 1, sign=True),
        ]
        for row in figures["judge_by_decade"]
    ]
    return markdown_table(["the age judge on photos aged", "photos", "error", "bias"], rows) if rows else None


def _similarities(figures: dict[str, Any]) -> str:
    labels = {
        "input_and_output": "input and its output",
        "input_and_output_at_own_age": "input and its output at the person's own age",
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
                number(row["seen_in_photos"], 1),
                number(row["mean_absolute_error"], 1),
                f"{number(similarity['mean'], 3)} ± {number(similarity['std'], 3)}",
                number(row["similarity_to_output_of_others"]["mean"], 3),
            ]
        )
    header = ["target age", "judged age", "of photos", "abs. error", "similarity to input"]
    header.append("to other people's input")
    return markdown_table(header, rows)


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


def pairs_row(label: str, figures: dict[str, Any]) -> list[str]:
    """One line of :func:`personalization_table` from the figures of ``summaries.means``."""
    similarity = [number(figures[method]["similarity"], 3) for method in METHODS]
    error = [number(figures[method]["age_error"], 1) for method in METHODS]
    gain = figures["gain"]
    return [
        label,
        str(figures["pairs"]),
        *similarity,
        number(gain["similarity"], 3, sign=True),
        *error,
        number(gain["age_error"], 1, sign=True),
    ]


def sharpness_table(title: str, rows: Mapping[str, dict[str, Any]]) -> str:
    """How sharp pictures are, as shares of the true photos' sharpness, from ``summaries.means`` by labels."""
    cells = []
    for label, figures in rows.items():
        shares = [figures[method]["sharpness"] for method in METHODS]
        ours, theirs = shares[METHODS.index("personalized")], shares[METHODS.index("global")]
        gain = ours / theirs if theirs else None
        cells.append([label, *(number(share) for share in (*shares, gain))])
    header = ["sharpness: input", "global", "personalised", "personalised / global"]
    return markdown_table([title, *header], cells)


def personalization_table(figures: dict[str, Any]) -> str:
    """A line of ``summarize_pairs`` for each true age, then the means over all pairs; below it sharpness."""
    rows = {f"{row['target_age']:g}": row for row in figures["per_age"]}
    if figures.get("training_range"):
        low, high = figures["training_range"]
        for name, label in (("inside", f"in {low:g}-{high:g}"), ("outside", f"outside {low:g}-{high:g}")):
            if figures[f"{name}_training_range"]:
                rows[label] = figures[f"{name}_training_range"]
    rows["all"] = figures["overall"]
    pairs = markdown_table(PAIRS_HEADER, [pairs_row(label, row) for label, row in rows.items()])
    return f"{pairs}\n\n{sharpness_table(PAIRS_HEADER[0], rows)}"


def people_table(figures: dict[str, Any]) -> str:
    """A line for each person, also where it failed, and the mean over people; below it sharpness."""
    rows = []
    for name, row in figures["people"].items():
        failed = [name, *["failed"] * (len(PAIRS_HEADER) - 1)]
        rows.append(failed if "failed" in row else pairs_row(name, row["overall"]))
    done = {name: row["overall"] for name, row in figures["people"].items() if "failed" not in row}
    if figures["overall"]:
        done["mean over people"] = figures["overall"]
        rows.append(pairs_row("mean over people", figures["overall"]))
    pairs = markdown_table(["person", *PAIRS_HEADER[1:]], rows)
    return f"{pairs}\n\n{sharpness_table('person', done)}" if done else pairs


def variants_table(variants: Mapping[str, Mapping[str, Any]]) -> str:
    """A line for each way to personalise: its mean over people, then that of each person."""
    rows = []
    for name, figures in variants.items():
        failed = [name, *["failed"] * (len(PAIRS_HEADER) - 1)]
        rows.append(pairs_row(name, figures["overall"]) if figures["overall"] else failed)
    tables = [markdown_table(["mean over people", *PAIRS_HEADER[1:]], rows)]
    done = {name: figures["overall"] for name, figures in variants.items() if figures["overall"]}
    if done:
        tables.append(sharpness_table("mean over people", done))
    several = max(len(figures["people"]) for figures in variants.values()) > 1
    for name, figures in variants.items() if several else ():
        tables.append(f"{name}:\n\n{people_table(dict(figures))}")
    return "\n\n".join(tables)
