"""The command line of `scripts/prepare_personal.py`."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import fields
from datetime import date
from pathlib import Path

from datasets.personal.verdicts import Thresholds
from options.base_options import count, fraction, positive, rate, weight
from options.inference_options import InferenceParser
from utils.errors import InputError
from utils.faces.alignment import CROPS

SIZES = {"tight": 128, "ffhq": 1024}
ENCODER_INPUT = 256  # pixels of the faces that SAM's encoder reads


def build_parser(description: str) -> argparse.ArgumentParser:
    """Returns the parser."""
    usual = Thresholds()
    parser = InferenceParser(
        description=description, allow_abbrev=False, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    files = parser.add_argument_group("files")
    files.add_argument(
        "--input_dir", required=True, metavar="DIR", help="photos, searched recursively, never changed"
    )
    files.add_argument(
        "--output_dir",
        required=True,
        metavar="DIR",
        help="train, test, manifest.json, contact_sheet.jpg, cache",
    )
    face = parser.add_argument_group("the aligned faces")
    face.add_argument(
        "--crop", choices=tuple(CROPS), default="tight", help="tight: the demo models; ffhq: SAM"
    )
    face.add_argument("--size", type=positive, metavar="PIXELS", help="side; without it 128, for ffhq 1024")
    face.add_argument(
        "--enhance", metavar="WEIGHTS", help="enhance the faces by this GFPGAN or Real-ESRGAN file (spandrel)"
    )
    face.add_argument("--device", default="auto", help="of --enhance: auto, cpu, cuda, cuda:N or mps")

    age = parser.add_argument_group("ages: from --ages, then the date of the photo, then names {age}_{idx}")
    age.add_argument("--ages", metavar="CSV", help="lines of file,age")
    age.add_argument("--birth_date", type=_day, metavar="YYYY-MM-DD", help="use the EXIF date of the photos")

    person = parser.add_argument_group("the person: without a reference, who is in most of the photos")
    person.add_argument(
        "--reference", nargs="+", default=[], metavar="PHOTO", help="photos of the person alone"
    )
    person.add_argument(
        "--identity_distance",
        type=rate,
        default=usual.identity_distance,
        help="greatest distance of a face from the person's mean descriptor",
    )
    quality = parser.add_argument_group("quality: a face is rejected outside these limits")
    quality.add_argument(
        "--min_size",
        type=weight,
        metavar="PIXELS",
        help="side of the square in the photo; without it half of --size, at most 256",
    )
    quality.add_argument(
        "--min_sharpness",
        type=weight,
        default=usual.min_sharpness,
        help="fine over coarse detail",
    )
    quality.add_argument(
        "--max_outside", type=fraction, default=usual.max_outside, help="share of the face beyond the photo"
    )
    quality.add_argument(
        "--max_yaw", type=weight, default=usual.max_yaw, metavar="DEGREES", help="to the side"
    )
    quality.add_argument(
        "--max_pitch", type=weight, default=usual.max_pitch, metavar="DEGREES", help="up, down"
    )
    same = parser.add_argument_group("near-duplicates: the largest of them stays")
    same.add_argument(
        "--duplicate_distance",
        type=weight,
        default=usual.duplicate_distance,
        help="descriptors as near as this are one photo",
    )
    same.add_argument(
        "--duplicate_correlation",
        type=weight,
        default=usual.duplicate_correlation,
        help="faces that look so much alike are one photo (above 1: never)",
    )
    final = parser.add_argument_group("your word, after a look at the contact sheet")
    final.add_argument("--keep", nargs="+", default=[], metavar="PHOTO", help="let no filter reject these")
    final.add_argument("--drop", nargs="+", default=[], metavar="PHOTO", help="leave these out")

    split = parser.add_argument_group("split: without one of these, all photos are for training")
    split.add_argument("--test_range", metavar="A-B,...", help="photos of these ages become test photos")
    split.add_argument("--test_share", type=fraction, metavar="SHARE", help="so many, evenly over the ages")
    parser.add_argument_group("work").add_argument(
        "--num_workers", type=count, default=os.cpu_count() or 1, metavar="N", help="processes"
    )
    return parser


def parse_personal_options(arguments: Sequence[str] | None, description: str) -> argparse.Namespace:
    """Parses and checks the command line before anything is read or written.

    Returns:
        The options; ``limits`` holds the thresholds, ``test_range`` is a list of pairs.

    Raises:
        InputError: a value cannot be used.
    """
    opts = build_parser(description).parse_args(arguments)
    opts.size = opts.size or SIZES[opts.crop]
    if not 16 <= opts.size <= 4096:
        raise InputError(f"--size={opts.size} is out of range; use 16 to 4096 pixels")
    if opts.test_range and opts.test_share:
        raise InputError("--test_range and --test_share are two ways to split; give one")
    opts.test_range = _ranges(opts.test_range)
    if opts.test_share == 1:
        raise InputError("--test_share=1 leaves no photo to train on")
    album, output = Path(opts.input_dir).resolve(), Path(opts.output_dir).resolve()
    if output == album or output in album.parents:
        raise InputError(f"--output_dir={opts.output_dir} holds the photos themselves; name another folder")
    if output.exists() and not output.is_dir():
        raise InputError(f"--output_dir={opts.output_dir} is a file; name a folder")
    for flag, path in [
        ("enhance", opts.enhance),
        ("ages", opts.ages),
        *(("reference", p) for p in opts.reference),
    ]:
        if path and not Path(path).is_file():
            raise InputError(f"--{flag}={path}: no such file")
    # A tight square is 0.58 of the FFHQ square about the same face.
    size = min(opts.size / 2, ENCODER_INPUT) if opts.min_size is None else opts.min_size
    opts.min_size = size
    named = {
        field.name: getattr(opts, field.name) for field in fields(Thresholds) if hasattr(opts, field.name)
    }
    opts.limits = Thresholds(**{**named, "min_size": size * CROPS["tight"].s / CROPS[opts.crop].s})
    return opts


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date; write it as 1980-12-31") from None


def _ranges(text: str | None) -> list[tuple[float, float]]:
    ranges = []
    for part in text.split(",") if text else ():
        try:
            low, high = (float(age) for age in part.split("-"))
        except ValueError:
            raise InputError(f"--test_range={text}: give ages such as 40-50 or 20-25,60-70") from None
        if not low <= high:
            raise InputError(f"--test_range={text}: the ages must rise")
        ranges.append((low, high))
    return ranges
