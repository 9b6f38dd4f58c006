"""Aligns the faces of a folder of photos in parallel, and says of every file what became of it."""

import itertools
import os
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from utils.errors import InputError, explained, one_line
from utils.faces.align_records import Record, as_metadata, face_record, read_record, serves
from utils.faces.alignment import Crop, align_face, detect_faces, predictor_path
from utils.parallel import parallel_map
from utils.pictures.archives import names_count_from
from utils.pictures.listing import list_images
from utils.pictures.opening import digest_of
from utils.pictures.reading import read_pixels
from utils.pictures.writing import save_pil

ALIGNED, EXISTS, NO_FACE, UNREADABLE = "aligned", "exists", "no face", "unreadable"
KEPT, NOT_WRITTEN = "kept", "not written"


class Pair(NamedTuple):
    """A photo, the file of its main face, and how the names of its other faces begin."""

    source: Path
    target: Path
    further: str


@dataclass(frozen=True)
class Settings:
    """What is done to every photo.

    Attributes:
        size: side of the results in pixels.
        crop: constants of the square.
        all_faces: write every face, not only the main one.
        overwrite: align again where a result exists, and replace whatever has its name.
    """

    size: int
    crop: Crop
    all_faces: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one photo."""

    source: Path
    target: Path
    status: str
    detail: str = ""

    @property
    def has_result(self) -> bool:
        """Whether there is an aligned face now."""
        return self.status in (ALIGNED, EXISTS)

    def __str__(self) -> str:
        text = self.detail
        if self.status not in (UNREADABLE, KEPT, NOT_WRITTEN):
            arrow = f" -> {self.target}" if self.has_result else ""
            text = f"{self.source}{arrow}" + (f" ({self.detail})" if self.detail else "")
        return f"{self.status:<11} {one_line(text)}"


# ---------------------------------------------------------------- one photo


def align_file(pair: Pair, settings: Settings) -> Outcome:
    """Aligns one photo and writes its faces; never raises for a bad photo or a result that cannot be written.

    A face that was made of the same photo in the same way is not made again; a file that this command did not
    make stays.
    """
    source, target, further = pair
    verdict = partial(Outcome, source, target)
    try:
        wanted = face_record(
            digest_of(source), settings.size, settings.crop, 0, further if settings.all_faces else None
        )
        if not settings.overwrite and os.path.lexists(target):
            found = read_record(target)
            if found is None:
                return verdict(KEPT, _foreign(source, target))
            if serves(found, wanted):
                return verdict(EXISTS)
        pixels = read_pixels(source)
        faces = detect_faces(pixels, every=settings.all_faces)
    except InputError as error:
        return verdict(UNREADABLE, str(error))
    except MemoryError as error:
        return verdict(UNREADABLE, f"cannot read {source}: {explained(error)}")
    chosen = [faces[0]] if faces else []
    if settings.all_faces:
        chosen += faces[1:]
    try:
        aligned = [align_face(pixels, face.landmarks, settings.size, settings.crop) for face in chosen]
    except ValueError:  # landmarks that coincide
        aligned = []
    if not aligned:
        return verdict(NO_FACE)
    try:
        left = _write_faces(pair, aligned, wanted, settings.overwrite)
    except (InputError, OSError) as error:
        return verdict(NOT_WRITTEN, f"{source}: {explained(error) or error}")
    count = "1 face" if len(faces) == 1 else f"{len(faces)} faces"
    return verdict(ALIGNED, f"{count}, {faces[0].width:.0f} px{left}")


def _foreign(source: Path, target: Path) -> str:
    return (
        f"{source}: {target} was not made by this command and stays; name another --output_dir, "
        "or replace it with --overwrite"
    )


def _write_faces(pair: Pair, faces: Sequence[np.ndarray], wanted: Record, overwrite: bool) -> str:
    """Writes the faces of a photo, the main one last: its file says that all are there.

    Returns:
        What of the further faces was not written, for the outcome; empty if nothing.
    """
    left = ""
    for number in reversed(range(len(faces))):
        path = _face_path(pair, number)
        if number and not overwrite and os.path.lexists(path) and read_record(path) is None:
            left += f"; {path.name} was not made by this command and stays"
            continue
        save_pil(Image.fromarray(faces[number]), path, as_metadata({**wanted, "face": number}))
    if wanted["further"] is not None:
        _remove_further(pair, len(faces), wanted)
    return left


def _remove_further(pair: Pair, count: int, wanted: Record) -> None:
    """Removes what an earlier run wrote as further faces of this name and the photo no longer has."""
    while os.path.lexists(path := _face_path(pair, count)):
        found = read_record(path)
        if not found or found.get("face") != count or found.get("further") != wanted["further"]:
            break
        path.unlink()
        count += 1


def _face_path(pair: Pair, number: int) -> Path:
    return pair.target.with_stem(f"{pair.further}{number}") if number else pair.target


# ---------------------------------------------------------------- names


def plan(input_dir: str | Path, output_dir: str | Path, suffix: str = ".png") -> list[Pair]:
    """Pairs every photo below a folder with its results; the tree is mirrored and names are kept.

    No two results have names that any file system takes for one. Photos of one folder that differ only in the
    extension (`a.jpg`, `a.png`) become `a` and `a_png`, in that order, and a third of the kind `a_png_2`. The
    further faces of `a` are `a_1`, `a_2` ..., or `a_face_1` ... where a photo has such a name.

    Raises:
        InputError: no such folder, no photo in it, or results that would land on photos.
    """
    root, output = Path(input_dir), Path(output_dir)
    if output.resolve() == root.resolve():
        raise InputError(f"results cannot go into the folder of the photos, {root}; name another one")
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file; name a folder for the results")
    base, sources, names = names_count_from(root), list_images(root, [output]), _Names()
    photos = {names.key(path) for path in sources}
    targets: dict[Path, Path] = {}
    taken: set[tuple[str, str]] = set()
    for source in sources:
        plain = output / source.relative_to(base).with_suffix(suffix)
        target = next(path for path in _choices(plain, source) if names.key(path) not in taken)
        if names.key(target) in photos:
            raise InputError(f"a result would replace the photo {target}; name another folder")
        taken.add(names.key(target))
        targets[source] = target
    return _with_further_names(targets, taken | photos, names)


def _choices(plain: Path, source: Path) -> Iterator[Path]:
    """Names of a result in the order in which they are tried."""
    longer = f"{source.stem}_{source.suffix[1:].lower()}"
    yield plain
    yield plain.with_stem(longer)
    yield from (plain.with_stem(f"{longer}_{number}") for number in itertools.count(2))


def _with_further_names(
    targets: Mapping[Path, Path], taken: set[tuple[str, str]], names: "_Names"
) -> list[Pair]:
    """Chooses how the names of further faces begin, so that none is the name of another file."""
    numbered = {(folder, os.path.splitext(name)[0].rstrip("0123456789")) for folder, name in taken}
    pairs = []
    for source, target in targets.items():
        further = f"{target.stem}_"
        while (key := names.key(target.with_name(further))) in numbered:
            further += "face_"
        numbered.add(key)
        pairs.append(Pair(source, target, further))
    return pairs


class _Names:
    """Tells names apart as the most forgetful file system does."""

    def __init__(self) -> None:
        self._folders: dict[Path, str] = {}

    def key(self, path: Path) -> tuple[str, str]:
        """Folder and name, the same for names that some file systems take for one."""
        if path.parent not in self._folders:
            self._folders[path.parent] = os.path.realpath(path.parent)
        return self._folders[path.parent], unicodedata.normalize("NFC", path.name).casefold()


# ---------------------------------------------------------------- all photos


def align_folder(
    pairs: Sequence[Pair],
    settings: Settings,
    workers: int = 1,
    on_outcome: Callable[[Outcome], None] = print,
) -> Counter[str]:
    """Aligns photos with ``workers`` processes; returns how many had each outcome.

    Raises:
        InputError: dlib or its landmark file is missing, or a worker was killed (most often for memory).
    """
    predictor_path()
    counts: Counter[str] = Counter()
    for outcome in parallel_map(partial(align_file, settings=settings), pairs, workers):
        counts[outcome.status] += 1
        on_outcome(outcome)
    return counts


def report(counts: Counter[str], folder: str | Path, started: float) -> None:
    """Prints in one line what became of all photos.

    Args:
        counts: of :func:`align_folder`.
        folder: the photos.
        started: time of ``time.perf_counter`` at the start.

    Raises:
        InputError: there is not one result, or one could not be written.
    """
    seconds = max(time.perf_counter() - started, 1e-9)
    worked = sum(counts.values()) - counts[EXISTS]
    print(
        f"{counts[ALIGNED]} aligned, {counts[EXISTS]} already there, {counts[NO_FACE]} without a face, "
        f"{counts[UNREADABLE]} unreadable; {seconds:.1f} s, {worked / seconds:.1f} photos a second"
    )
    missing = [f"{counts[status]} {status}" for status in (KEPT, NOT_WRITTEN) if counts[status]]
    if missing:
        raise InputError(f"of the photos in {folder} {' and '.join(missing)}; the lines above say why")
    if not counts[ALIGNED] and not counts[EXISTS]:
        raise InputError(f"no photo in {folder} could be aligned")
