"""One photo and its aged versions, as pictures: the face alone, or put back into the photo."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from utils.faces.paste import FacePhoto
from utils.pictures.tensors import to_pil
from utils.pictures.writing import save_pil

SHEET_SIDE = 1024  # pixels of whole photos on sheets and strips, which hold many of them


@dataclass(frozen=True)
class AgedPhoto:
    """One photo and its aged versions, on the CPU.

    Attributes:
        name: path of its results below their folder.
        number: counted over the usable photos of the whole run.
        image: ``(3, S, S)``, the face as the model saw it.
        face: ``(3, R, R)``, the same at the size of the results.
        ages: ``(A,)`` target ages in years.
        results: ``(A, 3, R, R)`` in [-1, 1].
        photo: what the face was cut from, None where the input was an aligned face.
    """

    name: Path
    number: int
    image: Tensor
    face: Tensor
    ages: Tensor
    results: Tensor
    photo: FacePhoto | None

    def original(self) -> Image.Image:
        """The input: the whole photo, or the aligned face."""
        return to_pil(self.face) if self.photo is None else Image.fromarray(self.photo.pixels)

    def picture(self, face: Tensor) -> Image.Image:
        """A face of the model, ``(3, R, R)``, put back into the photo where there is one."""
        picture = to_pil(face)
        return picture if self.photo is None else self.photo.with_face(np.asarray(picture))

    def pictures(self) -> list[Image.Image]:
        """The results at all target ages."""
        return [self.picture(result) for result in self.results]

    def for_sheet(self, side: int = SHEET_SIDE) -> "AgedPhoto":
        """The same with a whole photo reduced to ``side`` pixels; an aligned face stays as it is."""
        return self if self.photo is None else replace(self, photo=self.photo.reduced(side))

    def save(self, picture: Image.Image, path: Path) -> None:
        """Writes a picture with the colour profile of the photo, and with its EXIF data where it is one."""
        kept = {} if self.photo is None else dict(self.photo.metadata)
        if self.photo is not None and picture.size != self.photo.size:
            kept.pop("exif", None)  # of a sheet it would be wrong
        save_pil(picture, path, kept)
