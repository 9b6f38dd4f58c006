"""The command line of `scripts/make_json_labels.py`."""

from dataclasses import dataclass
from pathlib import Path

from options.conditional_options import age_groups_of
from utils.age_groups import AgeGroups
from utils.errors import InputError
from utils.pictures.archives import is_archive
from utils.typed_options import Options, option, path, positive


@dataclass(frozen=True, kw_only=True)
class LabelOptions(Options):
    """Options of `scripts/make_json_labels.py`; the first three are the official ones."""

    title = "labels"

    input_folder: str = option(kind=path, help="pictures, or a zip archive of them", metavar="DIR")
    output_folder: str | None = option(
        None, path, "where dataset.json goes; without it into the folder, of a zip beside it", metavar="DIR"
    )
    verbose: bool = option(False, help="name every picture with its class")
    age_groups: str | None = option(
        None,
        str,
        "classes by the ages in names {age}_{idx}; without it every sub-folder is a class, and where there "
        "are none the groups are 0-10,11-20,...,91-100",
        metavar="A-B,...",
    )
    min_pictures: int = option(1, positive, "the fewest that a class may have", metavar="N")

    def check(self) -> None:
        """Raises ``InputError`` for groups that are none, or files where folders should be."""
        _ = self.groups
        if not Path(self.input_folder).is_dir() and not is_archive(self.input_folder):
            raise InputError(f"--input_folder={self.input_folder}: there is no such folder or zip archive")
        if self.output_folder and Path(self.output_folder).exists() and not Path(self.output_folder).is_dir():
            raise InputError(f"--output_folder={self.output_folder} is a file; name a folder")

    @property
    def groups(self) -> AgeGroups | None:
        """The groups that were asked for."""
        return age_groups_of(self.age_groups)
