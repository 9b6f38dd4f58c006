"""Errors of age classifiers on photos whose names tell the true age."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from datasets.faces import FaceFolder
from evaluation.figures import spearman
from models.auxiliary import ALIGNED_SIZE, OFFICIAL_DEX, AgeClassifier, load_age_classifier


def aligned_size(input_size: int) -> int:
    """Side of the aligned pictures for a classifier's input: a power of two at or above its proportion."""
    return 2 ** math.ceil(math.log2(input_size * ALIGNED_SIZE / OFFICIAL_DEX["input_size"] - 0.5))


@torch.inference_mode()
def evaluate_age_classifier(
    classifier: AgeClassifier, photos: FaceFolder, batch_size: int = 64, progress: bool = True
) -> dict[str, Any]:
    """Errors of an age classifier on photos named by age, overall and by decade.

    Args:
        classifier: any age classifier or age judge.
        photos: labelled photos, decoded at a size of at least the classifier's input.
        batch_size: photos at a time.
        progress: whether to show a bar.

    Returns:
        Plain numbers: count, mean absolute error, median absolute error, bias, Spearman correlation, decades.
    """
    device = next(classifier.parameters()).device
    predicted = []
    starts = range(0, len(photos), batch_size)
    for start in tqdm(starts, "classifying", unit="batch", disable=not progress):
        images = photos.batch(list(range(start, min(start + batch_size, len(photos)))))["image"]
        predicted.append(classifier.predict_age(images.to(device)).float().cpu())
    ages, labels = torch.cat(predicted), photos.ages
    errors = (ages - labels).abs()
    return {
        "photos": len(labels),
        "mean_absolute_error": float(errors.mean()),
        "median_absolute_error": float(errors.median()),
        "bias": float((ages - labels).mean()),
        "spearman": spearman(ages, labels),
        "decades": by_decade(labels, ages),
    }


def by_decade(labels: Tensor, ages: Tensor) -> list[dict[str, Any]]:
    """Error and bias of judged ages (N,) on photos of ages (N,), years, for each decade that has photos."""
    decade = (labels / 10).floor().clamp(max=9)
    return [
        {
            "from_age": 10 * int(start),
            "photos": int((decade == start).sum()),
            "mean_absolute_error": float((ages - labels)[decade == start].abs().mean()),
            "bias": float((ages - labels)[decade == start].mean()),
        }
        for start in decade.unique().tolist()
    ]


def evaluate_age_classifiers(
    files: Sequence[str], folder: str | Path, device: torch.device, own_output: Sequence[str | Path] = ()
) -> list[dict[str, Any]]:
    """The figures of several age classifiers on one folder, each with its ``file``.

    Args:
        files: of age classifiers or age judges.
        folder: aligned photos named `{age}_{idx}`.
        device: where to compute.
        own_output: what the command writes; pictures there do not count.

    Raises:
        InputError: a file or the photos cannot be used.
    """
    rows = []
    folders: dict[int, FaceFolder] = {}
    for file in files:
        classifier = load_age_classifier(file, device)
        size = aligned_size(classifier.input_size)
        if size not in folders:
            folders[size] = FaceFolder(
                folder, size, require_age=True, resample="lanczos", own_output=own_output
            )
        rows.append({"file": file, **evaluate_age_classifier(classifier, folders[size])})
    return rows
