"""The models that the page offers: what ages faces in the weights folder, each with its licence."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from configs.paths_config import REPOSITORY
from configs.weights import WEIGHTS
from models.kinds import KINDS, checkpoint_kind, what_is
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint
from utils.notes import note

SUFFIXES = (".pt", ".pth", ".safetensors", ".pkl")
OWN_LICENCE = "a file of your own: as what it was trained from"


@dataclass(frozen=True)
class Choice:
    """A model that can be chosen.

    Attributes:
        path: its file.
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
    """A file as a choice; None if it ages no faces or cannot be read."""
    status = path.stat()
    title = _title(path, status.st_size, status.st_mtime_ns)
    return None if title is None else Choice(path, f"{title} ({path.name})", licence_of(path))


def licence_of(path: Path) -> str:
    """What the owners of a file allow, as far as the table of weights knows it."""
    for weight in WEIGHTS.values():
        own = (REPOSITORY / weight.file).resolve() == path.resolve()
        if own or (not weight.bundled and weight.name == path.name):
            return weight.licence
    return OWN_LICENCE


@lru_cache(maxsize=256)
def _title(path: Path, size: int, changed: int) -> str | None:
    """What a file is, in words, if it ages faces; read again when it changes."""
    try:
        content = load_checkpoint(path)
    except InputError as error:
        note(str(error), kind="left out")
        return None
    kind = KINDS.get(checkpoint_kind(content))
    return None if kind is None or kind.loads is None else what_is(content).partition(" ")[2]


def _files(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        raise InputError(f"--weights_folder={root}: no such folder")
    for path in sorted(root.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            yield path


def default_choice(choices: Sequence[Choice]) -> Choice:
    """The first SAM, or else the first of all."""
    return next((choice for choice in choices if "SAM" in choice.label), choices[0])
