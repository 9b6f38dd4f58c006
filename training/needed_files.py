"""The files and folders that a training reads: all of them are looked for before anything large is built."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.paths_config import model_paths
from configs.weights import WEIGHTS
from options.encoder_options import FolderOptions
from utils.errors import InputError


@dataclass(frozen=True)
class NeededFile:
    """A file or folder that a training reads, and the flag that names it."""

    what: str
    flag: str
    path: str | None


def data_folders(opts: FolderOptions) -> list[NeededFile]:
    """The folders of pictures that the options name."""
    folders = [NeededFile("the training pictures", "--train_dataset", opts.train_dataset)]
    if opts.test_dataset:
        folders.append(NeededFile("the test pictures", "--test_dataset", opts.test_dataset))
    return folders


def require_files(needed: Sequence[NeededFile]) -> None:
    """Checks that all files and folders are there.

    Raises:
        InputError: some are not; the message names each with its flag.
    """
    missing = [file for file in needed if not file.path or not Path(file.path).exists()]
    if not missing:
        return
    listed = ", ".join(f"{file.what} ({file.flag}={file.path or ''})" for file in missing)
    paths = {file.path for file in missing}
    official = [name for name, weight in WEIGHTS.items() if not weight.bundled and model_paths[name] in paths]
    hint = f"; python scripts/download_weights.py {' '.join(official)} brings them" if official else ""
    raise InputError(f"not found: {listed}{hint}")
