"""Photos for inference: any folder or single file, read batch by batch; a bad file is named and skipped."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from utils.errors import InputError
from utils.images import EXTENSIONS, list_images, read_image


@dataclass(frozen=True)
class PhotoBatch:
    """Some photos in folder order.

    Attributes:
        images: ``(B, 3, S, S)`` float32 in [-1, 1].
        names: path of each result below its folder.
        first: number of the first photo, counted over the readable photos of the whole run.
    """

    images: Tensor
    names: list[Path]
    first: int


class Photos(Dataset[tuple[int, Tensor | None, str]]):
    """The photos at a path, resized to a square.

    Args:
        path: a folder, searched recursively, or one picture.
        size: side in pixels.
        limit: use only the first so many files.

    Attributes:
        skipped: unreadable files met so far, with the reason.

    Raises:
        InputError: no such path, or no picture there.
    """

    def __init__(self, path: str | Path, size: int, limit: int | None = None) -> None:
        root = Path(path)
        is_single_picture = root.is_file() and root.suffix.lower() in EXTENSIONS
        self.paths = ([root] if is_single_picture else list_images(root))[:limit]
        self.names = result_names(self.paths, root.parent if is_single_picture else root)
        self.root = root
        self.size = size
        self.skipped: list[tuple[Path, str]] = []

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[int, Tensor | None, str]:
        """Returns the index, the picture ``(3, S, S)`` or None, and why it could not be read."""
        try:
            return index, read_image(self.paths[index], self.size), ""
        except InputError as error:
            return index, None, str(error)

    def batches(self, batch_size: int, workers: int = 0) -> Iterator[PhotoBatch]:
        """Yields the readable photos; names the others on stderr.

        Raises:
            InputError: at the end, if not one photo could be read.
        """
        loader: DataLoader[tuple[int, Tensor | None, str]] = DataLoader(
            self,
            batch_size=batch_size,
            num_workers=workers if len(self) > batch_size else 0,
            collate_fn=list,
        )
        done = 0
        for samples in loader:
            good = [(index, image) for index, image, _ in samples if image is not None]
            for index, image, reason in samples:
                if image is None:
                    self.skipped.append((self.paths[index], reason))
                    print(f"skipped: {reason}", file=sys.stderr)
            if good:
                yield PhotoBatch(
                    torch.stack([image for _, image in good]), [self.names[index] for index, _ in good], done
                )
                done += len(good)
        if not done:
            raise InputError(
                f"not one of the {len(self)} pictures in {self.root} can be read; see the lines above"
            )


def result_names(paths: Sequence[Path], root: Path) -> list[Path]:
    """Names the result of each photo: its file name, or its path below ``root`` where names recur."""
    count = Counter(path.name for path in paths)
    return [Path(path.name) if count[path.name] == 1 else path.relative_to(root) for path in paths]
