"""What `scripts/optimize_path.py` does: photos in; their optimised codes, strips and loss curves out."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from configs.paths_config import model_paths
from datasets.input_age import InputAge
from datasets.photos import PhotoBatch
from inference.aged_photo import AgedPhoto
from inference.path_files import PATH_FILE, write_path
from inference.path_optimizer import OF_PICTURES, OptimizedPaths, PathNetworks, PathOptimizer
from inference.perceptual import perceptual_distance
from inference.run import InferenceRun
from inference.target_years import face_names
from models.aging_model import StyleModel
from models.auxiliary import load_age_classifier, load_identity
from options.path_options import LatentPathOptions
from utils.device import keep_freed_memory
from utils.distributed import is_main, say
from utils.errors import InputError
from utils.faces.boxes import TIGHT_IN_FFHQ
from utils.notes import above_bars
from utils.pictures.curves import Curve, Panel, draw_panels
from utils.pictures.sheets import image_sheet
from utils.pictures.writing import save_pil

STRIP, LOSS = "strip.png", "loss.png"


def optimize_photos(run: InferenceRun[StyleModel], opts: LatentPathOptions) -> None:
    """Writes ``STEM/path.npz``, ``strip.png`` and ``loss.png``; a photo that has its path is left as it is.

    Raises:
        InputError: a file cannot be used, not one photo can, or nothing can be written.
    """
    if run.device.type == "cpu":
        keep_freed_memory()
    optimizer = PathOptimizer(run.model, path_networks(run, opts), opts, opts.seed, progress=is_main())
    run.will_write(
        lambda _, stem, __: [opts.folder / stem / name for name in (STRIP, LOSS, PATH_FILE)],
        reads=[opts.identity_network, opts.lpips_weights],
    )
    run.leave_out(lambda stem: (opts.folder / stem / PATH_FILE).exists(), opts.folder)
    if not len(run.photos):
        say(f"nothing is left to do; results in {opts.folder}")
        return
    for batch, ages in run.batches():
        own = run.target_years.own(batch)
        found = optimizer.optimize(
            batch.images.to(run.device), ages, torch.tensor([age.years for age in own])
        )
        for index, rows in enumerate(batch.faces):
            with run.writing(batch.paths[index]):
                write_results(run, opts.folder, batch, index, own[rows], found)
    run.report(opts.folder)


def path_networks(run: InferenceRun[StyleModel], opts: LatentPathOptions) -> PathNetworks:
    """The networks of the terms: official ones for FFHQ crops where they are at hand, else bundled ones.

    Raises:
        InputError: a file cannot be used.
    """
    ages, ffhq = run.target_years.own_ages, run.model.crop == "ffhq"
    official, bundled = model_paths["ir_se50"], model_paths["demo_identity"]
    chosen = opts.identity_network or (official if ffhq and Path(official).is_file() else bundled)
    age, identity = load_age_classifier(ages.classifier, run.device), load_identity(chosen, run.device)
    return PathNetworks(
        _seeing(age.predict_age, ages.cut_to_tight),
        _seeing(identity.embed, ffhq and chosen == bundled),
        perceptual_distance(opts.perceptual, ages.classifier, run.device, opts.lpips_weights),
    )


def _seeing(look: Callable[[Tensor], Tensor], tight: bool) -> Callable[[Tensor], Tensor]:
    """What a network says of pictures (B, 3, S, S), of which it may know only the inner part."""
    return (lambda pictures: look(TIGHT_IN_FFHQ(pictures))) if tight else look


def write_results(
    run: InferenceRun[StyleModel],
    folder: Path,
    batch: PhotoBatch,
    index: int,
    own: list[InputAge],
    found: OptimizedPaths,
) -> None:
    """Writes the results of a photo; the codes, by which a second run knows that all are there, come last.

    Args:
        run: renders.
        folder: of all results.
        batch: the photos.
        index: of the photo there.
        own: ages of its faces.
        found: for all faces of the batch.

    Raises:
        InputError: a file cannot be written, or the path has become one of no numbers.
    """
    rows = batch.faces[index]
    codes = found.codes[rows]
    if not codes.isfinite().all():
        raise InputError("its codes became no numbers; give a lower --learning_rate or lower weights")
    before, after = (
        run.show(batch, index, found.ages[rows], run.model.render(each[rows].to(run.device)))
        for each in (found.start, found.codes)
    )
    place = folder / before.stem
    save_pil(strip(run, before, after), place / STRIP)
    save_pil(loss_curves(found, rows), place / LOSS)
    write_path(place / PATH_FILE, found.ages[rows], codes, batch.images[rows])
    for row, name, age in zip(range(rows.start, rows.stop), _names(batch, index), own, strict=True):
        errors, alike = (figure[:, row].tolist() for figure in (found.age_errors, found.identities))
        above_bars(
            f"{name}, {age.years:.3g} years ({age.source}), as the networks of the loss see it: age error "
            f"{errors[0]:.1f} -> {errors[1]:.1f} years, identity {alike[0]:.3f} -> {alike[1]:.3f}",
            sys.stdout,
        )


def _names(batch: PhotoBatch, index: int) -> list[str]:
    return face_names(batch)[batch.faces[index]]


def strip(run: InferenceRun[StyleModel], before: AgedPhoto, after: AgedPhoto) -> Image.Image:
    """Two rows for each face: the photo, the target ages and the face's own, before and after."""
    rows = [
        [face, *results]
        for pair in zip(before.results, after.results, strict=True)
        for face, results in zip([before.faces[0]] * 2, pair, strict=True)
    ]
    labels = ["before", "after"] * len(before.faces)
    return image_sheet(rows, labels, ["photo", *run.labels, "own age"])


def loss_curves(found: OptimizedPaths, rows: slice) -> Image.Image:
    """The terms over the steps, of pictures and of codes; means over the faces of a photo."""
    steps = range(1, len(found.losses["total"]) + 1)

    def panel(title: str, names: Iterable[str]) -> Panel:
        values = {name: found.losses[name][:, rows].mean(1).tolist() for name in names}
        return Panel(
            title, "step", "weighted", [Curve(name, steps, y, style="-") for name, y in values.items()]
        )

    of_codes = [name for name in found.losses if name not in (*OF_PICTURES, "total")]
    return draw_panels(
        [
            panel("terms of the pictures, and all", [*OF_PICTURES, "total"]),
            panel("terms of the codes", of_codes),
        ]
    )
