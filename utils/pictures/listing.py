"""Which pictures lie at a place: one rule for every command, and a word about what is left out."""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from utils.errors import InputError, explained

HEIF_EXTENSIONS = frozenset({".heic", ".heif", ".hif"})  # read with pillow-heif, never written
EXTENSIONS = HEIF_EXTENSIONS | {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    *(".png", ".gif", ".webp", ".avif", ".ppm", ".bmp", ".tif", ".tiff"),
}
_NAMED = 3  # kinds of other files that are named


def list_images(place: str | Path, own_output: Sequence[str | Path] = ()) -> list[Path]:
    """Lists the pictures below a folder, recursively, by folder and then by name (the official order).

    Linked folders are searched too, each folder once. Hidden files are left out; extensions count in either
    case. What is passed over (other files, folders that cannot be opened, links that lead nowhere, the
    command's own results) is counted in a note on stderr.

    Args:
        place: a folder, or a single picture, whatever its extension.
        own_output: folders or files that the calling command writes; pictures there, however reached, are its
            own results and no input.

    Raises:
        InputError: there is no such folder, it cannot be opened, or there is no picture in it.
    """
    root = Path(place)
    if not root.exists():
        raise InputError(f"no such folder: {root}")
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise InputError(f"{root} is neither a folder nor a file; name a folder of pictures or a picture")
    search = _Search({_identity(path) for path in map(Path, own_output) if path.exists()})
    found = sorted(search.pictures(root), key=lambda path: (str(path.parent), path.name))
    if _identity(root) in search.own:
        raise InputError(f"{root} is where this command writes its results; name the folder of your photos")
    for note in search.notes(root):
        print(f"note: {note}", file=sys.stderr)
    if not found:
        kinds = " ".join(sorted(extension[1:] for extension in EXTENSIONS))
        raise InputError(f"no pictures in {root} (looked for {kinds}, in sub-folders too)")
    return found


def _identity(path: Path) -> tuple[int, int]:
    """What a file or folder is, by whatever links it is reached."""
    status = path.stat()
    return status.st_dev, status.st_ino


class _Search:
    """One walk through the folders, and what it passed over."""

    def __init__(self, own: set[tuple[int, int]]) -> None:
        self.own = own
        self._own_results = 0
        self._seen: set[tuple[int, int]] = set()
        self._others: Counter[str] = Counter()
        self._closed: list[str] = []
        self._broken: list[Path] = []

    def pictures(self, folder: Path) -> Iterator[Path]:
        """Yields the pictures below a folder."""
        try:
            identity = _identity(folder)
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            self._closed.append(explained(error) or str(folder))
            return
        if identity in self.own:
            self._own_results += sum(_is_picture(n) for *_, names in os.walk(folder) for n in names)
            return
        if identity in self._seen:
            return
        self._seen.add(identity)
        for entry in entries:
            path = folder / entry.name
            try:
                if not path.exists():
                    self._broken.append(path)
                elif path.is_dir():
                    yield from self.pictures(path)
                elif entry.name.startswith("."):
                    continue
                elif _identity(path) in self.own:
                    self._own_results += 1
                elif _is_picture(entry.name):
                    yield path
                else:
                    self._others[path.suffix.lower() or "no suffix"] += 1
            except OSError as error:
                self._closed.append(explained(error) or str(path))

    def notes(self, root: Path) -> Iterator[str]:
        """What was passed over, a sentence for each kind of thing."""
        if self._own_results:
            yield f"{self._own_results} pictures in {root} are results of this command and are no input"
        for reason in self._closed:
            yield f"passed over {reason}"
        for path in self._broken:
            yield f"passed over {path}: the link leads nowhere"
        if self._others:
            kinds = ", ".join(f"{kind} {count}" for kind, count in self._others.most_common(_NAMED))
            more = ", ..." if len(self._others) > _NAMED else ""
            count = sum(self._others.values())
            yield f"passed over {count} files in {root} that are no pictures ({kinds}{more})"


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in EXTENSIONS and not name.startswith(".")
