"""Reads and writes ``.safetensors`` with a digest of ours, as the format has no checksum of its own.

The keys of ``state_dict`` stand as they are, other state dicts as ``entry/key``, tensors of the top level
under their name, all else as JSON in the metadata. Files of other programs have no digest.
"""

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils.errors import one_line

NESTED = "/"  # separates entry and key of nested state dicts
DIGEST = "agelab_digest"
LARGEST_HEADER = 1 << 24  # bytes; a file of 10,000 tensors has 1 MB
THREADS = 8


def looks_like_safetensors(head: bytes) -> bool:
    """Whether a file that begins so is of this format: the length of its header, then the header, JSON."""
    return head[8:9] == b"{"


def read_safetensors(path: Path) -> dict[str, Any]:
    """Reads a file.

    Raises:
        ValueError: it is damaged; other errors of malformed files and JSON.
    """
    from safetensors import safe_open

    with path.open("rb") as file:
        if int.from_bytes(file.read(8), "little") > LARGEST_HEADER:
            raise ValueError("its header is too long")
        # The library takes names in UTF-8 only.
        name = f"/dev/fd/{file.fileno()}" if one_line(str(path)) != str(path) else str(path)
        with safe_open(name, framework="pt", device="cpu") as content:
            metadata = content.metadata() or {}
            tensors = {key: content.get_tensor(key) for key in content.keys()}  # noqa: SIM118 (no dict)
    if DIGEST in metadata and metadata[DIGEST] != digest(tensors, metadata):
        raise ValueError("its content differs from its checksum")
    result: dict[str, Any] = {}
    top_level = set(json.loads(metadata.get("top_level_tensors", "[]")))
    for name, value in tensors.items():
        if name in top_level:
            result[name] = value
            continue
        entry, _, key = name.rpartition(NESTED)
        result.setdefault(entry or "state_dict", {})[key] = value
    rest = json.loads(metadata.get("agelab", "{}"))
    if not isinstance(rest, dict):
        raise ValueError("its options are no options")
    return {**result, **rest}


def safetensors_bytes(checkpoint: Mapping[str, Any]) -> bytes:
    """The file of a checkpoint.

    Raises:
        TypeError: its content does not fit the format.
    """
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
    metadata = {"format": "pt", "top_level_tensors": json.dumps(top_level), "agelab": json.dumps(rest)}
    tensors = {key: item.detach().cpu().contiguous().clone() for key, item in tensors.items()}
    return save(tensors, {**metadata, DIGEST: digest(tensors, metadata)})


def digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 over names, kinds, shapes and the CRC-32 of the bytes of all tensors, and the metadata."""
    names = sorted(tensors)
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        sums = list(pool.map(_crc, [tensors[name] for name in names]))
    described: list[Iterable[Any]] = [
        (name, str(tensors[name].dtype), list(tensors[name].shape), crc)
        for name, crc in zip(names, sums, strict=True)
    ]
    others = sorted((key, value) for key, value in metadata.items() if key != DIGEST)
    return hashlib.sha256(json.dumps([described, others]).encode()).hexdigest()


def _crc(tensor: Tensor) -> int:
    if not tensor.numel():
        return 0
    return zlib.crc32(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(v, Tensor) for v in value.values())
