"""Turns a folder of photos into a personal data set for --coach=mytimemachine.

Every photo gets a verdict: it must be readable, show the person, sharp, large and facing the camera, have
an age and not be a copy of another. Accepted faces are aligned and written as train/{age}_{idx}.png (and
test/...); the manifest holds the reasons and the numbers behind them, the contact sheet shows them. The
originals are only read. The same command continues an interrupted one; with other thresholds it decides anew
and measures nothing twice.
"""

import _bootstrap  # noqa: F401

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from datasets.personal.ages import age_of, read_age_table, resolve_names
from datasets.personal.aligned import face_key, make_faces
from datasets.personal.output import (
    MANIFEST,
    SHEET,
    earlier_outputs,
    manifest,
    output_names,
    update_folder,
    write_contact_sheet,
)
from datasets.personal.measures import Photo, list_album, measure_photo
from datasets.personal.verdicts import Verdict, judge, split
from models.restorer import Restorer
from options.personal_options import parse_personal_options
from utils.faces.alignment import CROPS, predictor_path
from utils.device import select_device
from utils.files.download import sha256_of
from utils.errors import InputError, run_command
from utils.parallel import parallel_map

FEW_PHOTOS = 20  # MyTimeMachine was published with about 50 photos of a person


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes `train/`, `test/`, `manifest.json` and `contact_sheet.jpg`."""
    opts = parse_personal_options(arguments, __doc__ or "")
    album, output = Path(opts.input_dir), Path(opts.output_dir)
    paths, others = list_album(album, output)
    names = [path.relative_to(album).as_posix() for path in paths]
    table = read_age_table(opts.ages, names) if opts.ages else None
    keep = set(resolve_names(opts.keep, names, "--keep").values())
    drop = set(resolve_names(opts.drop, names, "--drop").values())
    old = earlier_outputs(output)
    restorer = Restorer(opts.enhance, select_device(opts.device)) if opts.enhance else None
    predictor_path()

    photos = measure([*paths, *map(Path, opts.reference)], album, output, opts.num_workers)
    photos, reference_photos = photos[: len(paths)], photos[len(paths) :]
    ages = [age_of(photo, table, opts.birth_date) for photo in photos]
    verdicts = judge(photos, ages, opts.limits, reference_descriptors(reference_photos), keep, drop)
    verdicts = split(verdicts, opts.test_range, opts.test_share or 0.0)

    crop, weights = CROPS[opts.crop], sha256_of(Path(opts.enhance)) if opts.enhance else ""
    accepted = [verdict for verdict in verdicts if verdict.accepted]
    cached = {
        v.photo.name: output / "cache" / "faces" / f"{face_key(v, opts.size, crop, weights)}.png"
        for v in accepted
    }
    jobs = [(verdict, cached[verdict.photo.name]) for verdict in accepted]
    done = make_faces(jobs, opts.size, crop, opts.num_workers, restorer)
    for _ in tqdm(done, "enhancing" if restorer else "aligning", len(jobs), unit="face", disable=not jobs):
        pass
    outputs = output_names(verdicts)
    ignored = [path.relative_to(album).as_posix() for path in others]
    describe = partial(manifest, verdicts, outputs, settings(opts), ignored)
    update_folder(output, {outputs[name]: path for name, path in cached.items()}, old, describe)
    write_contact_sheet(verdicts, cached, output)
    report(verdicts, ignored, output)


def measure(paths: Sequence[Path], album: Path, output: Path, workers: int) -> list[Photo]:
    """Measures all photos; a bar shows how far it is."""
    job = partial(measure_photo, album=album, cache_folder=output / "cache" / "photos")
    return list(tqdm(parallel_map(job, paths, workers), "measuring", len(paths), unit="photo"))


def reference_descriptors(photos: Sequence[Photo]) -> np.ndarray | None:
    """Descriptors (R, 128) of the main face of each reference photo; None without one.

    Raises:
        InputError: a reference photo cannot be read or shows no face or several.
    """
    for photo in photos:
        if photo.problem or len(photo.faces) != 1:
            problem = photo.problem or (f"{len(photo.faces)} faces" if photo.faces else "no face")
            raise InputError(f"--reference={photo.path}: {problem}; give a photo of the person alone")
    return np.array([photo.faces[0].descriptor for photo in photos]) if photos else None


def settings(opts: argparse.Namespace) -> dict[str, Any]:
    """The options as they stand in the manifest."""
    left_out = ("limits", "num_workers", "device")
    plain = {name: value for name, value in vars(opts).items() if name not in left_out}
    return {**plain, "birth_date": opts.birth_date.isoformat() if opts.birth_date else None}


def report(verdicts: Sequence[Verdict], ignored: Sequence[str], output: Path) -> None:
    """Prints the verdicts on rejected photos and the counts.

    Raises:
        InputError: not one photo was accepted.
    """
    for verdict in verdicts:
        if not verdict.accepted:
            print(f"{verdict.status:<12} {verdict.photo.name}: {verdict.reason}")
    counts = {status: sum(v.status == status for v in verdicts) for status in ("train", "test")}
    rejected = len(verdicts) - sum(counts.values())
    others = f"; {len(ignored)} other files ignored" if ignored else ""
    kinds = f"{counts['train']} for training, {counts['test']} for testing, {rejected} rejected"
    print(f"{len(verdicts)} photos: {kinds}{others}")
    print(f"look at {output / SHEET}; every reason and number is in {output / MANIFEST}")
    if counts["train"] == 0:
        raise InputError(f"no photo in this folder can be used; {output / SHEET} shows why")
    if counts["train"] < FEW_PHOTOS:
        print(f"note: {counts['train']} training photos are few; about 50 are usual", file=sys.stderr)


if __name__ == "__main__":
    run_command(main)
