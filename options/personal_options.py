"""The command line of `scripts/prepare_personal.py`."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from datasets.personal.verdicts import Thresholds
from options.align_options import check_size
from utils.errors import InputError
from utils.faces.alignment import CROPS
from utils.typed_options import (
    Options,
    count,
    fraction,
    option,
    path,
    positive,
    rate,
    weight,
)

SIZES = {"tight": 128, "ffhq": 1024}
ENCODER_INPUT = 256  # pixels of the faces that SAM's encoder reads
_USUAL = Thresholds()


def day(text: str) -> date:
    """A date such as 1980-12-31."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date; write it as 1980-12-31") from None


def age_ranges(text: str) -> tuple[tuple[float, float], ...]:
    """Ranges of ages in years, separated by commas."""
    ranges = []
    for part in text.split(",") if text else ():
        try:
            low, high = (float(age) for age in part.split("-"))
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text}: give ages such as 40-50 or 20-25,60-70") from None
        if not low <= high:
            raise argparse.ArgumentTypeError(f"{text}: the ages must rise")
        ranges.append((low, high))
    return tuple(ranges)


def _check_file(flag: str, file: str | None) -> None:
    if file and not Path(file).is_file():
        raise InputError(f"--{flag}={file}: no such file")


@dataclass(frozen=True, kw_only=True)
class AlbumFolders(Options):
    """Where the photos lie and where the data set goes."""

    title = "files"

    input_dir: str = option(kind=path, help="photos, searched recursively, never changed", metavar="DIR")
    output_dir: str = option(
        kind=path, help="train, test, manifest.json, contact_sheet.jpg, cache", metavar="DIR"
    )

    def check(self) -> None:
        """Raises ``InputError`` if the data set would land among the photos."""
        album, output = Path(self.input_dir).resolve(), Path(self.output_dir).resolve()
        if output == album or output in album.parents:
            raise InputError(
                f"--output_dir={self.output_dir} holds the photos themselves; name another folder"
            )
        if output.exists() and not output.is_dir():
            raise InputError(f"--output_dir={self.output_dir} is a file; name a folder")


@dataclass(frozen=True, kw_only=True)
class FaceOptions(Options):
    """How the accepted faces are cut out."""

    title = "the aligned faces"

    crop: str = option("tight", str, "tight: the demo models; ffhq: SAM", choices=tuple(CROPS))
    size: int | None = option(None, positive, "side; without it 128, for ffhq 1024", metavar="PIXELS")
    enhance: str | None = option(
        None, path, "enhance the faces by this GFPGAN or Real-ESRGAN file (spandrel)", metavar="WEIGHTS"
    )
    device: str = option("auto", str, "of --enhance: auto, cpu, cuda, cuda:N or mps")

    def check(self) -> None:
        """Raises ``InputError`` for a size out of range or a missing file."""
        check_size(self.side)
        _check_file("enhance", self.enhance)

    @property
    def side(self) -> int:
        """Side of the aligned faces in pixels."""
        return self.size or SIZES[self.crop]


@dataclass(frozen=True, kw_only=True)
class AgeOptions(Options):
    """Where the ages come from."""

    title = "ages: from --ages, then the date of the photo, then names {age}_{idx}"

    ages: str | None = option(None, path, "lines of file,age", metavar="CSV")
    birth_date: date | None = option(None, day, "use the EXIF date of the photos", metavar="YYYY-MM-DD")

    def check(self) -> None:
        """Raises ``InputError`` if there is no such table."""
        _check_file("ages", self.ages)


@dataclass(frozen=True, kw_only=True)
class PersonOptions(Options):
    """Who is meant."""

    title = "the person: without a reference, who is in most of the photos"

    reference: Sequence[str] = option((), path, "photos of the person alone", nargs="+", metavar="PHOTO")
    identity_distance: float = option(
        _USUAL.identity_distance, rate, "greatest distance of a face from the person's mean descriptor"
    )

    def check(self) -> None:
        """Raises ``InputError`` if a photo is missing."""
        for photo in self.reference:
            _check_file("reference", photo)


