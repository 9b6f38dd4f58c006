"""Photos of one person that a visitor looks through: which are kept, and how old the person is in each."""

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from datasets.personal.measures import THUMBNAIL
from datasets.personal.output import framed_thumbnail
from datasets.personal.verdicts import Verdict
from inference.personal_album import PersonalAlbum
from options.personal_options import PersonalOptions, day
from utils.errors import InputError
from utils.pictures.writing import save_pil

FEWEST = 4  # photos of different ages from which an adapter can learn anything
HOLD_OUT_FROM, HELD_OUT = 10, 0.2  # from so many photos on, this share is kept from the training


class OpenAlbum:
    """Photos with their verdicts, which the visitor may overrule.

    Args:
        photos: folder of them.
        output: folder of the data set.
        crop: how the model wants faces cut.
        birth_date: of the person, as 1980-12-31; empty where the names tell the ages.

    Raises:
        InputError: the date is none, or no photo can be looked at.
    """

    def __init__(self, photos: Path, output: Path, crop: str, birth_date: str) -> None:
        try:
            born = day(birth_date.strip()) if birth_date.strip() else None
        except argparse.ArgumentTypeError as error:
            raise InputError(str(error)) from error
        self.opts = PersonalOptions(input_dir=str(photos), output_dir=str(output), crop=crop, birth_date=born)
        self.album = PersonalAlbum(self.opts)
        self.keep: set[str] = set()
        self.drop: set[str] = set()
        self.ages: dict[str, float] = {}
        self.verdicts = self._judged()

    @property
    def accepted(self) -> int:
        """How many photos become training data."""
        return sum(verdict.accepted for verdict in self.verdicts)

    def overrule(self, index: int) -> None:
        """Keeps a photo that was left out, or leaves out one that was kept.

        Raises:
            InputError: what is left cannot be judged; nothing is changed then.
        """
        name, before = self.verdicts[index].photo.name, (set(self.keep), set(self.drop))
        into, out_of = (self.drop, self.keep) if self.verdicts[index].accepted else (self.keep, self.drop)
        into.add(name)
        out_of.discard(name)
        try:
            self.verdicts = self._judged()
        except InputError:
            self.keep, self.drop = before
            raise

    def set_age(self, index: int, years: float) -> None:
        """Says how old the person is in a photo."""
        self.ages[self.verdicts[index].photo.name] = years
        self.verdicts = self._judged()

    def _judged(self) -> list[Verdict]:
        return self.album.verdicts(self.keep, self.drop, self.ages)

    def gallery(self, folder: Path) -> list[tuple[Path, str]]:
        """A small picture of each photo with its verdict; files in a folder of the visitor."""
        return [
            (_thumbnail(verdict, folder / f"{number}.png"), _caption(verdict))
            for number, verdict in enumerate(self.verdicts)
        ]

    def write(self) -> int:
        """Writes the data set, some of it held out where there is enough; returns the number of photos.

        Raises:
            InputError: there are too few photos, or of one age only.
        """
        good = [verdict for verdict in self.verdicts if verdict.accepted]
        ages = {verdict.age.years for verdict in good}
        if len(good) < FEWEST or len(ages) < 2:
            raise InputError(
                f"{len(good)} photos of {len(ages)} ages are too few: at least {FEWEST} of several ages are "
                "needed, and about 50 are usual"
            )
        share = HELD_OUT if len(good) >= HOLD_OUT_FROM else 0.0
        self.album.opts = replace(self.opts, test_share=share or None)
        self.album.write(self._judged())
        shutil.rmtree(self.album.cache, ignore_errors=True)
        return len(good)


def _thumbnail(verdict: Verdict, path: Path) -> Path:
    if not path.exists():
        picture = framed_thumbnail(verdict.photo, verdict.face)
        save_pil(picture or Image.new("RGB", (THUMBNAIL, THUMBNAIL), "lightgrey"), path)
    return path


def _caption(verdict: Verdict) -> str:
    years = "" if verdict.age.years is None else f"{verdict.age.years:g} years"
    if verdict.accepted:
        return f"✓ {years}"
    return f"✗ {verdict.status}: {verdict.reason}" + (f" ({years})" if years else "")


def names_of(photos: Sequence[Path]) -> list[str]:
    """File names, each once: a second one of a name gets a number before it."""
    names: list[str] = []
    for number, path in enumerate(photos):
        names.append(path.name if path.name not in names else f"{number}/{path.name}")
    return names
