"""Pictures to files, whole or not at all; no other module writes a picture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from utils.errors import InputError
from utils.files.writing import written_atomically
from utils.pictures.tensors import to_pil

KEEPS_METADATA = frozenset({"JPEG", "PNG", "WEBP"})


def save_pil(image: Image.Image, path: str | Path, metadata: Mapping[str, bytes] | None = None) -> None:
    """Writes a picture under a temporary name, then renames it: a killed run leaves no half picture.

    Args:
        image: the picture.
        path: its suffix gives the format.
        metadata: of :func:`open_photo`; written to JPEG, PNG and WebP files.
    """
    path = Path(path)
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None:
        raise InputError(f"cannot write {path}: unknown picture format {path.suffix!r}; use .png or .jpg")
    options: dict[str, Any] = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    if kind in KEEPS_METADATA:
        options |= metadata or {}
    with written_atomically(path) as temporary:
        image.save(temporary, format=kind, **options)


def write_image(image: Tensor, path: str | Path) -> None:
    """Writes one picture, ``(3, H, W)`` in [-1, 1] or uint8, atomically; the suffix gives the format."""
    save_pil(to_pil(image), path)