@dataclass(frozen=True, kw_only=True)
class QualityOptions(Options):
    """What makes a face good enough."""

    title = "quality: a face is rejected outside these limits"

    min_size: float | None = option(
        None,
        weight,
        "side of the square in the photo; without it half of --size, at most 256",
        metavar="PIXELS",
    )
    min_sharpness: float = option(_USUAL.min_sharpness, weight, "fine over coarse detail")
    max_outside: float = option(_USUAL.max_outside, fraction, "share of the face beyond the photo")
    max_yaw: float = option(_USUAL.max_yaw, weight, "to the side", metavar="DEGREES")
    max_pitch: float = option(_USUAL.max_pitch, weight, "up, down", metavar="DEGREES")


@dataclass(frozen=True, kw_only=True)
class DuplicateOptions(Options):
    """Which photos show the same."""

    title = "near-duplicates: the largest of them stays"

    duplicate_distance: float = option(
        _USUAL.duplicate_distance, weight, "descriptors as near as this are one photo"
    )
    duplicate_correlation: float = option(
        _USUAL.duplicate_correlation,
        weight,
        "faces that look so much alike are one photo (above 1: never)",
    )


@dataclass(frozen=True, kw_only=True)
class OverrulingOptions(Options):
    """What the user knows better."""

    title = "your word, after a look at the contact sheet"

    keep: Sequence[str] = option((), str, "let no filter reject these", nargs="+", metavar="PHOTO")
    drop: Sequence[str] = option((), str, "leave these out", nargs="+", metavar="PHOTO")


@dataclass(frozen=True, kw_only=True)
class SplitOptions(Options):
    """Which photos are kept from training."""

    title = "split: without one of these, all photos are for training"

    test_range: Sequence[tuple[float, float]] = option(
        (), age_ranges, "photos of these ages become test photos", metavar="A-B,..."
    )
    test_share: float | None = option(None, fraction, "so many, evenly over the ages", metavar="SHARE")

    def check(self) -> None:
        """Raises ``InputError`` for two ways to split, or one that leaves nothing."""
        if self.test_range and self.test_share:
            raise InputError("--test_range and --test_share are two ways to split; give one")
        if self.test_share == 1:
            raise InputError("--test_share=1 leaves no photo to train on")


@dataclass(frozen=True, kw_only=True)
class ProcessOptions(Options):
    """How the work is done."""

    title = "work"

    num_workers: int = option(os.cpu_count() or 1, count, "processes", metavar="N")


@dataclass(frozen=True, kw_only=True)
class PersonalOptions(
    AlbumFolders,
    FaceOptions,
    AgeOptions,
    PersonOptions,
    QualityOptions,
    DuplicateOptions,
    OverrulingOptions,
    SplitOptions,
    ProcessOptions,
):
    """Options of `scripts/prepare_personal.py`."""

    @property
    def smallest_face(self) -> float:
        """Side in pixels that the square of ``--crop`` has at least in a photo."""
        return min(self.side / 2, ENCODER_INPUT) if self.min_size is None else self.min_size

    @property
    def limits(self) -> Thresholds:
        """Limits of the filters, which measure the tight square: 0.58 of FFHQ's about the same face."""
        return Thresholds(
            min_size=self.smallest_face * CROPS["tight"].s / CROPS[self.crop].s,
            min_sharpness=self.min_sharpness,
            max_outside=self.max_outside,
            max_yaw=self.max_yaw,
            max_pitch=self.max_pitch,
            identity_distance=self.identity_distance,
            duplicate_distance=self.duplicate_distance,
            duplicate_correlation=self.duplicate_correlation,
        )

    def settings(self) -> dict[str, Any]:
        """The options as they stand in the manifest: those on which the result depends, as they were used."""
        born = self.birth_date.isoformat() if self.birth_date else None
        values = {
            **self.record(),
            "size": self.side,
            "min_size": self.smallest_face,
            "birth_date": born,
        }
        return {name: value for name, value in values.items() if name not in ("device", "num_workers")}
