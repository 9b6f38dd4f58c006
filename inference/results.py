"""What SAM's two plain commands write: single pictures, couples and sweeps, or one strip a photo."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets.photos import result_stems
from inference.aged_photo import AgedPhoto
from inference.run import InferenceRun
from inference.sweep import write_sweep
from models.aging_model import AgingModel
from options.inference_options import InferenceOptions, SideBySideOptions
from utils.files.writing import write_text
from utils.pictures.sheets import tile

COUPLED_EVERY = 100  # without --couple_outputs, every hundredth photo is coupled (the official interval)


def write_results(run: InferenceRun[AgingModel], opts: InferenceOptions) -> None:
    """Writes ``inference_results/``, ``inference_coupled/`` and ``stats.txt`` below ``exp_dir``, and sweeps.

    Raises:
        InputError: not one photo can be used, or a file cannot be written.
    """
    root = Path(opts.exp_dir)
    stems = dict(zip(run.photos.names, result_stems(run.photos.names), strict=True))
    for photo in run.aged():
        couple = opts.couple_outputs or photo.number % COUPLED_EVERY == 0
        write_pictures(photo, run.labels, root, couple)
        if opts.sweep:
            stem = root / "inference_sweep" / stems[photo.name]
            write_sweep(run, photo, stem, opts.sweep, opts.sweep_frames)
    write_stats(run.seconds, opts.test_batch_size, root / "stats.txt")
    run.report(root / "inference_results")


def write_pictures(photo: AgedPhoto, labels: Sequence[str], root: Path, couple: bool) -> None:
    """Writes one photo at all ages, and each coupled with the input where that is wanted."""
    for label, result in zip(labels, photo.results, strict=True):
        picture = photo.picture(result)
        photo.save(picture, root / "inference_results" / label / photo.name)
        if couple:
            photo.save(tile([[photo.original(), picture]]), root / "inference_coupled" / label / photo.name)


def write_stats(seconds: Sequence[float], batch_size: int, path: Path) -> None:
    """Writes mean and deviation of the seconds a batch took at one age; line one is the official one."""
    runtime = f"Runtime {np.mean(seconds):.4f}+-{np.std(seconds):.4f}"
    print(runtime)
    counted = f"seconds for a batch of {batch_size} at one target age, {len(seconds)} batches"
    write_text(f"{runtime}\n{counted}\n", path)


def write_strips(run: InferenceRun[AgingModel], opts: SideBySideOptions) -> None:
    """Writes ``inference_side_by_side/NAME`` below ``exp_dir``: the input, then every target age.

    Raises:
        InputError: not one photo can be used, or a file cannot be written.
    """
    folder = Path(opts.exp_dir) / "inference_side_by_side"
    for photo in map(AgedPhoto.for_sheet, run.aged()):
        photo.save(tile([[photo.original(), *photo.pictures()]]), folder / photo.name)
    run.report(folder)
