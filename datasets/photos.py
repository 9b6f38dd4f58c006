"""Photos for inference: any folder or single file, read batch by batch; a bad file is named and skipped."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from utils.distributed import everyone, is_main, rank, world_size
from utils.errors import InputError
from utils.faces.alignment import Crop, Face, detect_faces, face_square, warp_square
from utils.files.text import find_file, is_heading, read_text
from utils.notes import listed, note
from utils.parallel import worker_count
from utils.pictures.archives import names_count_from
from utils.pictures.listing import HEIF_EXTENSIONS, list_images
from utils.pictures.originals import is_square
from utils.pictures.reading import read_image, read_pixels
from utils.pictures.tensors import to_float
from utils.pictures.writing import WRITTEN

MAIN, ALL = "main", "all"  # of a photo's faces
SQUARE = 1.05  # ratio of the sides up to which a photo counts as a square


@dataclass(frozen=True)
class PhotoBatch:
    """Some photos in folder order, with one face or several of each.

    Attributes:
        images: ``(B, 3, S, S)`` float32 in [-1, 1], a row a face.
        names: path of each photo's result below its folder.
        paths: the files.
        faces: which rows are each photo's, from the left of the photo to its right.
        squares: corners (4, 2) of the face of each row in its upright photo; None where nothing was aligned.
        first: number of the first photo, counted over the readable photos of the whole run.
        parts: photos and faces of the parts that each process reads at the same time, this batch among them.
    """

    images: Tensor
    names: list[Path]
    paths: list[Path]
    faces: list[slice]
    squares: list[np.ndarray | None]
    first: int
    parts: list[tuple[int, int]]


@dataclass(frozen=True)
class Sample:
    """One photo's faces ``(F, 3, S, S)`` and their squares, or why it cannot be used.

    Attributes:
        squashed: the photo is no square and was made one.
    """

    index: int
    images: Tensor | None = None
    squares: tuple[np.ndarray | None, ...] = ()
    squashed: bool = False
    reason: str = ""


class Photos(Dataset[Sample]):
    """Photos resized to a square, or faces of each, aligned.

    Args:
        path: a folder or zip archive, searched recursively, one picture, or a list of pictures.
        size: side in pixels.
        limit: use only the first so many files.
        crop: align faces of each photo to this square instead of resizing the whole photo.
        faces: which faces, see :func:`chosen_faces`.
        own_output: what the command writes; pictures there are no input.

    Attributes:
        names: path of each photo's result below its folder.
        skipped: files met so far that are unreadable or show no face, with the reason.

    Raises:
        InputError: no such path, or no picture there.
    """

    def __init__(
        self,
        path: str | Path | Sequence[Path],
        size: int,
        limit: int | None = None,
        crop: Crop | None = None,
        faces: str | int = MAIN,
        own_output: Sequence[str | Path] = (),
    ) -> None:
        if isinstance(path, (str, Path)):
            root = Path(path)
            self.paths = list_images(root, own_output)[:limit]
            self.names = result_names(self.paths, names_count_from(root))
        else:
            self.paths = list(path)[:limit]
            self.names = [Path(file.name) for file in self.paths]
        self.size = size
        self.crop = crop
        self.faces = faces
        self.skipped: list[tuple[Path, str]] = []

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        try:
            if self.crop is None:
                return self._whole(index)
            return self._aligned(index, self.crop)
        except InputError as error:
            return Sample(index, reason=str(error))

    def _whole(self, index: int) -> Sample:
        path = self.paths[index]
        return Sample(index, read_image(path, self.size)[None], (None,), not is_square(path, SQUARE))

    def _aligned(self, index: int, crop: Crop) -> Sample:
        path = self.paths[index]
        pixels = read_pixels(path)
        found = detect_faces(pixels, every=self.faces != MAIN)
        if not found:
            raise InputError(f"no face found in {path}")
        squares = [
            face_square(face.landmarks, crop.s, crop.k) for face in chosen_faces(found, self.faces, path)
        ]
        faces = np.stack([warp_square(pixels, square, self.size, crop.fade) for square in squares])
        images = to_float(torch.from_numpy(faces).permute(0, 3, 1, 2).contiguous())
        return Sample(index, images, tuple(squares))

    def batches(self, batch_size: int, workers: int = 0, shared: bool = False) -> Iterator[PhotoBatch]:
        """Yields the usable photos; names the others, and in the end those that were squashed, on stderr.

        Args:
            batch_size: photos that are read together; a batch has those of them that can be used.
            workers: processes that read ahead.
            shared: the processes that `torchrun` started take the batches in turn, the very ones that a
                single process would make. A process whose turn brings no usable photo gets an empty batch.

        Raises:
            InputError: at the end, if not one photo could be used.
        """
        own, together = (rank(), world_size()) if shared else (0, 1)
        turns = [range(len(self))[start:][:batch_size] for start in range(0, len(self), batch_size)]
        loader: DataLoader[Sample] = DataLoader(
            self,
            batch_sampler=turns[own::together],
            num_workers=worker_count(workers) if len(turns) > together else 0,
            collate_fn=list,
        )
        samples, done, squashed = iter(loader), 0, list[int]()
        for _ in turns[::together]:
            good = list(self._usable(next(samples, [])))
            squashed += [sample.index for sample in good if sample.squashed]
            part = len(good), sum(len(sample.squares) for sample in good)
            parts = everyone(part) if shared else [part]
            before, of_all = (sum(photos for photos, _ in some) for some in (parts[:own], parts))
            if of_all:
                yield self._batch(good, done + before, parts)
            done += of_all
        if shared:
            squashed = sorted(index for found in everyone(squashed) for index in found)
        if squashed and is_main():
            many = f"{len(squashed)} photos are" if len(squashed) > 1 else "1 photo is"
            named = listed([self.paths[index] for index in squashed])
            note(f"{many} not square and went in squashed; for ordinary photos give --align: {named}")
        if not done:
            raise InputError(f"not one of the {len(self)} pictures can be used; see the lines above")

    def _usable(self, samples: Sequence[Sample]) -> Iterator[Sample]:
        """Those with faces; the others are named."""
        for sample in samples:
            if sample.images is None:
                self.skip(self.paths[sample.index], sample.reason)
            else:
                yield sample

    def alone(self, index: int) -> PhotoBatch:
        """The photo with this index as a batch of its own.

        Raises:
            InputError: it is unreadable or shows no face.
        """
        sample = self[index]
        if sample.images is None:
            raise InputError(sample.reason)
        return self._batch([sample], index, [(1, len(sample.squares))])

    def skip(self, path: Path, reason: str) -> None:
        """Names a photo that has no results, and why."""
        self.skipped.append((path, reason))
        note(reason, kind="skipped")

    def _batch(self, samples: Sequence[Sample], first: int, parts: list[tuple[int, int]]) -> PhotoBatch:
        images = [sample.images for sample in samples if sample.images is not None]
        ends = np.cumsum([len(faces) for faces in images]).tolist()
        return PhotoBatch(
            images=torch.cat(images) if images else torch.empty(0, 3, self.size, self.size),
            names=[self.names[sample.index] for sample in samples],
            paths=[self.paths[sample.index] for sample in samples],
            faces=[slice(end - len(faces), end) for faces, end in zip(images, ends, strict=True)],
            squares=[square for sample in samples for square in sample.squares],
            first=first,
            parts=parts,
        )


def chosen_faces(found: Sequence[Face], which: str | int, path: Path) -> list[Face]:
    """Some of a photo's faces.

    Args:
        found: all of them, the main one first.
        which: ``main``; ``all``, from left to right; or a number, counted from the left.
        path: the photo, for the message.

    Raises:
        InputError: the photo has fewer faces.
    """
    if which == MAIN:
        return [found[0]]
    in_order = sorted(found, key=lambda face: float(face.landmarks[:, 0].mean()))
    if isinstance(which, str):
        return in_order
    if which > len(found):
        count = f"{len(found)} face" + ("s" if len(found) > 1 else "")
        raise InputError(f"--faces={which}: {path} has {count} only")
    return [in_order[which - 1]]


def read_path_list(path: str | Path) -> list[Path]:
    """Reads a text file with the path of a picture on each line.

    A relative path counts from the working directory, or else from the folder of the list; ``~`` is the home
    folder. A first line that heads a column (``file``, ``path`` ...) is no picture.

    Raises:
        InputError: there is no such list, it is empty, or a picture is missing.
    """
    path = Path(path)
    found = []
    lines = read_text(path, "a text file with the path of a picture a line").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        picture = find_file(line, (".", path.parent))
        if picture is not None:
            found.append(picture)
        elif number > 1 or not is_heading(line):
            raise InputError(f"{path}, line {number}: no such picture: {line.strip()[:200]}")
    if not found:
        raise InputError(f"{path} is empty; write the path of a picture on each line")
    return found


def result_names(paths: Sequence[Path], root: Path) -> list[Path]:
    """Names the result of each photo: its file name, or its path below ``root`` where names recur.

    A format that is only read gets another suffix appended: `.jpg`, or `.png` for what is no photo.
    """
    count = Counter(path.name for path in paths)
    names = [Path(path.name) if count[path.name] == 1 else path.relative_to(root) for path in paths]
    return [name.with_name(f"{name.name}{_written_suffix(name.suffix.lower())}") for name in names]


def _written_suffix(suffix: str) -> str:
    if suffix in HEIF_EXTENSIONS:
        return ".jpg"
    return "" if suffix in WRITTEN else ".png"


def result_stems(names: Sequence[Path], official: bool = False) -> list[Path]:
    """Names results of another format: the name without its suffix; kept in (`a_png`) where stems recur.

    Args:
        names: of :func:`result_names`.
        official: cut at the first dot, as MyTimeMachine does, where that leaves the stems distinct.
    """
    if official:
        short = [name.with_name(name.name.split(".")[0] or name.name) for name in names]
        if len(set(short)) == len(short):
            return short
    stems = [name.with_suffix("") for name in names]
    count = Counter(stems)
    return [
        stem if count[stem] == 1 else stem.with_name(f"{stem.name}_{name.suffix[1:]}")
        for stem, name in zip(stems, names, strict=True)
    ]
