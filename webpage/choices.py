"""The models that the page offers: what ages faces in the weights folder, each with its licence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from models.kinds import KINDS, checkpoint_kind, what_is
from models.licences import licence_of
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint
from utils.files.exported_folders import CARD, folder_of
from utils.notes import note

SUFFIXES = (".pt", ".pth", ".safetensors", ".pkl")


@dataclass(frozen=True)
class Choice:
    """A model that can be chosen.

    Attributes:
        path: its file, or the folder that it was exported to.
        label: what it is and what its file is called.
        licence: what its owners allow, in one line.
    """

    path: Path
    label: str
    licence: str


def find_choices(folder: str | Path) -> list[Choice]:
    """What ages faces below a folder, by name; files that cannot be read are named in a note.

    Raises:
        InputError: there is nothing of that kind.
    """
    root = Path(folder)
    found = [choice for path in _files(root) if (choice := as_choice(path)) is not None]
    if not found:
        raise InputError(f"--weights_folder={root}: no file in it ages faces; name another folder")
    return found


def as_choice(path: Path) -> Choice | None:
    """A file, or an exported folder, as a choice; None if it ages no faces or cannot be read."""
    path = path / CARD if path.is_dir() else path
    status = path.stat()
    return _read(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _read(path: Path, size: int, changed: int) -> Choice | None:
    """Reads a file again when it changes."""
    try:
        content = load_checkpoint(path)
    except InputError as error:
        note(str(error), kind="left out")
        return None
    kind = KINDS.get(checkpoint_kind(content))
    if kind is None or kind.loads is None:
        return None
    place = folder_of(path) if path.name == CARD else path
    title = what_is(content).partition(" ")[2]  # without its article
    return Choice(place, f"{title} ({place.name})", licence_of(path, content))


def _files(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        raise InputError(f"--weights_folder={root}: no such folder")
    for path in sorted(root.rglob("*")):
        if (path.suffix.lower() in SUFFIXES or path.name == CARD) and path.is_file():
            yield path


def default_choice(choices: Sequence[Choice]) -> Choice:
    """The first SAM, or else the first of all."""
    return next((choice for choice in choices if "SAM" in choice.label), choices[0])
