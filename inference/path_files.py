"""Files of latent paths: codes of faces at several ages, and small pictures that tell the faces."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from utils.errors import InputError
from utils.files.writing import written_atomically
from utils.pictures.tensors import to_float, to_uint8

PATH_FILE = "path.npz"
SIDE = 32  # pixels of the pictures by which faces are recognised
LARGEST = 1 << 30  # bytes of a file's numbers


@dataclass(frozen=True)
class LatentPath:
    """The codes of one face at A ages.

    Attributes:
        ages: (A,) years, rising.
        codes: (A, n_styles, style_dim).
        face: (3, 32, 32) in [-1, 1], the face in small.
    """

    ages: Tensor
    codes: Tensor
    face: Tensor

    def at(self, ages: Tensor) -> Tensor:
        """Codes (N, n_styles, style_dim) at ages (N,): between two of the path, or its nearer end."""
        ages = ages.to(self.ages).clamp(self.ages[0], self.ages[-1])
        after = torch.searchsorted(self.ages, ages).clamp(1 if len(self.ages) > 1 else 0, len(self.ages) - 1)
        before = (after - 1).clamp(0)
        width = (self.ages[after] - self.ages[before]).clamp_min(1e-6)
        share = ((ages - self.ages[before]) / width)[:, None, None].to(self.codes)
        return torch.lerp(self.codes[before], self.codes[after], share)


def in_small(images: Tensor) -> Tensor:
    """Faces (B, 3, S, S) as they are compared: (B, 3, 32, 32)."""
    return F.adaptive_avg_pool2d(images.float().cpu(), SIDE)


def write_path(path: Path, ages: Tensor, codes: Tensor, images: Tensor) -> None:
    """Writes the paths of the F faces of a photo, each by rising age; arrays of plain numbers, no pickle.

    Args:
        path: the file.
        ages: (F, A) years.
        codes: (F, A, n_styles, style_dim).
        images: (F, 3, S, S) in [-1, 1].

    Raises:
        InputError: it cannot be written.
    """
    order = ages.argsort(dim=1, stable=True)
    arrays = {
        "ages": ages.gather(1, order),
        "codes": codes.gather(1, order[:, :, None, None].expand_as(codes)),
        "faces": to_uint8(in_small(images)),
    }
    with written_atomically(path) as temporary:
        np.savez(temporary, **{name: value.numpy() for name, value in arrays.items()})


def read_paths(source: str | Path) -> list[LatentPath]:
    """Reads a file of paths, or every one below a folder.

    Raises:
        InputError: there is none, or one is damaged.
    """
    root = Path(source)
    files = sorted(root.rglob(PATH_FILE)) if root.is_dir() else [root]
    if not files:
        raise InputError(f"--codes={root} holds no {PATH_FILE}; optimize_path.py writes it")
    return [found for file in files for found in _read(file)]


def _read(file: Path) -> list[LatentPath]:
    try:
        with zipfile.ZipFile(file) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > LARGEST:
            raise ValueError(f"it would take {size} bytes")
        with np.load(file, allow_pickle=False) as content:
            ages, codes, faces = (torch.from_numpy(content[name]) for name in ("ages", "codes", "faces"))
        _check(ages, codes, faces)
    except FileNotFoundError:
        raise InputError(f"--codes={file}: no such file or folder") from None
    except Exception as error:  # whatever a damaged archive or foreign arrays raise, in its own words
        raise InputError(
            f"--codes: {file} is no path of codes ({error}); give a file that optimize_path.py wrote"
        ) from error
    paths = zip(ages.float(), codes.float(), to_float(faces), strict=True)
    return [LatentPath(*path) for path in paths]


def _check(ages: Tensor, codes: Tensor, faces: Tensor) -> None:
    """Raises ``ValueError`` unless the arrays belong together."""
    if codes.dim() != 4 or ages.shape != codes.shape[:2] or 0 in codes.shape:
        raise ValueError(f"ages {list(ages.shape)} and codes {list(codes.shape)} do not belong together")
    if faces.dtype != torch.uint8 or faces.shape != (len(ages), 3, SIDE, SIDE):
        raise ValueError(f"faces are {list(faces.shape)}, not {[len(ages), 3, SIDE, SIDE]} bytes")
    if not (codes.is_floating_point() and codes.isfinite().all() and ages.isfinite().all()):
        raise ValueError("numbers that are not finite")
    if (ages.diff(dim=1) < 0).any():
        raise ValueError("the ages do not rise")
