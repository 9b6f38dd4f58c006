"""A folder of aligned face pictures, decoded once where it fits in memory."""

import math
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from datasets.age_parsing import parse_age
from utils.ages import counted_by_year
from utils.diary import DATA, enter
from utils.errors import InputError
from utils.notes import note
from utils.pictures.listing import list_images
from utils.pictures.reading import read_pixels
from utils.pictures.tensors import to_float

CACHE_BYTES = 4 * 2**30
MAX_BAD_SHARE = 0.1
_NAMED, _LISTED = 10, 100  # bad files named one by one, and in a report
_BAR_FROM = 2000  # pictures

Item = int | tuple[int, bool]


class FaceFolder(Dataset[dict[str, Any]]):
    """Pictures below a folder with the ages of their names.

    A sample is ``{"image": (3, S, S) float32 in [-1, 1], "age": float32 years (NaN without), "index": int,
    "flip": bool}``; it is asked for by index or by ``(index, flip)``, see ``datasets.sampling``.
    Bad files are named on stderr, skipped and kept in ``skipped``.

    Args:
        folder: searched recursively; or a zip archive.
        size: side in pixels; pictures of another size are resized to the square.
        require_age: a name without an age makes a file bad.
        cache: True decodes everything now, False on access, "auto" now if it fits in ``cache_bytes``.
        augment: applied to the float picture ``(3, S, S)`` after the flip; the functions for whole batches in
            ``datasets.augment`` are faster and take a generator.
        official_ages: whole years, as the official MyTimeMachine reads them.
        resample: "bilinear" (official), "bicubic" or "lanczos".
        cache_bytes: budget of "auto".
        progress: whether a long decode shows a bar.
        select: keeps only the files for which it holds, e.g. `in_share`.
        own_output: where the calling command writes, see `list_images`.

    Raises:
        InputError: no such folder, no picture left, or more than a tenth of the files are bad.
    """

    paths: list[Path]
    ages: Tensor
    skipped: list[tuple[Path, str]]

    def __init__(
        self,
        folder: str | Path,
        size: int,
        require_age: bool = False,
        cache: bool | Literal["auto"] = "auto",
        augment: Callable[[Tensor], Tensor] | None = None,
        *,
        official_ages: bool = False,
        resample: str = "bilinear",
        cache_bytes: int = CACHE_BYTES,
        progress: bool = True,
        select: Callable[[Path], bool] | None = None,
        own_output: Sequence[str | Path] = (),
    ) -> None:
        self.folder = Path(folder)
        self._select = select
        self._own_output = own_output
        self.size = size
        self.augment = augment
        self.resample = resample
        self.skipped = []
        self._pixels: Tensor | None = None
        paths, ages = self._scan(require_age, official_ages)
        self._total = len(paths) + len(self.skipped)
        if self._total == 0:
            raise InputError(f"none of the pictures in {self.folder} belongs to the chosen share of it")
        if cache is True or (cache == "auto" and len(paths) * 3 * size * size <= cache_bytes):
            good = self._decode_all(paths, progress)
            paths, ages = [paths[i] for i in good], [ages[i] for i in good]
        self.paths = paths
        self.ages = torch.tensor(ages, dtype=torch.float32)
        self._report()
        enter(DATA, self.card())

    def _scan(self, require_age: bool, official_ages: bool) -> tuple[list[Path], list[float]]:
        """Lists the pictures and reads their ages; files whose age is needed and missing are bad."""
        paths, ages = [], []
        for path in list_images(self.folder, self._own_output):
            if self._select is not None and not self._select(path):
                continue
            try:
                age = parse_age(path, official_ages)
            except InputError as error:
                if require_age:
                    self.skipped.append((path, str(error)))
                    continue
                age = math.nan
            paths.append(path)
            ages.append(age)
        return paths, ages

    def _decode_all(self, paths: Sequence[Path], progress: bool) -> list[int]:
        """Decodes every picture into one tensor with threads; returns the positions of the good ones."""
        pixels = torch.empty((len(paths), self.size, self.size, 3), dtype=torch.uint8)
        target = pixels.numpy()

        def decode(position: int) -> str | None:
            try:
                target[position] = read_pixels(paths[position], self.size, self.resample)
            except InputError as error:
                return str(error)
            return None

        with ThreadPoolExecutor(max_workers=min(16, os.cpu_count() or 1)) as pool:
            results = pool.map(decode, range(len(paths)))
            quiet = not progress or len(paths) < _BAR_FROM
            errors = list(tqdm(results, "decoding", len(paths), disable=quiet, unit="picture", leave=False))
        self.skipped += [(paths[i], error) for i, error in enumerate(errors) if error is not None]
        good = [i for i, error in enumerate(errors) if error is None]
        self._pixels = pixels if len(good) == len(paths) else pixels[good]
        return good

    def _report(self) -> None:
        """Names the bad files on stderr and refuses a folder with too many of them."""
        if not self.skipped:
            return
        bad, total = len(self.skipped), self._total
        if bad > MAX_BAD_SHARE * total or bad == total:
            raise InputError(
                f"{bad} of {total} pictures in {self.folder} cannot be used, more than a tenth; "
                f"the first: {self.skipped[0][1]}"
            )
        for _, reason in self.skipped[:_NAMED]:
            note(reason, kind="skipped")
        print(f"{bad} of {total} pictures in {self.folder} skipped", file=sys.stderr)

    def card(self) -> dict[str, Any]:
        """What a report says of the pictures: how many there are of each age, and what was skipped."""
        return {
            "folder": str(self.folder),
            "pictures": len(self.paths),
            "ages": counted_by_year(self.ages.tolist()),
            "skipped": len(self.skipped),
            "reasons": [reason for _, reason in self.skipped[:_LISTED]],
        }

    @property
    def images(self) -> Tensor | None:
        """All pictures, uint8 ``(N, 3, S, S)`` in channels-last memory; None if decoded on access."""
        return None if self._pixels is None else self._pixels.permute(0, 3, 1, 2)

    def __len__(self) -> int:
        return len(self.paths)

    def _read(self, index: int) -> tuple[int, np.ndarray]:
        """Decodes one picture; a bad one is replaced by the next good one, within the limit on bad files."""
        while True:
            path = self.paths[index]
            try:
                return index, read_pixels(path, self.size, self.resample)
            except InputError as error:
                if path not in (known for known, _ in self.skipped):
                    self.skipped.append((path, str(error)))
                    self._report()  # refuses too many, so that the search ends
            index = (index + 1) % len(self.paths)

    def __getitem__(self, item: Item) -> dict[str, Any]:
        index, flip = item if isinstance(item, tuple) else (item, False)
        index = range(len(self.paths))[index]
        if self._pixels is not None:
            pixels = self._pixels[index]
        else:
            index, array = self._read(index)
            pixels = torch.from_numpy(array)
        image = to_float(pixels.permute(2, 0, 1).contiguous())
        if flip:
            image = image.flip(2)
        if self.augment is not None:
            image = self.augment(image)
        return {"image": image, "age": self.ages[index], "index": index, "flip": bool(flip)}

    def batch(self, items: Sequence[Item]) -> dict[str, Tensor]:
        """Returns a batch in channels-last memory; from the cache far faster than a DataLoader.

        Returns:
            ``image`` (B, 3, S, S) float32, ``age`` (B,) float32, ``index`` (B,) int64, ``flip`` (B,) bool.
        """
        pairs = [item if isinstance(item, tuple) else (item, False) for item in items]
        if self._pixels is None or self.augment is not None:
            samples = [self[pair] for pair in pairs]
            images = torch.stack([sample["image"] for sample in samples])
            images = images.contiguous(memory_format=torch.channels_last)
            index = torch.tensor([sample["index"] for sample in samples])
            flip = torch.tensor([sample["flip"] for sample in samples])
        else:
            index = torch.tensor([pair[0] for pair in pairs])
            flip = torch.tensor([bool(pair[1]) for pair in pairs])
            pixels = self._pixels[index]
            pixels[flip] = pixels[flip].flip(2)
            images = to_float(pixels.permute(0, 3, 1, 2))
        return {"image": images, "age": self.ages[index], "index": index, "flip": flip}
