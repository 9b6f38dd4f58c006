"""Ages a folder of photos: one picture for each photo and target age (SAM's `inference.py`)."""

import _bootstrap  # noqa: F401

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from inference.run import AgedPhoto, InferenceRun
from inference.sweep import write_sweep

from datasets.photos import result_stems
from options.inference_options import parse_inference_options
from utils.errors import run_command
from utils.pictures.sheets import tile
from utils.files.writing import written_atomically

COUPLED_EVERY = 100  # without --couple_outputs, every hundredth photo is coupled (the official interval)


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes ``inference_results/``, ``inference_coupled/`` and ``stats.txt`` below ``exp_dir``."""
    opts, targets = parse_inference_options(arguments, __doc__ or "", uses=("sweep", "couples"))
    run = InferenceRun(opts, targets)
    root = Path(opts.exp_dir)
    stems = dict(zip(run.photos.names, result_stems(run.photos.names), strict=True))
    for photo in run.aged():
        write_results(photo, [target.label for target in targets], root, opts.couple_outputs)
        if opts.sweep:
            stem = root / "inference_sweep" / stems[photo.name]
            write_sweep(run, photo, stem, opts.sweep, opts.sweep_frames)
    write_stats(root / "stats.txt", run.seconds, opts.test_batch_size)
    run.report(root / "inference_results")


def write_results(photo: AgedPhoto, labels: Sequence[str], root: Path, couple: bool) -> None:
    """Writes one photo at all ages, coupled with the input where that is wanted or its turn."""
    for label, result in zip(labels, photo.results, strict=True):
        picture = photo.picture(result)
        photo.save(picture, root / "inference_results" / label / photo.name)
        if couple or photo.number % COUPLED_EVERY == 0:
            photo.save(tile([[photo.original(), picture]]), root / "inference_coupled" / label / photo.name)


def write_stats(path: Path, seconds: Sequence[float], batch_size: int) -> None:
    """Writes mean and deviation of the seconds a batch took at one age; line one is the official one."""
    text = (
        f"Runtime {np.mean(seconds):.4f}+-{np.std(seconds):.4f}\n"
        f"seconds for a batch of {batch_size} at one target age, {len(seconds)} batches\n"
    )
    print(text.splitlines()[0])
    with written_atomically(path) as temporary:
        temporary.write_text(text)


if __name__ == "__main__":
    run_command(main)
