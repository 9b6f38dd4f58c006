"""Makes the faces of a data set of IMDB-WIKI's photos, and finds those that an earlier run has made."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from datasets.imdb_wiki.metadata import Box, Portrait
from utils.errors import InputError, explained
from utils.faces.align_folder import (
    ALIGNED,
    EXISTS,
    KEPT,
    NOT_WRITTEN,
    UNREADABLE,
    Outcome,
    Pair,
    Settings,
    align_file,
)
from utils.faces.align_records import as_metadata, read_record
from utils.faces.alignment import Crop, warp_square
from utils.pictures.opening import digest_of
from utils.pictures.reading import open_rgb, read_pixels
from utils.pictures.writing import save_pil

VERSION = 1  # of the cut; a change makes earlier faces out of date
MISSING = "missing"


@dataclass(frozen=True)
class FaceForm:
    """What is made of every photo.

    Attributes:
        size: side in pixels.
        margin: of the full photo the face's box with so much about it, in sides of the box; None: the whole
            picture, which is a crop of that kind already.
        align: constants of the square about our own landmarks, instead.
        overwrite: replace whatever has the name of a result.
    """

    size: int
    margin: float | None = None
    align: Crop | None = None
    overwrite: bool = False


class Task(NamedTuple):
    """A picture, the file of the face that is made of it, and where the face is."""

    source: Path | None
    target: Path
    box: Box | None


def plan_face(portrait: Portrait, pictures: Path, output: Path, suffix: str) -> Task:
    """Names the result of a portrait ``{age}_{idx}``: idx is 1 for IMDB or 2 for WIKI, then the row.

    It depends on nothing else, so that the same photo has the same name in every run.
    """
    number = {"imdb": 1, "wiki": 2}[portrait.collection]
    target = output / f"{portrait.age}_{number}{portrait.row:06d}{suffix}"
    name = PurePosixPath(portrait.file)
    inside = name.parts and not name.is_absolute() and ".." not in name.parts
    return Task(pictures / name if inside else None, target, portrait.box)


def make_face(task: Task, form: FaceForm) -> Outcome:
    """Makes one face; never raises for a bad photo or a result that cannot be written.

    A face that was made of the same photo in the same way is not made again; a file that this command did not
    make stays.
    """
    source, target, box = task
    if source is None or not os.path.isfile(source):
        return Outcome(source or Path(), target, MISSING)
    if form.align is not None:
        settings = Settings(form.size, form.align, overwrite=form.overwrite)
        return align_file(Pair(source, target, f"{target.stem}_"), settings)
    verdict = partial(Outcome, source, target)
    try:
        wanted = _record(source, box, form)
        if not form.overwrite and os.path.lexists(target):
            found = read_record(target)
            if found is None:
                return verdict(KEPT, f"{target} was not made by this command and stays")
            if found == wanted:
                return verdict(EXISTS)
        face = whole(source, form.size) if form.margin is None else cut(source, box, form.size, form.margin)
    except (InputError, MemoryError) as error:
        return verdict(UNREADABLE, explained(error) or str(error))
    try:
        save_pil(face, target, as_metadata(wanted))
    except (InputError, OSError) as error:
        return verdict(NOT_WRITTEN, explained(error) or str(error))
    return verdict(ALIGNED)


def _record(source: Path, box: Box | None, form: FaceForm) -> Mapping[str, Any]:
    place = None if form.margin is None or box is None else [*box, form.margin]
    return {"version": VERSION, "photo": digest_of(source), "size": form.size, "imdb_wiki": place}


def whole(source: Path, size: int) -> Image.Image:
    """The middle square of a picture, resized."""
    picture = open_rgb(source)
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    return picture.resize((size, size), Image.Resampling.LANCZOS, box, reducing_gap=3.0)


def cut(source: Path, box: Box | None, size: int, margin: float) -> Image.Image:
    """The square about a face's box with a margin, mirrored where it leaves the photo.

    Raises:
        InputError: the photo cannot be read, or the box is empty or not in it.
    """
    pixels = read_pixels(source)
    left, top, right, bottom = box or (math.nan,) * 4
    centre = np.array([left + right, top + bottom]) / 2 - 1  # pixels count from 1 in MATLAB
    side = max(right - left, bottom - top) + 1  # both ends are in it
    inside = (centre >= 0).all() and (centre < (pixels.shape[1], pixels.shape[0])).all()
    if not inside or not 1 < side <= 2 * max(pixels.shape[:2]):
        raise InputError(f"cannot cut {source}: the face's box {box} is not in the photo")
    half = side * (0.5 + margin)
    corners = np.array([[-half, -half], [-half, half], [half, half], [half, -half]])
    return Image.fromarray(warp_square(pixels, centre + corners, size))
