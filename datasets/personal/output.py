"""The folder of a personal data set: `train/`, `test/`, the manifest and the contact sheet.

They are made aside and put in place together, so that an earlier data set stays whatever ends the run.
"""

import contextlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from datasets.personal.measures import THUMBNAIL, Photo
from datasets.personal.replacement import finish_replacement, new_file, replaced
from datasets.personal.verdicts import REASONS, TEST, TRAIN, Verdict
from utils.errors import InputError, one_line
from utils.files.writing import write_json, written_atomically
from utils.notes import note
from utils.pictures.contact_sheet import Cell, contact_sheet
from utils.pictures.reading import open_rgb
from utils.pictures.writing import save_pil

MANIFEST, SHEET, REJECTED = "manifest.json", "contact_sheet.jpg", "rejected"
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


def check_output(folder: Path) -> set[str]:
    """Finishes what an earlier run left undone; returns the pictures that it made, by its manifest.

    Raises:
        InputError: the manifest is damaged, or there are pictures that it does not know.
    """
    finish_replacement(folder)
    path = folder / MANIFEST
    known: set[str] = set()
    if not path.exists() and (folder / SHEET).exists():
        raise InputError(f"{folder / SHEET} was not made by this command; name another --output_dir")
    if path.exists():
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            known = {photo["output"] for photo in content["photos"] if photo["output"]} | set(
                content["stale"]
            )
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
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
    settings: Mapping[str, Any],
    ignored: Sequence[str],
) -> Path:
    """Writes `train/`, `test/`, the manifest and the contact sheet, all together at the end.

    Where no photo is accepted for training and there is an earlier data set, that one stays, and manifest and
    contact sheet go into the sub-folder `rejected/`.

    Args:
        folder: the output folder.
        verdicts: on all photos.
        faces: name of an accepted photo -> file with its aligned face.
        settings: the options, for the manifest.
        ignored: files of the album that are no photos.

    Returns:
        the folder with the manifest and the contact sheet.

    Raises:
        InputError: a file cannot be written.
    """
    outputs = output_names(verdicts)
    content = manifest(verdicts, outputs, settings, ignored)
    if check_output(folder) and not any(verdict.status == TRAIN for verdict in verdicts):
        write_json(content, folder / REJECTED / MANIFEST)
        write_contact_sheet(verdicts, faces, folder / REJECTED / SHEET)
        return folder / REJECTED
    with replaced(folder, (TRAIN, TEST, MANIFEST, SHEET)) as new:
        for name, source in faces.items():
            with written_atomically(new / outputs[name]) as temporary:
                shutil.copyfile(source, temporary)
        write_json(content, new_file(new, MANIFEST))
        write_contact_sheet(verdicts, faces, new_file(new, SHEET))
        check_output(folder)  # a picture that someone put there meanwhile must not go
    _forget_rejected(folder / REJECTED)
    return folder


def _forget_rejected(folder: Path) -> None:
    """Removes what an earlier run without a usable photo left."""
    with contextlib.suppress(OSError):
        for name in (MANIFEST, SHEET):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def write_contact_sheet(verdicts: Sequence[Verdict], faces: Mapping[str, Path], path: Path) -> None:
    """Draws accepted faces by age, then rejected photos by reason with the judged face framed.

    Args:
        verdicts: on all photos.
        faces: name of an accepted photo -> file with its aligned face.
        path: of the sheet.
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
                picture = framed_thumbnail(verdict.photo, verdict.face)
                lines = [verdict.photo.name, verdict.reason]
            cells.append(Cell(picture, [line for line in lines if line], _COLOURS.get(status, "firebrick")))
        kind = "accepted" if status in (TRAIN, TEST) else "rejected"
        sections.append((f"{kind}: {status} ({len(cells)})", cells))
    save_pil(contact_sheet(sections, side=THUMBNAIL), path)


def framed_thumbnail(photo: Photo, face: int | None) -> Image.Image | None:
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
        folder: of the manifest and the contact sheet.

    Raises:
        InputError: not one photo was accepted.
    """
    for verdict in verdicts:
        if not verdict.accepted:
            print(f"{verdict.status:<12} {one_line(f'{verdict.photo.name}: {verdict.reason}')}")
    train, test = (sum(verdict.status == status for verdict in verdicts) for status in (TRAIN, TEST))
    others = f"; {len(ignored)} other files ignored" if ignored else ""
    kinds = f"{train} for training, {test} for testing, {len(verdicts) - train - test} rejected"
    print(f"{len(verdicts)} photos: {kinds}{others}")
    print(f"look at {folder / SHEET}; every reason and number is in {folder / MANIFEST}")
    if train == 0:
        kept = "; the data set of the earlier run stays" if folder.name == REJECTED else ""
        raise InputError(f"no photo in this folder can be used; {folder / SHEET} shows why{kept}")
    if train < FEW_PHOTOS:
        note(f"{train} training photos are few; about 50 are usual")
