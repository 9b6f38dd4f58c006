"""The command lines that align the faces of a folder of photos."""

import os
from dataclasses import dataclass, replace

from utils.errors import InputError
from utils.faces.alignment import CROPS, Crop
from utils.typed_options import Options, number, option, path, positive

SMALLEST, LARGEST = 16, 4096  # pixels of an aligned face


@dataclass(frozen=True, kw_only=True)
class PhotoFolders(Options):
    """Where the photos lie and where the faces go."""

    title = "files"

    input_dir: str = option(kind=path, help="photos, searched recursively", metavar="DIR")
    output_dir: str = option(kind=path, help="results: same tree, same names", metavar="DIR")
    format: str = option("png", str, "of the results", choices=("png", "jpg"))
    overwrite: bool = option(False, help="replace whatever has the name of a result")


@dataclass(frozen=True, kw_only=True)
class SquareOptions(Options):
    """What is cut out of a photo."""

    title = "the square"

    size: int = option(128, positive, "side of the results", metavar="PIXELS")
    crop: str = option("tight", str, "tight: the demo models; ffhq: 1024", choices=tuple(CROPS))
    s: float | None = option(None, number, "size of the square instead of the crop's", metavar="FACTOR")
    k: float | None = option(None, number, "centre, 0 eyes to 1 mouth, likewise", metavar="FRACTION")
    all_faces: bool = option(False, help="write every face, not only the main one")

    def check(self) -> None:
        """Raises ``InputError`` for a square that cannot be cut."""
        check_size(self.size)
        square = self.square
        if not 0 < square.s <= 10 or not -10 <= square.k <= 10:
            raise InputError(f"--s={square.s} --k={square.k}: s must lie in 0..10 (not 0), k in -10..10")

    @property
    def square(self) -> Crop:
        """Constants of the square."""
        crop = CROPS[self.crop]
        return replace(crop, s=crop.s if self.s is None else self.s, k=crop.k if self.k is None else self.k)


@dataclass(frozen=True, kw_only=True)
class WorkOptions(Options):
    """How the work is done."""

    title = "work"

    num_workers: int = option(os.cpu_count() or 1, positive, "processes", metavar="N")
    quiet: bool = option(False, help="name only the photos without a result")


@dataclass(frozen=True, kw_only=True)
class AlignOptions(PhotoFolders, SquareOptions, WorkOptions):
    """Options of `scripts/align_faces.py`."""


@dataclass(frozen=True, kw_only=True)
class AlignAllOptions(Options):
    """Options of `scripts/align_all_parallel.py`, the official ones."""

    title = "alignment"

    num_threads: int = option(1, positive, "processes", metavar="N")
    root_path: str = option("", path, "photos, searched recursively", metavar="DIR")

    def check(self) -> None:
        """Raises ``InputError`` if the photos were not named."""
        if not self.root_path:
            raise InputError("--root_path is missing; name the folder with the photos")


def check_size(size: int) -> None:
    """Raises ``InputError`` for a side in pixels that no aligned face can have."""
    if not SMALLEST <= size <= LARGEST:
        raise InputError(f"--size={size} is out of range; use {SMALLEST} to {LARGEST} pixels")
