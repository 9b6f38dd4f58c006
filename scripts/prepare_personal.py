"""Turns a folder of photos into a personal data set for --coach=mytimemachine.

Every photo gets a verdict: it must be readable, show the person, sharp, large and facing the camera, have
an age and not be a copy of another. Accepted faces are aligned and written as train/{age}_{idx}.png (and
test/...); the manifest holds the reasons and the numbers behind them, the contact sheet shows them. The
originals are only read. The same command continues an interrupted one; with other thresholds it decides anew
and measures nothing twice.
"""

import _bootstrap  # noqa: F401

from collections.abc import Sequence

from datasets.personal.output import report
from inference.personal_album import PersonalAlbum
from options.parser import parse_options
from options.personal_options import PersonalOptions
from utils.errors import run_command


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes `train/`, `test/`, `manifest.json` and `contact_sheet.jpg`."""
    album = PersonalAlbum(parse_options(PersonalOptions, arguments, __doc__ or ""))
    verdicts = album.verdicts()
    report(verdicts, album.album.ignored, album.write(verdicts))


if __name__ == "__main__":
    run_command(main)
