"""Which pictures lie at a place: one rule for every command, and a word about what is left out."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.distributed import is_main
from utils.errors import InputError, explained
from utils.notes import note
from utils.pictures.archives import entries, is_archive

HEIF_EXTENSIONS = frozenset({".heic", ".heif", ".hif"})  # read with pillow-heif, never written
EXTENSIONS = HEIF_EXTENSIONS | {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    *(".png", ".gif", ".webp", ".avif", ".ppm", ".bmp", ".tif", ".tiff"),
}
_NAMED = 3  # of every kind of thing that is passed over so many are named
RUN_FOLDER = {"opt.json", "checkpoints"}  # what a training makes in its folder


@dataclass(frozen=True)
class Found:
    """What lies at a place, in the official order: by folder and then by name.

    Attributes:
        pictures: the pictures.
        others: files that are none by their extension.
        notes: a sentence for every other kind of thing that was passed over.
    """

    pictures: list[Path]
    others: list[Path]
    notes: list[str]


def list_images(place: str | Path, own_output: Sequence[str | Path] = ()) -> list[Path]:
    """Lists the pictures at a place, see :func:`find_pictures`; notes on stderr say what is passed over.

    Raises:
        InputError: see :func:`find_pictures`; or there is no picture.
    """
    root = Path(place)
    found = find_pictures(root, own_output)
    kinds = Counter(path.suffix.lower() or "no suffix" for path in found.others)
    if kinds:
        named = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common(_NAMED))
        more = ", ..." if len(kinds) > _NAMED else ""
        found.notes.append(
            f"passed over {_count(kinds.total(), 'file')} of other kinds in {root} ({named}{more})"
        )
    for text in found.notes if is_main() else ():
        note(text)
    if not found.pictures:
        known = " ".join(sorted(extension[1:] for extension in EXTENSIONS))
        raise InputError(f"no pictures in {root} (looked for {known}, in sub-folders too)")
    return found.pictures


def find_pictures(place: str | Path, own_output: Sequence[str | Path] = ()) -> Found:
    """Finds the pictures below a folder or in a zip archive, recursively; extensions count in either case.

    Linked folders are searched too, every folder once, and under its own name where it has one below the
    place. Hidden files and folders do not count, nor do run folders of trainings, whose pictures are sheets.

    Args:
        place: a folder, an archive, or a single picture, whatever its extension.
        own_output: folders or files that the calling command writes; what is there, however it is reached, is
            its own result and no input.

    Raises:
        InputError: there is no such folder, the command writes its results into it, or the archive cannot be
            read.
    """
    root = Path(place)
    if not root.exists():
        raise InputError(f"no such folder: {root}")
    if is_archive(root):
        return _in_archive(root)
    if root.is_file():
        return Found([root], [], [])
    if not root.is_dir():
        raise InputError(f"{root} is neither a folder nor a file; name a folder of pictures or a picture")
    own = [path for path in map(Path, own_output) if path.exists()]
    if _identity(root) in map(_identity, own):
        raise InputError(f"{root} is where this command writes its results; name the folder of your photos")
    return _Search(root, own).below()


def _in_archive(root: Path) -> Found:
    """The files of an archive, by the rules for folders."""
    files, outside = entries(root)
    names: dict[Path, set[str]] = {}
    for path in files:
        for part in (path, *path.parents):
            names.setdefault(part.parent, set()).add(part.name)
    runs = {folder for folder, inside in names.items() if folder != root and inside >= RUN_FOLDER}
    kept = [
        path
        for path in files
        if runs.isdisjoint(path.parents)
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    ]
    passed = {"runs": sorted(map(str, runs)), "outside": outside}
    return _sorted(kept, list(_passed_over(passed)))


def _sorted(files: Sequence[Path], notes: list[str]) -> Found:
    files = sorted(files, key=lambda path: (str(path.parent), path.name))
    pictures = [path for path in files if path.suffix.lower() in EXTENSIONS]
    others = [path for path in files if path.suffix.lower() not in EXTENSIONS]
    return Found(pictures, others, notes)


def _passed_over(passed: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for kind, reason in (
        ("own", ", where this command writes its results"),
        ("runs", ": runs of a training"),
        ("closed", ""),
        ("broken", ": links that lead nowhere"),
        ("outside", ": names that lead out of the archive"),
    ):
        found = passed.get(kind, ())
        if found:
            more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
            yield f"passed over {', '.join(found[:_NAMED])}{more}{reason}"


def _identity(path: Path) -> tuple[int, int]:
    """What a file or folder is, by whatever links it is reached."""
    status = path.stat()
    return status.st_dev, status.st_ino


class _Search:
    """One walk through the folders, and what it passed over."""

    def __init__(self, root: Path, own: Sequence[Path]) -> None:
        self._root = root
        self._own = {_identity(path) for path in own}
        self._own_places = {path.resolve() for path in own}
        self._seen: set[tuple[int, int]] = set()
        self._files: list[Path] = []
        self._passed: dict[str, list[str]] = {"own": [], "runs": [], "closed": [], "broken": []}

    def below(self) -> Found:
        """Everything below the folder: first what lies there, then what links lead to."""
        linked = [self._root]
        while linked:
            folders = [linked.pop(0)]
            while folders:
                real, links = self._enter(folders.pop())
                folders += real
                linked += links
        return _sorted(self._files, list(_passed_over(self._passed)))

    def _enter(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """Notes the files of a folder; returns the folders in it and those that links in it lead to."""
        real: list[Path] = []
        links: list[Path] = []
        try:
            identity = _identity(folder)
            if identity in self._seen:
                return real, links
            self._seen.add(identity)
            if self._is_own(folder):
                self._passed["own"].append(str(folder))
                return real, links
            names = sorted(os.listdir(folder))
            if folder != self._root and set(names) >= RUN_FOLDER:
                self._passed["runs"].append(str(folder))
                return real, links
        except OSError as error:
            self._passed["closed"].append(explained(error) or str(folder))
            return real, links
        for path in (folder / name for name in names if not name.startswith(".")):
            try:
                if path.is_dir():
                    (links if path.is_symlink() else real).append(path)
                elif not path.exists():
                    self._passed["broken"].append(str(path))
                elif self._is_own(path):
                    self._passed["own"].append(str(path))
                else:
                    self._files.append(path)
            except OSError as error:
                self._passed["closed"].append(explained(error) or str(path))
        return real, links

    def _is_own(self, path: Path) -> bool:
        """Whether the command wrote this itself; a link may lead right into its results."""
        if not self._own:
            return False
        inside = path.is_symlink() and not self._own_places.isdisjoint(path.resolve().parents)
        return inside or _identity(path) in self._own


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
