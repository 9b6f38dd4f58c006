"""Safe checkpoint files: checked and weights-only loading, atomic and verified saving."""

import pickle
import sys
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import Tensor

from utils.errors import InputError, explained
from utils.files.checkpoint_content import LEAVES, Checkpoint, normalised
from utils.files.network_pickle import read_network_pickle
from utils.files.safe_pickle import RefusedError
from utils.files.safetensors_files import looks_like_safetensors, read_safetensors, safetensors_bytes
from utils.files.torch_files import (
    ARCHIVE_START,
    OLD_START,
    check_archive,
    map_file,
    read_archive,
    read_old_file,
)
from utils.files.writing import written_atomically

__all__ = ["Checkpoint", "halved", "load_checkpoint", "read_safely", "save_checkpoint"]

MMAP_FROM_BYTES = 200_000_000  # the numbers of larger files stay in them until they are used
TENSORFLOW = " (a TensorFlow pickle; convert it with the legacy.py of stylegan2-ada-pytorch first)"


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Reads a file of weights, checks it, and brings it into one form; nothing in it is run.

    The format is told by the content: what ``torch.save`` writes (zip archives, whose checksums are compared,
    and the format before them), safetensors (with our digest, where there is one), NVIDIA's ``.pkl``.

    Returns:
        The top-level dictionary, its tensors on the CPU. A file that is a bare state dict comes back as
        ``{"state_dict": ...}``; see :func:`utils.files.checkpoint_content.normalised`.

    Raises:
        InputError: the file is missing, damaged, not a checkpoint, or holds what does not belong there.
    """
    return normalised(read_safely(path), Path(path))


def read_safely(path: str | Path) -> Any:
    """What stands in a file of any of these formats, as it is: the first half of :func:`load_checkpoint`.

    Raises:
        InputError: it is missing, damaged, of another format, or holds more than tensors and containers.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the checkpoint file inside it")
    if not path.is_file():
        raise InputError(f"no such checkpoint: {path}")
    try:
        return _content(path)
    except (InputError, OSError, MemoryError):
        raise
    except RefusedError as error:
        hint = TENSORFLOW if "dnnlib.tflib" in str(error) else ""
        raise InputError(
            f"{path} is not opened: it {error}{hint}; only tensors and plain containers are read, because "
            f"anything else could run code; save only its state dict"
        ) from error
    except Exception as error:  # of a malformed file, whatever it is
        raise InputError(
            f"{path} is damaged or is not a checkpoint ({_reason(error)}); copy or download it again"
        ) from error


def _content(path: Path) -> Any:
    """What a file holds, by the format that its first bytes tell."""
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise InputError(f"{path} is empty; copy or download it again")
    if head.startswith(b"version https://git-lfs"):
        raise InputError(f"{path} is only a Git LFS pointer; fetch the real file with `git lfs pull`")
    if head.lstrip()[:1] == b"<":
        raise InputError(f"{path} is a web page, not a checkpoint; the download failed, download it again")
    data = map_file(path)
    # Windows replaces no file that is mapped, and a training replaces the state that it was resumed from.
    mapped = len(data) >= MMAP_FROM_BYTES and sys.platform != "win32"
    if head.startswith(ARCHIVE_START):
        return read_archive(path, data, mapped)
    if head.startswith(OLD_START):
        return read_old_file(path, data, len(data))
    if looks_like_safetensors(head):
        return read_safetensors(path)
    return read_network_pickle(path)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    text = str(error) or type(error).__name__
    if isinstance(error, KeyError):
        text = f"{text} is missing"
    return text.strip().splitlines()[0][:120]


def save_checkpoint(checkpoint: Mapping[str, Any], path: str | Path) -> Path:
    """Writes a checkpoint so that a reader sees the old file or the whole new one, never a part.

    The format follows the suffix: safetensors, or that of ``torch.save``. What was written is compared with
    its checksums before it takes the place of an older file.

    Raises:
        InputError: the file cannot be written or its content does not fit the format; no part file is left.
    """
    path = Path(path)
    try:
        with written_atomically(path) as temporary:
            if path.suffix.lower() == ".safetensors":
                temporary.write_bytes(safetensors_bytes(checkpoint))
            else:
                # Given a path, torch writes its name into the file, and the temporary one is random.
                with temporary.open("wb") as file:
                    torch.save(_plain(checkpoint), file)
            _read_back(temporary)
    except TypeError as error:
        raise InputError(f"cannot write {path}: {error}; use the suffix .pt for such content") from error
    except (RuntimeError, ValueError, AttributeError, pickle.PicklingError) as error:
        # What torch makes of a disk that is full, and of content that cannot be stored.
        raise InputError(f"cannot write {path}: {explained(error) or _reason(error)}") from error
    return path


def _read_back(temporary: Path) -> None:
    """Raises ``ValueError`` if the checksums of a file that was just written are not those of its content."""
    try:
        if temporary.suffix.lower() == ".safetensors":
            read_safetensors(temporary)
        else:
            check_archive(map_file(temporary))
    except Exception as error:
        raise ValueError(f"what was written cannot be read back ({_reason(error)})") from error


def halved(content: Any) -> Any:
    """A copy with every floating-point tensor of two or more dimensions in half precision.

    Vectors (biases, norms, averages) stay as they are: they are small, and some need the range of float32.
    """
    if isinstance(content, Tensor):
        return content.half() if content.is_floating_point() and content.dim() > 1 else content
    if isinstance(content, Mapping):
        return {key: halved(value) for key, value in content.items()}
    return content


def _plain(value: Any) -> Any:
    """Tensors detached, on the CPU, each with a storage of its own; containers plain, paths as text."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().contiguous()
        whole = value.untyped_storage().nbytes() == value.numel() * value.element_size()
        return value if whole else value.clone()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [_plain(item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, PurePath):
        return str(value)
    if not isinstance(value, (*LEAVES, set)):
        raise ValueError(f"a {type(value).__name__} is no part of a checkpoint")
    return value
