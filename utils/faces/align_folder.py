"""Aligns the faces of a folder of photos in parallel, and says of every file what became of it."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from utils.errors import InputError
from utils.faces.alignment import FACE_SCORE, Crop, align_face, detect_faces, predictor_path
from utils.parallel import parallel_map
from utils.pictures.listing import list_images
from utils.pictures.reading import read_pixels
from utils.pictures.writing import save_pil

ALIGNED, EXISTS, NO_FACE, UNREADABLE = "aligned", "exists", "no face", "unreadable"


@dataclass(frozen=True)
class Settings:
    """What is done to every photo.

    Attributes:
        size: side of the results in pixels.
        crop: constants of the square.
        all_faces: write every face; the main one has the photo's name, the others add `_1`, `_2` ... to it.
        overwrite: align again where a result exists.
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
        if self.status == UNREADABLE:
            return f"{self.status:<10} {self.detail}"
        arrow = f" -> {self.target}" if self.has_result else ""
        return f"{self.status:<10} {self.source}{arrow}" + (f" ({self.detail})" if self.detail else "")


def align_file(source: Path, target: Path, settings: Settings) -> Outcome:
    """Aligns one photo and writes the result under ``target``; never raises for a bad photo."""
    if target.exists() and not settings.overwrite:
        return Outcome(source, target, EXISTS)
    try:
        pixels = read_pixels(source)
    except InputError as error:
        return Outcome(source, target, UNREADABLE, str(error))
    faces = detect_faces(pixels)
    if not faces:
        return Outcome(source, target, NO_FACE)
    chosen = [faces[0]]
    if settings.all_faces:
        chosen += [face for face in faces[1:] if face.score >= FACE_SCORE]
    for number in reversed(range(len(chosen))):  # the main face last: its file says that all are there
        face = chosen[number]
        path = target if number == 0 else target.with_stem(f"{target.stem}_{number}")
        aligned = align_face(pixels, face.landmarks, settings.size, settings.crop)
        save_pil(Image.fromarray(aligned), path)
    count = "1 face" if len(faces) == 1 else f"{len(faces)} faces"
    return Outcome(source, target, ALIGNED, f"{count}, {faces[0].width:.0f} px")


def plan(input_dir: str | Path, output_dir: str | Path, suffix: str = ".png") -> list[tuple[Path, Path]]:
    """Pairs every photo below a folder with its result; the tree is mirrored and names are kept.

    Photos of one folder that differ only in the extension (`a.jpg`, `a.png`) become `a` and `a_png`.

    Raises:
        InputError: no such folder, no photo in it, or results that would land among the photos.
    """
    root, output = Path(input_dir), Path(output_dir)
    inside = output.resolve()
    if inside == root.resolve():
        raise InputError(f"results cannot go into the folder of the photos, {root}; name another one")
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file; name a folder for the results")
    taken: set[Path] = set()
    pairs = []
    for source in list_images(root):
        if inside in source.resolve().parents:
            continue  # results of an earlier run
        target = output / source.relative_to(root).with_suffix(suffix)
        if target in taken:
            target = target.with_stem(f"{source.stem}_{source.suffix[1:].lower()}")
        taken.add(target)
        pairs.append((source, target))
    return pairs


def align_folder(
    pairs: list[tuple[Path, Path]],
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
    for outcome in parallel_map(partial(_align_pair, settings=settings), pairs, workers):
        counts[outcome.status] += 1
        on_outcome(outcome)
    return counts


def _align_pair(pair: tuple[Path, Path], settings: Settings) -> Outcome:
    return align_file(*pair, settings)


def report(counts: Counter[str], folder: str | Path, started: float) -> None:
    """Prints in one line what became of all photos.

    Args:
        counts: of :func:`align_folder`.
        folder: the photos.
        started: time of ``time.perf_counter`` at the start.

    Raises:
        InputError: there is not one result.
    """
    seconds = max(time.perf_counter() - started, 1e-9)
    worked = sum(counts.values()) - counts[EXISTS]
    print(
        f"{counts[ALIGNED]} aligned, {counts[EXISTS]} already there, {counts[NO_FACE]} without a face, "
        f"{counts[UNREADABLE]} unreadable; {seconds:.1f} s, {worked / seconds:.1f} photos a second"
    )
    if not counts[ALIGNED] and not counts[EXISTS]:
        raise InputError(f"no photo in {folder} could be aligned")
