"""Reads and writes ``.safetensors`` with a digest of ours, as the format has no checksum of its own.

The keys of ``state_dict`` stand as they are, other state dicts as ``entry/key``, tensors of the top level
under their name, all else as JSON in the metadata. Files of other programs have no digest.
"""

import hashlib
import json
import math
import mmap
import os
import zlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

NESTED = "/"  # separates entry and key of nested state dicts
DIGEST = "agelab_digest"
LARGEST_HEADER = 1 << 24  # bytes; a file of 10,000 tensors has 1 MB
THREADS = 8
DIMENSIONS = 16
NUMBERS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def looks_like_safetensors(head: bytes) -> bool:
    """Whether a file that begins so is of this format: the length of its header, then the header, JSON."""
    return head[8:9] == b"{"


def read_safetensors(data: mmap.mmap, map_storages: bool) -> dict[str, Any]:
    """Reads a file.

    Args:
        data: the file.
        map_storages: leave the numbers of tensors in the file until they are used.

    Raises:
        ValueError: it is damaged; other errors of malformed JSON.
    """
    length = int.from_bytes(data[:8], "little")
    if length > len(data) - 8:
        raise ValueError("it is cut short")
    if length > LARGEST_HEADER:
        raise ValueError("its header is too long")
    header = json.loads(data[8 : 8 + length].decode())
    metadata = header.pop("__metadata__", {})
    if not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata is no text")
    tensors = _tensors(header, data, 8 + length, map_storages)
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


def _tensors(header: dict[str, Any], data: mmap.mmap, start: int, mapped: bool) -> dict[str, Tensor]:
    """The tensors that a header names: one after another, without gaps, to the end of the file."""
    found: dict[str, Tensor] = {}
    end = 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        (begin, stop), shape, dtype = entry["data_offsets"], entry["shape"], NUMBERS.get(entry["dtype"])
        if dtype is None:
            raise ValueError(f"numbers of the kind {str(entry['dtype'])[:20]}")
        if not all(type(size) is int and size >= 0 for size in shape) or len(shape) > DIMENSIONS:
            raise ValueError("a tensor whose sizes are no sizes")
        count = math.prod(shape)
        if begin != end or stop - begin != count * dtype.itemsize or start + stop > len(data):
            raise ValueError("its parts do not follow one another")
        end = stop
        if not count:
            found[name] = torch.empty(shape, dtype=dtype)
            continue
        numbers = torch.frombuffer(data, dtype=dtype, offset=start + begin, count=count)
        keep = mapped and (start + begin) % dtype.itemsize == 0
        found[name] = (numbers if keep else numbers.clone()).view(shape)
    if start + end != len(data):
        raise ValueError("its parts do not fill it")
    return {name: found[name] for name in header}


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
