"""Photos for inference: any folder or single file, read batch by batch; a bad file is named and skipped."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from utils.errors import InputError
from utils.faces.alignment import Crop, detect_faces, face_square, warp_square
from utils.files.text import find_file, is_heading, read_text
from utils.parallel import worker_count
from utils.pictures.listing import HEIF_EXTENSIONS, list_images
from utils.pictures.reading import read_image, read_pixels
from utils.pictures.tensors import to_float


@dataclass(frozen=True)
class PhotoBatch:
    """Some photos in folder order.

    Attributes:
        images: ``(B, 3, S, S)`` float32 in [-1, 1].
        names: path of each result below its folder.
        paths: the files.
        squares: corners (4, 2) of the aligned face in each upright photo; None where nothing was aligned.
        first: number of the first photo, counted over the readable photos of the whole run.
    """

    images: Tensor
    names: list[Path]
    paths: list[Path]
    squares: list[np.ndarray | None]
    first: int


@dataclass(frozen=True)
class Sample:
    """One photo ``(3, S, S)`` and the square of its face, or why it cannot be used."""

    index: int
    image: Tensor | None = None
    square: np.ndarray | None = None
    reason: str = ""


class Photos(Dataset[Sample]):
    """Photos resized to a square, or the main face of each, aligned.

    Args:
        path: a folder, searched recursively, one picture, or a list of pictures.
        size: side in pixels.
        limit: use only the first so many files.
        crop: align the main face of each photo to this square instead of resizing the whole photo.

    Attributes:
        skipped: files met so far that are unreadable or show no face, with the reason.

    Raises:
        InputError: no such path, or no picture there.
    """

    def __init__(
        self, path: str | Path | Sequence[Path], size: int, limit: int | None = None, crop: Crop | None = None
    ) -> None:
        if isinstance(path, (str, Path)):
            root = Path(path)
            self.paths = list_images(root)[:limit]
            self.names = result_names(self.paths, root.parent if root.is_file() else root)
        else:
            self.paths = list(path)[:limit]
            self.names = [Path(file.name) for file in self.paths]
        self.size = size
        self.crop = crop
        self.skipped: list[tuple[Path, str]] = []

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Sample:
        try:
            if self.crop is None:
                return Sample(index, read_image(self.paths[index], self.size))
            return self._aligned(index, self.crop)
        except InputError as error:
            return Sample(index, reason=str(error))

    def _aligned(self, index: int, crop: Crop) -> Sample:
        pixels = read_pixels(self.paths[index])
        faces = detect_faces(pixels)
        if not faces:
            raise InputError(f"no face found in {self.paths[index]}")
        square = face_square(faces[0].landmarks, crop.s, crop.k)
        face = np.array(warp_square(pixels, square, self.size, crop.fade))
        return Sample(index, to_float(torch.from_numpy(face).permute(2, 0, 1).contiguous()), square)

    def batches(self, batch_size: int, workers: int = 0) -> Iterator[PhotoBatch]:
        """Yields the usable photos; names the others on stderr.

        Raises:
            InputError: at the end, if not one photo could be used.
        """
        loader: DataLoader[Sample] = DataLoader(
            self,
            batch_size=batch_size,
            num_workers=worker_count(workers) if len(self) > batch_size else 0,
            collate_fn=list,
        )
        done = 0
        for samples in loader:
            images, good = [], []
            for sample in samples:
                if sample.image is None:
                    self.skipped.append((self.paths[sample.index], sample.reason))
                    print(f"skipped: {sample.reason}", file=sys.stderr)
                else:
                    images.append(sample.image)
                    good.append(sample)
            if good:
                yield PhotoBatch(
                    images=torch.stack(images),
                    names=[self.names[sample.index] for sample in good],
                    paths=[self.paths[sample.index] for sample in good],
                    squares=[sample.square for sample in good],
                    first=done,
                )
                done += len(good)
        if not done:
            raise InputError(f"not one of the {len(self)} pictures can be used; see the lines above")


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

    A format that is only read gets `.jpg` appended.
    """
    count = Counter(path.name for path in paths)
    names = [Path(path.name) if count[path.name] == 1 else path.relative_to(root) for path in paths]
    return [
        name.with_name(f"{name.name}.jpg") if name.suffix.lower() in HEIF_EXTENSIONS else name
        for name in names
    ]


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
