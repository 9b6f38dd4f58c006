"""From a folder of photos to a personal data set: measured once, judged as often as somebody decides anew."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from datasets.personal.ages import age_of, read_age_table, resolve_names
from datasets.personal.album import open_album
from datasets.personal.aligned import FaceFormat, cut_faces
from datasets.personal.output import check_output, write_data_set
from datasets.personal.verdicts import Verdict, judge, split
from models.restorer import Restorer
from options.personal_options import PersonalOptions
from utils.device import select_device
from utils.faces.alignment import CROPS
from utils.files.download import sha256_of


class PersonalAlbum:
    """The measured photos of a folder.

    Args:
        opts: of `scripts/prepare_personal.py`.

    Raises:
        InputError: a file that the options name cannot be used, or the folder holds no photo.
    """

    def __init__(self, opts: PersonalOptions) -> None:
        self.opts = opts
        self.output = Path(opts.output_dir)
        self.cache = self.output / "cache"
        self.album = open_album(opts.input_dir, leave_out=self.output)
        self.table = read_age_table(opts.ages, self.album.names) if opts.ages else None
        self.keep = set(resolve_names(opts.keep, self.album.names, "--keep").values())
        self.drop = set(resolve_names(opts.drop, self.album.names, "--drop").values())
        check_output(self.output)
        self.form = face_format(opts)
        photos = self.album.measure(opts.reference, self.cache / "photos", opts.num_workers)
        self.photos, self.references = photos

    def verdicts(
        self,
        keep: Collection[str] = (),
        drop: Collection[str] = (),
        ages: Mapping[str, float] | None = None,
    ) -> list[Verdict]:
        """What becomes of each photo.

        Args:
            keep: names of further photos that no filter may reject.
            drop: names of further photos to leave out.
            ages: in years, by name; they come before those of the table.

        Raises:
            InputError: the person is not clear, or nothing is left to train on.
        """
        table = None if self.table is None and ages is None else {**(self.table or {}), **(ages or {})}
        found = [age_of(photo, table, self.opts.birth_date) for photo in self.photos]
        kept, dropped = (self.keep | set(keep)) - set(drop), (self.drop | set(drop)) - set(keep)
        verdicts = judge(self.photos, found, self.opts.limits, self.references, kept, dropped)
        return split(verdicts, self.opts.test_range, self.opts.test_share or 0.0)

    def write(self, verdicts: Sequence[Verdict]) -> Path:
        """Cuts the accepted faces and writes the data set; bars show how far it is.

        Returns:
            The folder of manifest and contact sheet.

        Raises:
            InputError: a photo vanished, or a file cannot be written.
        """
        faces = cut_faces(verdicts, self.form, self.cache / "faces", self.opts.num_workers)
        return write_data_set(self.output, verdicts, faces, self.opts.settings(), self.album.ignored)


def face_format(opts: PersonalOptions) -> FaceFormat:
    """What is made of every accepted face."""
    if not opts.enhance:
        return FaceFormat(opts.side, CROPS[opts.crop])
    restorer = Restorer(opts.enhance, select_device(opts.device))
    return FaceFormat(opts.side, CROPS[opts.crop], restorer, sha256_of(Path(opts.enhance)))
