"""Turns a folder of photos into a personal data set for --coach=mytimemachine.

Every photo gets a verdict: it must be readable, show the person, sharp, large and facing the camera, have
an age and not be a copy of another. Accepted faces are aligned and written as train/{age}_{idx}.png (and
test/...); the manifest holds the reasons and the numbers behind them, the contact sheet shows them. The
originals are only read. The same command continues an interrupted one; with other thresholds it decides anew
and measures nothing twice.
"""

import _bootstrap  # noqa: F401

from collections.abc import Sequence
from pathlib import Path

from datasets.personal.ages import age_of, read_age_table, resolve_names
from datasets.personal.album import open_album
from datasets.personal.aligned import FaceFormat, cut_faces
from datasets.personal.output import check_output, report, write_data_set
from datasets.personal.verdicts import judge, split
from models.restorer import Restorer
from options.parser import parse_options
from options.personal_options import PersonalOptions
from utils.device import select_device
from utils.errors import run_command
from utils.faces.alignment import CROPS
from utils.files.download import sha256_of


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes `train/`, `test/`, `manifest.json` and `contact_sheet.jpg`."""
    opts = parse_options(PersonalOptions, arguments, __doc__ or "")
    output, cache = Path(opts.output_dir), Path(opts.output_dir) / "cache"
    album = open_album(opts.input_dir, leave_out=output)
    table = read_age_table(opts.ages, album.names) if opts.ages else None
    keep = resolve_names(opts.keep, album.names, "--keep").values()
    drop = resolve_names(opts.drop, album.names, "--drop").values()
    check_output(output)
    form = face_format(opts)

    photos, references = album.measure(opts.reference, cache / "photos", opts.num_workers)
    ages = [age_of(photo, table, opts.birth_date) for photo in photos]
    verdicts = judge(photos, ages, opts.limits, references, keep, drop)
    verdicts = split(verdicts, opts.test_range, opts.test_share or 0.0)

    faces = cut_faces(verdicts, form, cache / "faces", opts.num_workers)
    written = write_data_set(output, verdicts, faces, opts.settings(), album.ignored)
    report(verdicts, album.ignored, written)


def face_format(opts: PersonalOptions) -> FaceFormat:
    """What is made of every accepted face."""
    if not opts.enhance:
        return FaceFormat(opts.side, CROPS[opts.crop])
    restorer = Restorer(opts.enhance, select_device(opts.device))
    return FaceFormat(opts.side, CROPS[opts.crop], restorer, sha256_of(Path(opts.enhance)))


if __name__ == "__main__":
    run_command(main)
