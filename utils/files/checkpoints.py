"""Safe checkpoint files: weights-only loading, atomic saving."""

import argparse
import contextlib
import json
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import Tensor

from utils.errors import InputError
from utils.files.network_pickle import read_network_pickle
from utils.files.writing import written_atomically

MMAP_FROM_BYTES = 200_000_000  # larger files are mapped, so only the tensors that are used get read
NESTED = "/"  # separates entry and key of nested state dicts in a safetensors file
# How the weights-only loader words its refusal of anything but tensors and plain containers.
FOREIGN_OBJECT = re.compile(r"unsupported (global|class)|can only build|trying to (instantiate|call)", re.I)
Checkpoint = dict[str, Any]


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Reads a ``.pt``, ``.pth``, ``.safetensors`` or NVIDIA ``.pkl`` file; nothing in it is run.

    Returns:
        The top-level dictionary, its tensors on the CPU. A file that is a bare state dict comes back as
        ``{"state_dict": ...}``; a ``Namespace`` of options comes back as a dictionary.

    Raises:
        InputError: the file is missing, damaged, not a checkpoint, or holds Python objects besides tensors.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the checkpoint file inside it")
    if not path.is_file():
        raise InputError(f"no such checkpoint: {path}")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    _reject_non_weights(path)
    if path.suffix == ".pkl" and not zipfile.is_zipfile(path):
        return read_network_pickle(path)
    try:
        with _plain_containers_allowed(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of pickles that it then refuses
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=_worth_mapping(path))
    except Exception as error:
        raise InputError(_why_unreadable(path, error)) from error
    return _normalised(content, path)


def _worth_mapping(path: Path) -> bool:
    return path.stat().st_size >= MMAP_FROM_BYTES and zipfile.is_zipfile(path)


@contextlib.contextmanager
def _plain_containers_allowed() -> Iterator[None]:
    """Lets ``argparse.Namespace``, a plain container that training scripts store, pass the safe loader."""
    before = list(torch.serialization.get_safe_globals())
    torch.serialization.add_safe_globals([argparse.Namespace])
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _reject_non_weights(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise InputError(f"{path} is empty; copy or download it again")
    if head.startswith(b"version https://git-lfs"):
        raise InputError(f"{path} is only a Git LFS pointer; fetch the real file with `git lfs pull`")
    if head.lstrip()[:1] == b"<":
        raise InputError(f"{path} is a web page, not a checkpoint; the download failed, download it again")


def _why_unreadable(path: Path, error: Exception) -> str:
    text = str(error)
    if FOREIGN_OBJECT.search(text):
        return (
            f"{path} holds Python objects besides tensors and options and is not opened, because that could "
            f"run code; save only its state dict (or convert it to .safetensors) where you trust it"
        )
    reason = "not written by torch.save" if "Weights only load failed" in text else _first_line(text)
    return f"{path} is damaged or is not a checkpoint ({reason}); copy it again"


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:120] if text.strip() else ""


def _normalised(content: Any, path: Path) -> Checkpoint:
    if isinstance(content, argparse.Namespace):
        content = vars(content)
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{path} holds a {type(content).__name__}, not a dictionary of weights")
    if all(isinstance(value, Tensor) for value in content.values()):
        return {"state_dict": dict(content)}
    return {key: vars(v) if isinstance(v, argparse.Namespace) else v for key, v in content.items()}


def _read_safetensors(path: Path) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    result: Checkpoint = {}
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            top_level = set(json.loads(metadata.get("top_level_tensors", "[]")))
            for name in file.keys():  # noqa: SIM118 (not a dict)
                value = file.get_tensor(name)
                if name in top_level:
                    result[name] = value
                    continue
                entry, _, key = name.rpartition(NESTED)
                result.setdefault(entry or "state_dict", {})[key] = value
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        reason = _first_line(str(error))
        raise InputError(f"{path} is damaged or is not a safetensors file ({reason})") from error
    return {**result, **_decoded(metadata, path)}


def _decoded(metadata: Mapping[str, str], path: Path) -> Checkpoint:
    try:
        return json.loads(metadata.get("agelab", "{}"))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: the options in its metadata are not JSON; save it again") from error


def save_checkpoint(checkpoint: Mapping[str, Any], path: str | Path) -> Path:
    """Writes a checkpoint so that a reader sees the old file or the whole new one, never a part.

    The format follows the suffix. In ``.safetensors`` the keys of ``state_dict`` stand as they are, other
    state dicts as ``entry/key``, tensors of the top level under their name, all else as JSON in the metadata.

    Raises:
        InputError: the file cannot be written or its content does not fit the format; no part file is left.
    """
    path = Path(path)
    try:
        with written_atomically(path) as temporary:
            if path.suffix == ".safetensors":
                temporary.write_bytes(_safetensors_bytes(checkpoint, path))
            else:
                # Given a path, torch writes its name into the file, and the temporary one is random.
                with temporary.open("wb") as file:
                    torch.save(_plain(checkpoint), file)
    except RuntimeError as error:  # what torch makes of a disk that is full
        raise InputError(f"cannot write {path}: {_first_line(str(error))}") from error
    return path


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
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(_plain(item) for item in value)
    return str(value) if isinstance(value, PurePath) else value


def _safetensors_bytes(checkpoint: Mapping[str, Any], path: Path) -> bytes:
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    rest: dict[str, Any] = {}
    for entry, value in checkpoint.items():
        if isinstance(value, Tensor):
            tensors[entry] = value
        elif _is_state(value):
            prefix = "" if entry == "state_dict" else entry + NESTED
            tensors.update({prefix + key: item for key, item in value.items()})
        else:
            rest[entry] = value
    top_level = [entry for entry, value in checkpoint.items() if isinstance(value, Tensor)]
    try:
        metadata = {"format": "pt", "top_level_tensors": json.dumps(top_level), "agelab": json.dumps(rest)}
    except TypeError as error:
        raise InputError(f"cannot write {path}: {error}; use the suffix .pt for such content") from error
    return save({key: _plain(item).clone() for key, item in tensors.items()}, metadata)


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(v, Tensor) for v in value.values())
