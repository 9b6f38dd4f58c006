"""Named tensors from small files of other programs: ``.npy``, what ``torch.save`` writes, safetensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from utils.errors import InputError
from utils.files.checkpoints import read_safely

SUFFIXES = (".npy", ".pt", ".safetensors")


def read_vectors(path: str | Path) -> dict[str, Any]:
    """What a file holds, by name; what has none is called ``""``. Nothing in it is run.

    Raises:
        InputError: the file is missing, damaged or of another format, or holds what could run code.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: give a file of one of the formats {', '.join(SUFFIXES)}")
    content = _read_npy(path) if path.suffix.lower() == ".npy" else read_safely(path)
    if not isinstance(content, Mapping):
        return {"": content}
    if path.suffix.lower() == ".safetensors":  # whose names stand under those of entries
        return {
            key: value
            for entry, item in content.items()
            for key, value in (item.items() if isinstance(item, Mapping) else [(entry, item)])
        }
    return {str(key): value for key, value in content.items()}


def _read_npy(path: Path) -> torch.Tensor:
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    try:
        with path.open("rb") as file:
            return torch.from_numpy(np.lib.format.read_array(file, allow_pickle=False))
    except (ValueError, TypeError, EOFError, MemoryError, SyntaxError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:120]
        raise InputError(
            f"{path} is no array of numbers in numpy's format ({reason}); save it again"
        ) from error
