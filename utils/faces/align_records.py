"""What an aligned face was made of, written into its file: whose it is, and whether it is up to date."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from utils.errors import InputError
from utils.faces.alignment import Crop
from utils.pictures.opening import with_picture

VERSION = 1  # of the alignment; a change makes earlier faces out of date
_IMAGE_HISTORY = 0x9213  # the EXIF entry about what was done to a picture
_MARK = "aligned by AgeLab "
Record = Mapping[str, Any]


def face_record(photo: str, size: int, crop: Crop, face: int, further: str | None) -> Record:
    """Describes an aligned face.

    Args:
        photo: checksum of the photo's file.
        size: side of the face in pixels.
        crop: constants of the square.
        face: number within the photo, 0 the main one.
        further: how the names of the photo's other faces begin; None if they are not written.
    """
    return {
        "version": VERSION,
        "photo": photo,
        "size": size,
        "crop": asdict(crop),
        "face": face,
        "further": further,
    }


def as_metadata(record: Record) -> dict[str, bytes]:
    """A record as ``metadata`` of :func:`utils.pictures.writing.save_pil`."""
    exif = Image.Exif()
    exif[_IMAGE_HISTORY] = _MARK + json.dumps(record, sort_keys=True)
    return {"exif": exif.tobytes()}


def read_record(path: Path) -> Record | None:
    """The record in a picture; empty if it cannot be understood, None where it is missing."""
    try:
        text = with_picture(path, lambda image: str(image.getexif().get(_IMAGE_HISTORY, "")))
    except InputError:
        return None
    if not text.startswith(_MARK):
        return None
    try:
        content = json.loads(text.removeprefix(_MARK))
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def serves(found: Record, wanted: Record) -> bool:
    """Whether a face with one record is what another asks for; further faces beside it do no harm."""
    return found == wanted or {**found, "further": None} == wanted
