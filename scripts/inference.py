"""Ages a folder of aligned photos: one picture for each photo and target age (SAM's `inference.py`)."""

import _bootstrap  # noqa: F401

import os
from collections.abc import Sequence
from pathlib import Path

import _inference
import numpy as np
import torch

from options.inference_options import parse_inference_options
from utils.errors import run_command
from utils.images import write_image

COUPLED_EVERY = 100  # without --couple_outputs, every hundredth photo is coupled (the official interval)


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes ``inference_results/``, ``inference_coupled/`` and ``stats.txt`` below ``exp_dir``."""
    opts, targets = parse_inference_options(arguments, __doc__ or "")
    model, photos = _inference.load(opts)
    root = Path(opts.exp_dir)
    seconds, written = [], 0
    for batch in _inference.age_batches(model, photos, targets, opts):
        seconds.append(batch.seconds)
        for row, name in enumerate(batch.photos.names):
            is_coupled = opts.couple_outputs or (batch.photos.first + row) % COUPLED_EVERY == 0
            for column, target in enumerate(targets):
                result = batch.results[row, column]
                write_image(result, root / "inference_results" / target.label / name)
                if is_coupled:
                    couple = torch.cat([batch.inputs[row], result], dim=2)
                    write_image(couple, root / "inference_coupled" / target.label / name)
            written += 1
    write_stats(root / "stats.txt", seconds, opts.test_batch_size)
    _inference.report(photos, written, root / "inference_results")


def write_stats(path: Path, seconds: Sequence[float], batch_size: int) -> None:
    """Writes mean and deviation of the seconds a batch took at one age; line one is the official one."""
    text = (
        f"Runtime {np.mean(seconds):.4f}+-{np.std(seconds):.4f}\n"
        f"seconds for a batch of {batch_size} at one target age, {len(seconds)} batches\n"
    )
    print(text.splitlines()[0])
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


if __name__ == "__main__":
    run_command(main)
