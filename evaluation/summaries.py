"""Figures of a personalised against a global model: means over judged pairs, and over people."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from evaluation.personal import METHODS, Pair


def means(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Means of each method, and the gain of the personalised over the global one.

    ``sharpness`` is that of the pictures as a share of that of the true photos.
    """
    count = len(pairs)
    figures: dict[str, Any] = {
        method: {
            "similarity": sum(pair.similarity[method] for pair in pairs) / count,
            "age_error": sum(pair.age_error(method) for pair in pairs) / count,
            "sharpness": _share_of_sharpness(pairs, method),
        }
        for method in METHODS
    }
    ours, theirs = figures["personalized"], figures["global"]
    better = sum(pair.similarity["personalized"] > pair.similarity["global"] for pair in pairs)
    return {
        "pairs": count,
        **figures,
        "gain": {
            "similarity": ours["similarity"] - theirs["similarity"],
            "age_error": ours["age_error"] - theirs["age_error"],
            "share_of_pairs_with_higher_similarity": better / count,
        },
    }


def _share_of_sharpness(pairs: Sequence[Pair], method: str) -> float:
    true = sum(pair.true_sharpness[method] for pair in pairs)
    return sum(pair.sharpness[method] for pair in pairs) / true if true else math.nan


def summarize_pairs(
    pairs: Sequence[Pair], training_range: tuple[float, float] | None = None, keep_pairs: bool = True
) -> dict[str, Any]:
    """All figures of a person as plain numbers.

    Args:
        pairs: what :func:`evaluate_personalization` returned, of one or several folds.
        training_range: youngest and oldest age of the training photos; adds figures inside and outside.
        keep_pairs: whether to list every pair.
    """
    figures: dict[str, Any] = {"overall": means(pairs)}
    if training_range is not None:
        low, high = training_range
        inside = [pair for pair in pairs if low <= pair.target_age <= high]
        outside = [pair for pair in pairs if not low <= pair.target_age <= high]
        figures["training_range"] = [low, high]
        figures["inside_training_range"] = means(inside) if inside else None
        figures["outside_training_range"] = means(outside) if outside else None
    figures["per_age"] = [
        {"target_age": age, **means([pair for pair in pairs if pair.target_age == age])}
        for age in sorted({pair.target_age for pair in pairs})
    ]
    if keep_pairs:
        figures["pairs"] = [asdict(pair) for pair in pairs]
    return figures


def mean_over_people(people: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Means over people, each counted once; None if all failed.

    Args:
        people: by name, figures with ``overall`` of :func:`means`, or ``failed``.
    """
    rows = [row["overall"] for row in people.values() if "failed" not in row]
    if not rows:
        return None

    def mean(group: str, key: str) -> float:
        values = [row[group][key] for row in rows]
        return sum(values) / len(values)

    return {
        "people": len(rows),
        "pairs": sum(row["pairs"] for row in rows),
        **{name: {key: mean(name, key) for key in rows[0][name]} for name in (*METHODS, "gain")},
    }
