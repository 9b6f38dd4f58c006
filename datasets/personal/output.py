"""The folder of a personal data set: `train/`, `test/`, the manifest and the contact sheet.

The manifest is written first, with what is about to appear and what is about to go, so that a run that was
killed half way leaves no file that the next one would not know.
"""

import json
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from datasets.personal.measures import THUMBNAIL, Photo
from datasets.personal.verdicts import REASONS, TEST, TRAIN, Verdict
from utils.errors import InputError
from utils.files.writing import write_json, written_atomically
from utils.pictures.contact_sheet import Cell, contact_sheet
from utils.pictures.reading import open_rgb
from utils.pictures.writing import save_pil

MANIFEST, SHEET = "manifest.json", "contact_sheet.jpg"
FEW_PHOTOS = 20  # MyTimeMachine was published with about 50 photos of a person
_COLOURS = {TRAIN: "green", TEST: "royalblue"}


def output_names(verdicts: Sequence[Verdict]) -> dict[str, str]:
    """Names the accepted pictures ``train/{age}_{idx}.png`` or ``test/...``, numbered by age and name.

    Returns:
        name of the photo -> path below the output folder.
    """
    accepted = [verdict for verdict in verdicts if verdict.accepted]
    accepted.sort(key=lambda verdict: (verdict.age.years, verdict.photo.name))
    digits = max(2, len(str(len(accepted) - 1)))
    return {
        verdict.photo.name: f"{verdict.status}/{verdict.age.years:g}_{number:0{digits}d}.png"
        for number, verdict in enumerate(accepted)
    }


