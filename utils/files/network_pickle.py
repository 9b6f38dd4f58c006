"""Reads the network pickles of stylegan2-ada-pytorch and stylegan3 without running anything in them.

Such a pickle holds each network as a call of ``torch_utils.persistence`` with the network's source text and
its state. Here the call only keeps the state; the text is never looked at. All else is refused.
"""

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from utils.errors import InputError
from utils.files.safe_pickle import Maker, RefusedError, SafeUnpickler, Storage, dictionary
from utils.files.torch_files import map_file, read_old_file

BARE = "network"  # the entry of a network that is the whole content of a file
SCALARS = (bool, int, float, str, type(None))
MODULES = 10_000  # of a file's network; StyleGAN2 at 1024 pixels has some 60
DEPTH = 20
EXPANSION = 4  # bytes of the tensors, in float32, for each of the file


class _Network:
    """State of one pickled module: its class name and its attributes."""

    __slots__ = ("class_name", "state")

    def __init__(self, meta: Any) -> None:
        if not isinstance(meta, Mapping) or not isinstance(meta.get("state"), Mapping):
            raise RefusedError("holds a persistent object without a state")
        self.class_name = str(meta.get("class_name"))
        self.state = dict(meta["state"])


def _storage(data: Any) -> Storage:
    """A tensor's storage, which torch pickles as the bytes of a small file in its old format."""
    if not isinstance(data, bytes):
        raise ValueError("a storage without bytes")
    storage = read_old_file(io.BytesIO(data), io.BytesIO(data), len(data))
    if not isinstance(storage, torch.TypedStorage):
        raise RefusedError(f"holds a {type(storage).__name__} in the place of a tensor's storage")
    with warnings.catch_warnings():  # torch wants no new code with typed storages; old pickles hold them
        warnings.simplefilter("ignore", UserWarning)
        return Storage(storage.dtype, storage.untyped())


# What the published pickles of StyleGAN2 networks ask for besides tensors.
_FURTHER = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): Maker(_Network),
    ("dnnlib.util", "EasyDict"): Maker(dictionary),
    ("torch.storage", "_load_from_bytes"): Maker(_storage),
}


def read_network_pickle(path: Path) -> dict[str, Any]:
    """Reads a ``.pkl`` of networks.

    Returns:
        The state dict of every network under its name in the file (NVIDIA's ``G``, ``D``, ``G_ema``; a file
        that is one network: ``network``), float32; and ``settings``: each network's plain attributes under
        dotted names (``synthesis.img_resolution``).

    Raises:
        InputError: it holds no networks.
        RefusedError: it asks for anything but tensors and plain containers.
        ValueError: it is damaged; other errors of malformed pickles.
    """
    data = map_file(path)
    content = SafeUnpickler(data, further=_FURTHER).load()
    found = content if isinstance(content, Mapping) else {BARE: content}
    networks = {name: value for name, value in found.items() if isinstance(value, _Network)}
    if not networks:
        raise InputError(f"{path} holds no networks; give a pickle of stylegan2-ada-pytorch or stylegan3")
    result: dict[str, Any] = {"settings": {}}
    for name, network in networks.items():
        result[name], result["settings"][name] = _flattened(network, EXPANSION * len(data))
    return result


def _flattened(network: _Network, most: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """State dict and plain attributes of a module and those inside it, in no more bytes than ``most``."""
    tensors: dict[str, Tensor] = {}
    settings: dict[str, Any] = {}
    modules = MODULES

    def visit(module: _Network, prefix: str, depth: int) -> None:
        nonlocal modules, most
        modules -= 1
        if modules < 0 or depth > DEPTH:
            raise ValueError("networks inside themselves")
        state = module.state
        hidden = state.get("_non_persistent_buffers_set") or ()
        for entry in ("_parameters", "_buffers"):
            for name, value in (state.get(entry) or {}).items():
                if isinstance(value, Tensor) and name not in hidden:
                    most -= 4 * value.numel()
                    if most < 0:
                        raise ValueError("tensors expanded beyond the file")
                    tensors[prefix + name] = value.float() if value.is_floating_point() else value
        for name, value in state.items():
            if isinstance(value, SCALARS) and not name.startswith("_"):
                settings[prefix + name] = value
        for name, child in (state.get("_modules") or {}).items():
            if isinstance(child, _Network):
                visit(child, f"{prefix}{name}.", depth + 1)

    visit(network, "", 0)
    return tensors, settings
