"""The pictures by which one watches a training: those of a test folder, else of the training folder."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from configs.paths_config import DATASETS, dataset_paths
from datasets.faces import FaceFolder
from models.psp import append_age, pSp
from options.encoder_options import FolderOptions
from utils.pictures.sheets import image_sheet
from utils.spacing import evenly

SHEET_SIDE = 256  # pixels of a picture on a sheet, at most
SHEET_AGES = (5, 20, 35, 50, 65, 80)


class WatchedPictures:
    """Fixed pictures for validation and sheets.

    Args:
        test: pictures (N, 3, S, S) of the test folder, None without one.
        training: the training pictures.
        device: where they are wanted.
    """

    def __init__(self, test: Tensor | None, training: FaceFolder, device: torch.device) -> None:
        self.test = test
        self._training = training
        self._device = device

    def test_batches(self, size: int) -> list[Tensor]:
        """The test pictures, `size` at a time."""
        return [] if self.test is None else [part.to(self._device) for part in self.test.split(size)]

    def shown(self, count: int = 8) -> Tensor:
        """Pictures (B, 3, S, S) for a sheet."""
        if self.test is not None:
            return self.test[evenly(len(self.test), count)].to(self._device)
        return self._training.batch(range(min(count, len(self._training))))["image"].to(self._device)

    def sheet_name(self, name: str) -> str:
        """Where a sheet of them goes: the official folder of the test or training faces."""
        return f"{'train' if self.test is None else 'test'}/faces/{name}"


def load_test_pictures(
    folder: str | None, size: int, count: int, own_output: Sequence[str | Path] = ()
) -> Tensor | None:
    """Pictures (N, 3, size, size) of a folder, at most `count`, evenly over its files; None without one."""
    if not folder:
        return None
    test = FaceFolder(folder, size, own_output=own_output)
    return test.batch(evenly(len(test), count))["image"]


def test_folder(opts: FolderOptions) -> str | None:
    """`--test_dataset`; beside the official training folder the official test folder, where it exists."""
    training, test = (dataset_paths[name] for name in DATASETS[opts.dataset_type])
    if opts.test_dataset is None and opts.train_dataset == training and Path(test).is_dir():
        return test
    return opts.test_dataset


def sheet_of_columns(columns: list[Tensor], labels: list[str]) -> Image.Image:
    """A sheet with one row a picture; `columns` hold (B, 3, S, S) batches, shown as large as the largest."""
    size = min(SHEET_SIDE, max(column.shape[-1] for column in columns))
    fitted = [F.interpolate(column.float(), size, mode="bicubic", antialias=True) for column in columns]
    rows = [list(row) for row in zip(*[c.float().cpu() for c in fitted], strict=True)]
    return image_sheet(rows, column_labels=labels)


@torch.no_grad()
def sheet_of_ages(net: pSp, pictures: Tensor, inputs: Tensor) -> Image.Image:
    """A sheet of pictures (B, 3, S, S) and what a network makes of its inputs at several ages."""
    columns, photo_codes = [pictures], net.encode_photo(inputs)
    for age in SHEET_AGES:
        years = torch.full((len(inputs),), float(age), device=inputs.device)
        codes = net.personalize(net.encode(append_age(inputs, years), photo_codes), years)
        columns.append(net.decode(codes))
    return sheet_of_columns(columns, ["input", *(str(age) for age in SHEET_AGES)])