def earlier_outputs(folder: Path) -> set[str]:
    """Pictures that earlier runs made in the output folder, by their manifest.

    Raises:
        InputError: the manifest is damaged, or there are pictures that it does not know.
    """
    path = folder / MANIFEST
    known: set[str] = set()
    if path.exists():
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            known = {photo["output"] for photo in content["photos"] if photo["output"]} | set(
                content["stale"]
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is damaged or no manifest; name another --output_dir") from error
    found = {
        f"{part}/{file.name}"
        for part in (TRAIN, TEST)
        if (folder / part).is_dir()
        for file in (folder / part).iterdir()
        if not file.name.startswith(".")
    }
    if found - known:
        raise InputError(
            f"{folder / min(found - known)} was not made by this command, and training would use it; "
            "name another --output_dir"
        )
    return known


def manifest(
    verdicts: Sequence[Verdict],
    outputs: Mapping[str, str],
    settings: Mapping[str, Any],
    ignored: Sequence[str],
) -> dict[str, Any]:
    """The manifest of a finished data set.

    Args:
        verdicts: on all photos.
        outputs: of :func:`output_names`.
        settings: the options.
        ignored: files of the album that are no photos.

    Returns:
        settings, counts, and for every photo the verdict and the numbers behind it.
    """
    counts = Counter(verdict.status for verdict in verdicts)
    return {
        "complete": True,
        "settings": dict(settings),
        "counts": {status: counts[status] for status in (TRAIN, TEST, *REASONS) if counts[status]},
        "photos": [_entry(verdict, outputs.get(verdict.photo.name)) for verdict in verdicts],
        "ignored_files": list(ignored),
        "stale": [],
    }


def _entry(verdict: Verdict, output: str | None) -> dict[str, Any]:
    photo, age = verdict.photo, verdict.age
    entry: dict[str, Any] = {
        "file": photo.name,
        "sha256": photo.sha256,
        "verdict": verdict.status,
        "reason": verdict.reason,
        "output": output,
        "age": age.years,
        "age_source": age.source,
        "taken": None if photo.taken is None else photo.taken.isoformat(),
        "width": photo.width,
        "height": photo.height,
        "faces": len(photo.faces),
    }
    if verdict.face is not None:
        face = verdict.measure
        entry["face"] = {
            "number": verdict.face,
            "distance": None if verdict.distance is None else round(verdict.distance, 4),
            "size": round(face.side, 1),
            "sharpness": round(face.sharpness, 2),
            "outside": round(face.outside, 4),
            "yaw": round(face.yaw, 1),
            "pitch": round(face.pitch, 1),
            "detector_score": round(face.score, 3),
            "eyes": [
                face.landmarks[part].mean(0).round(1).tolist() for part in (slice(36, 42), slice(42, 48))
            ],
        }
    return entry


def write_data_set(
    folder: Path,
    verdicts: Sequence[Verdict],
    faces: Mapping[str, Path],
    old: set[str],
    settings: Mapping[str, Any],
    ignored: Sequence[str],
) -> None:
    """Writes `train/`, `test/`, the manifest and the contact sheet.

    Args:
        folder: the output folder.
        verdicts: on all photos.
        faces: name of an accepted photo -> file with its aligned face.
        old: what earlier runs made, see :func:`earlier_outputs`.
        settings: the options, for the manifest.
        ignored: files of the album that are no photos.

    Raises:
        InputError: a file cannot be written.
    """
    outputs = output_names(verdicts)
    content = manifest(verdicts, outputs, settings, ignored)
    update_folder(folder, {outputs[name]: path for name, path in faces.items()}, old, content)
    write_contact_sheet(verdicts, faces, folder)


def update_folder(
    folder: Path, faces: Mapping[str, Path], old: set[str], finished: Mapping[str, Any]
) -> None:
    """Brings `train/` and `test/` up to date and writes the manifest before and after.

    Args:
        folder: the output folder.
        faces: path below the folder -> file with the picture.
        old: what earlier runs made, see :func:`earlier_outputs`.
        finished: the manifest as it is at the end.

    Raises:
        InputError: a file cannot be written.
    """
    stale = sorted(old - set(faces))
    write_json({**finished, "complete": False, "stale": stale}, folder / MANIFEST)
    for name, source in faces.items():
        with written_atomically(folder / name) as temporary:
            shutil.copyfile(source, temporary)
    for name in stale:
        _remove(folder / name)
    write_json(finished, folder / MANIFEST)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot remove {path}: {error.strerror}; the same command continues") from error


def write_contact_sheet(verdicts: Sequence[Verdict], faces: Mapping[str, Path], folder: Path) -> Path:
    """Draws accepted faces by age, then rejected photos by reason with the judged face framed.

    Args:
        verdicts: on all photos.
        faces: name of an accepted photo -> file with its aligned face.
        folder: the output folder.
    """
    sections: list[tuple[str, list[Cell]]] = []
    for status in (TRAIN, TEST, *REASONS):
        chosen = [verdict for verdict in verdicts if verdict.status == status]
        chosen.sort(key=lambda v: (v.age.years if v.accepted else 0, v.photo.name))
        if not chosen:
            continue
        cells = []
        for verdict in chosen:
            age = "" if verdict.age.years is None else f"age {verdict.age.years:g}"
            far = "" if verdict.distance is None else f", distance {verdict.distance:.2f}"
            if verdict.accepted:
                picture: Image.Image | None = open_rgb(faces[verdict.photo.name])
                lines = [f"{age}{far}", verdict.photo.name, verdict.reason]
            else:
                picture = _framed_thumbnail(verdict.photo, verdict.face)
                lines = [verdict.photo.name, verdict.reason]
            cells.append(Cell(picture, [line for line in lines if line], _COLOURS.get(status, "firebrick")))
        kind = "accepted" if status in (TRAIN, TEST) else "rejected"
        sections.append((f"{kind}: {status} ({len(cells)})", cells))
    save_pil(contact_sheet(sections, side=THUMBNAIL), folder / SHEET)
    return folder / SHEET


def _framed_thumbnail(photo: Photo, face: int | None) -> Image.Image | None:
    """The thumbnail of a photo with a box about one face."""
    if photo.thumbnail is None:
        return None
    picture = Image.fromarray(photo.thumbnail)
    if face is not None:
        points = photo.faces[face].landmarks * (picture.width / photo.width)
        ImageDraw.Draw(picture).rectangle([*points.min(0), *points.max(0)], outline="yellow", width=2)
    return picture


def report(verdicts: Sequence[Verdict], ignored: Sequence[str], folder: Path) -> None:
    """Prints the verdicts on rejected photos and the counts.

    Args:
        verdicts: on all photos.
        ignored: other files of the album.
        folder: of the data set.

    Raises:
        InputError: not one photo was accepted.
    """
    for verdict in verdicts:
        if not verdict.accepted:
            print(f"{verdict.status:<12} {verdict.photo.name}: {verdict.reason}")
    train, test = (sum(verdict.status == status for verdict in verdicts) for status in (TRAIN, TEST))
    others = f"; {len(ignored)} other files ignored" if ignored else ""
    kinds = f"{train} for training, {test} for testing, {len(verdicts) - train - test} rejected"
    print(f"{len(verdicts)} photos: {kinds}{others}")
    print(f"look at {folder / SHEET}; every reason and number is in {folder / MANIFEST}")
    if train == 0:
        raise InputError(f"no photo in this folder can be used; {folder / SHEET} shows why")
    if train < FEW_PHOTOS:
        print(f"note: {train} training photos are few; about 50 are usual", file=sys.stderr)
