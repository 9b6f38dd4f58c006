"""One photo and its aged versions, as pictures: the face alone, or the faces put back into the photo."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from utils.faces.paste import FacePhoto
from utils.pictures.tensors import to_pil
from utils.pictures.writing import save_original, save_pil

SHEET_SIDE = 1024  # pixels of whole photos on sheets and strips, which hold many of them


@dataclass(frozen=True)
class AgedPhoto:
    """One photo with F faces and their aged versions, on the CPU.

    Attributes:
        name: path of its results below their folder.
        stem: the same for results of another format, without suffix.
        path: its file.
        number: counted over the usable photos of the whole run.
        images: ``(F, 3, S, S)``, the faces as the model saw them.
        faces: ``(F, 3, R, R)`` uint8, the same at the size of the results.
        ages: ``(F, A)`` target ages in years.
        results: ``(F, A, 3, R, R)`` uint8.
        read_photo: gives what the faces were cut from, None where the input was an aligned face.
    """

    name: Path
    stem: Path
    path: Path
    number: int
    images: Tensor
    faces: Tensor
    ages: Tensor
    results: Tensor
    read_photo: Callable[[], FacePhoto] | None

    @property
    def photo(self) -> FacePhoto | None:
        """What the faces were cut from, None where the input was an aligned face.

        Raises:
            InputError: the photo cannot be read any more.
        """
        return None if self.read_photo is None else self.read_photo()

    def original(self) -> Image.Image:
        """The input: the whole photo, or the aligned face."""
        return to_pil(self.faces) if self.photo is None else Image.fromarray(self.photo.pixels)

    def picture(self, faces: Tensor) -> Image.Image:
        """Pictures of the faces, ``(F, 3, R, R)``, put back into the photo where there is one; in sRGB."""
        return to_pil(faces) if self.photo is None else self.photo.with_faces(_arrays(faces))

    def pictures(self) -> list[Image.Image]:
        """The results at all target ages."""
        return [self.picture(faces) for faces in self.results.unbind(1)]

    def for_sheet(self, side: int = SHEET_SIDE) -> "AgedPhoto":
        """The same with a whole photo reduced to ``side`` pixels; an aligned face stays as it is."""
        if self.photo is None:
            return self
        reduced = self.photo.reduced(side)
        return replace(self, read_photo=lambda: reduced)

    def save(self, faces: Tensor, path: Path) -> None:
        """Writes pictures of the faces, ``(F, 3, R, R)``: the photo with them as its file was, or a face.

        Raises:
            InputError: the file cannot be written.
        """
        if self.photo is None or self.photo.original is None:
            save_pil(self.picture(faces), path)
        else:
            save_original(self.photo.original_with(_arrays(faces)), self.photo.original, path)


def _arrays(faces: Tensor) -> Sequence[np.ndarray]:
    return [np.asarray(to_pil(face)) for face in faces]
