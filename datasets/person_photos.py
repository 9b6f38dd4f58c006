"""The aligned photos of one person, with their ages."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from datasets.age_parsing import parse_age
from datasets.faces import FaceFolder
from utils.errors import InputError
from utils.pictures.archives import is_archive
from utils.pictures.reading import read_image
from utils.pictures.tensors import resize


@dataclass(frozen=True)
class PersonPhotos:
    """Aligned photos of one person.

    Attributes:
        images: (N, 3, S, S) in [-1, 1].
        ages: (N,) years; NaN where a photo names none.
        names: N file names.
        paths: N files; none of photos that were made here.
    """

    images: Tensor
    ages: Tensor
    names: tuple[str, ...]
    paths: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.names)

    def subset(self, indices: Sequence[int]) -> "PersonPhotos":
        """Some of the photos."""
        chosen = list(indices)
        names = tuple(self.names[i] for i in chosen)
        paths = tuple(self.paths[i] for i in chosen if self.paths)
        return PersonPhotos(self.images[chosen], self.ages[chosen], names, paths)

    def picture(self, index: int, size: int) -> Tensor:
        """One photo (3, size, size), of its file as far as there is one: ``images`` may be smaller."""
        if self.paths:
            return read_image(self.paths[index], size, "lanczos")
        return resize(self.images[index][None], size)[0]


def load_person(
    path: str | Path, size: int, require_age: bool = True, own_output: Sequence[str | Path] = ()
) -> PersonPhotos:
    """Reads the photos `{age}_{idx}` of a folder or zip archive, or one photo.

    Raises:
        InputError: no such path, no pictures, a photo without an age where one is needed.
    """
    path = Path(path)
    if path.is_file() and not is_archive(path):
        try:
            age = parse_age(path)
        except InputError:
            if require_age:
                raise
            age = math.nan
        return PersonPhotos(read_image(path, size)[None], torch.tensor([age]), (path.name,), (path,))
    folder = FaceFolder(path, size, require_age, own_output=own_output)
    images = folder.batch(list(range(len(folder))))["image"]
    names = tuple(str(p.relative_to(path)) for p in folder.paths)
    return PersonPhotos(images, folder.ages, names, tuple(folder.paths))


def middle_photo(photos: PersonPhotos) -> PersonPhotos:
    """The photo of the median age, the fairest one to show a whole life span from."""
    order = photos.ages.nan_to_num(50.0).argsort().tolist()
    return photos.subset([order[len(order) // 2]])
