"""An album of photos: which files it has, and all its photos measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from datasets.personal.measures import UNREAD, Photo, measure_photo
from utils.errors import InputError
from utils.faces.alignment import predictor_path
from utils.notes import note
from utils.parallel import parallel_map
from utils.pictures.archives import is_archive
from utils.pictures.listing import EXTENSIONS, find_pictures


@dataclass(frozen=True)
class PhotoAlbum:
    """The files of an album.

    Attributes:
        folder: where it lies.
        paths: its photos, those of formats that are not read here too.
        others: its other files.
    """

    folder: Path
    paths: Sequence[Path]
    others: Sequence[Path]

    @property
    def names(self) -> list[str]:
        """Paths of the photos below the folder, with forward slashes."""
        return [path.relative_to(self.folder).as_posix() for path in self.paths]

    @property
    def ignored(self) -> list[str]:
        """Paths of the other files below the folder, with forward slashes."""
        return [path.relative_to(self.folder).as_posix() for path in self.others]

    def measure(
        self, references: Sequence[str], cache: Path, workers: int
    ) -> tuple[list[Photo], np.ndarray | None]:
        """Measures the photos of the album and of the person; a bar shows how far it is.

        Args:
            references: files of photos of the person alone.
            cache: folder of the measurements.
            workers: processes.

        Returns:
            The photos of the album, and the descriptors (R, 128) of the references, None without any.

        Raises:
            InputError: dlib or its model files are not installed, the cache cannot be written, or a reference
                cannot be read or shows no face or several.
        """
        predictor_path()
        job = partial(measure_photo, album=self.folder, cache_folder=cache)
        paths = [*self.paths, *map(Path, references)]
        photos = list(tqdm(parallel_map(job, paths, workers), "measuring", len(paths), unit="photo"))
        own = len(self.paths)
        return photos[:own], _descriptors(photos[own:])


def open_album(folder: str | Path, leave_out: str | Path) -> PhotoAlbum:
    """Finds the files below a folder, see ``utils.pictures.listing.find_pictures``; notes go to stderr.

    The folder ``leave_out``, if it lies inside, does not belong to the album.

    Raises:
        InputError: no such folder, or no photo in it.
    """
    root = Path(folder)
    if root.is_file() and not is_archive(root):
        raise InputError(f"{root} is a file; name the folder of photos")
    found = find_pictures(root, [leave_out])
    for text in found.notes:
        note(text)
    unread = [path for path in found.others if path.suffix.lower() in UNREAD]
    if not found.pictures and not unread:
        kinds = " ".join(sorted(extension[1:] for extension in EXTENSIONS))
        raise InputError(f"no photos in {root} (looked for {kinds}, in sub-folders too)")
    return PhotoAlbum(
        root,
        sorted([*found.pictures, *unread], key=lambda path: (str(path.parent), path.name)),
        [path for path in found.others if path.suffix.lower() not in UNREAD],
    )


def _descriptors(references: Sequence[Photo]) -> np.ndarray | None:
    for photo in references:
        if photo.problem or len(photo.faces) != 1:
            problem = photo.problem or (f"{len(photo.faces)} faces" if photo.faces else "no face")
            raise InputError(f"--reference={photo.path}: {problem}; give a photo of the person alone")
    return np.array([photo.faces[0].descriptor for photo in references]) if references else None
