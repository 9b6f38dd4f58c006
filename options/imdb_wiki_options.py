"""The command line of `scripts/prepare_imdb_wiki.py`."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from datasets.imdb_wiki.faces import FaceForm
from datasets.imdb_wiki.metadata import Filters
from options.align_options import check_size
from utils.errors import InputError
from utils.faces.alignment import CROPS
from utils.typed_options import Options, number, option, path, positive, weight, years

_PUBLISHED = Filters()


@dataclass(frozen=True, kw_only=True)
class CollectionFolders(Options):
    """Where the tables and photos lie and where the data set goes."""

    title = "files"

    metadata: Sequence[str] = option(kind=path, help="imdb.mat, wiki.mat, or both", nargs="+", metavar="MAT")
    pictures_dir: str | None = option(
        None, path, "where the pictures' paths begin; without it the folder of each table", metavar="DIR"
    )
    output_dir: str = option(kind=path, help="faces {age}_{idx} and manifest.csv", metavar="DIR")
    format: str = option("png", str, "of the faces; jpg takes a quarter of the space", choices=("png", "jpg"))
    overwrite: bool = option(False, help="replace whatever has the name of a result")


@dataclass(frozen=True, kw_only=True)
class FilterOptions(Options):
    """Which photos are used."""

    title = "filters: the defaults are the published ones"

    min_face_score: float | None = option(
        None, number, "of the face detector; without it every photo with a face", metavar="SCORE"
    )
    second_face: bool = option(False, help="use photos with a second face, too")
    min_age: float = option(_PUBLISHED.min_age, years, "the youngest, in years", metavar="YEARS")
    max_age: float = option(_PUBLISHED.max_age, years, "the oldest, in years", metavar="YEARS")

    def check(self) -> None:
        """Raises ``InputError`` for ages that leave none."""
        if self.min_age > self.max_age:
            raise InputError(f"--min_age={self.min_age:g} is above --max_age={self.max_age:g}")

    @property
    def filters(self) -> Filters:
        """The filters that were asked for."""
        return Filters(self.min_face_score, self.second_face, self.min_age, self.max_age)


@dataclass(frozen=True, kw_only=True)
class CutOptions(Options):
    """What is made of a photo."""

    title = "the faces"

    size: int = option(256, positive, "side", metavar="PIXELS")
    pictures: str = option(
        "crops",
        str,
        "crops: imdb_crop and wiki_crop, taken whole; full: photos, cut about the face's box",
        choices=("crops", "full"),
    )
    margin: float = option(0.4, weight, "about the box of full photos, in sides of it", metavar="FACTOR")
    align: bool = option(False, help="align the main face by its landmarks instead, as align_faces.py does")
    crop: str = option("tight", str, "square of --align: tight as the demo, ffhq", choices=tuple(CROPS))

    def check(self) -> None:
        """Raises ``InputError`` for squares that cannot be cut."""
        check_size(self.size)
        if self.margin > 10:
            raise InputError(f"--margin={self.margin:g} is more than 10 sides of the box")


@dataclass(frozen=True, kw_only=True)
class ImdbWikiOptions(CollectionFolders, FilterOptions, CutOptions):
    """Options of `scripts/prepare_imdb_wiki.py`."""

    title = "work"

    num_workers: int = option(os.cpu_count() or 1, positive, "processes", metavar="N")

    @property
    def needs_boxes(self) -> bool:
        """Whether faces are cut by the boxes of the table."""
        return self.pictures == "full" and not self.align

    @property
    def form(self) -> FaceForm:
        """What is made of every photo."""
        margin = self.margin if self.needs_boxes else None
        return FaceForm(self.size, margin, CROPS[self.crop] if self.align else None, self.overwrite)
