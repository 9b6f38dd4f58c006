"""What SAM's two plain commands write: single pictures, couples and sweeps, or one strip a photo."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from inference.aged_photo import AgedPhoto
from inference.run import InferenceRun
from inference.sweep import sweep_file, write_sweep
from models.aging_model import AgingModel
from options.ageing_options import COUPLED, RESULTS, SIDE_BY_SIDE, SWEEP
from options.inference_options import STATS, InferenceOptions, SideBySideOptions
from utils.distributed import everyone, is_main
from utils.files.writing import write_text
from utils.pictures.sheets import tile
from utils.pictures.writing import save_pil

COUPLED_EVERY = 100  # without --couple_outputs, every hundredth photo is coupled (the official interval)


def write_results(run: InferenceRun[AgingModel], opts: InferenceOptions) -> None:
    """Writes ``inference_results/``, ``inference_coupled/`` and ``stats.txt`` below ``exp_dir``, and sweeps.

    Raises:
        InputError: not one photo can be used, or a file cannot be written.
    """
    root = Path(opts.exp_dir)

    def files(name: Path, stem: Path, _: Path) -> list[Path]:
        found = [root / kind / label / name for kind in (RESULTS, COUPLED) for label in run.labels]
        return found + ([sweep_file(root / SWEEP / stem, opts.sweep)] if opts.sweep else [])

    def write(photo: AgedPhoto) -> None:
        couple = opts.couple_outputs or photo.number % COUPLED_EVERY == 0
        for label, faces in zip(run.labels, photo.results.unbind(1), strict=True):
            run.write(photo.path, partial(write_picture, photo, faces, label, root, couple), faces.nbytes)
        if opts.sweep:
            write_sweep(run, photo, root / SWEEP / photo.stem, opts.sweep, opts.sweep_frames)

    run.will_write(files, [root / STATS])
    run.age(write)
    seconds = [second for own in everyone(run.seconds) for second in own]
    if is_main():
        write_stats(seconds, opts.test_batch_size, root / STATS)
    run.report(root / RESULTS)


def write_picture(photo: AgedPhoto, faces: Tensor, label: str, root: Path, couple: bool) -> None:
    """Writes one photo at one age, and coupled with the input where that is wanted."""
    photo.save(faces, root / RESULTS / label / photo.name)
    if couple:
        pair = tile([[photo.original(), photo.picture(faces)]])
        save_pil(pair, root / COUPLED / label / photo.name)


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
    folder = Path(opts.exp_dir) / SIDE_BY_SIDE

    def write(photo: AgedPhoto) -> None:
        run.write(photo.path, partial(write_strip, photo, folder / photo.name), photo.results.nbytes)

    run.will_write(lambda name, *_: [folder / name])
    run.age(write)
    run.report(folder)


def write_strip(photo: AgedPhoto, path: Path) -> None:
    """Writes the input and its results in one row."""
    shown = photo.for_sheet()
    save_pil(tile([[shown.original(), *shown.pictures()]]), path)
