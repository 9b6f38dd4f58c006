"""What a checkpoint may hold, decided in one place for every format and every kind of file."""

import argparse
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utils.errors import InputError

DEPTH = 32  # of containers in containers
ITEMS = 300_000  # six times those of the state of a training at 1024 pixels
BITS = 256  # of a whole number; the state of numpy's generators has 128
EXPANSION, SLACK = 4, 1 << 24  # all tensors together may be that many times the file, and so many bytes
NUMBERS = {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.bool}
NUMBERS |= {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
LEAVES = (str, bytes, bool, int, float, type(None), torch.device, torch.dtype)
# Entries with the weights of one network each, and what the others of a known name must be.
STATES = ("state_dict", "g_ema", "g", "d", "G_ema", "G", "D", "network")
TYPES: dict[str, tuple[type, str]] = {
    **dict.fromkeys(STATES, (dict, "a dictionary of weights")),
    **dict.fromkeys(("opts", "architecture"), (dict, "a dictionary of options")),
    "latent_avg": (Tensor, "a tensor"),
    "kind": (str, "a name"),
}
OPTIONAL = ("opts", "architecture", "latent_avg", "kind")  # may be None, which is the same as absent
# What torch's wrappers put into the names of the layers: DataParallel and its like, torch.compile.
WRAPPERS = {"module", "_orig_mod"}
# Names under which other training programs keep the one network of a file, and Lightning modules its layers.
OTHER_STATES = ("model_state_dict", "model", "net", "weights")
LIGHTNING = "pytorch-lightning_version"
OTHER_ROOTS = ("model.", "net.", "network.")
Checkpoint = dict[str, Any]


def normalised(content: Any, path: Path) -> Checkpoint:
    """Makes one form of what the formats and the programs that write them differ in.

    Namespaces and ordered dictionaries become dictionaries, a bare state dict stands under ``state_dict``, as
    does that of other training programs, and the names of layers lose what wrappers add.

    Raises:
        InputError: an entry is not what its name says, or the content is nested or expanded beyond bounds.
    """
    if isinstance(content, argparse.Namespace):
        content = vars(content)
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{path} holds a {type(content).__name__}, not a dictionary of weights")
    checkpoint = _Copy(path).of(content)
    if all(isinstance(value, Tensor) for value in checkpoint.values()):
        checkpoint = {"state_dict": checkpoint}
    _check_entries(checkpoint, path)
    states = {entry: value for entry, value in checkpoint.items() if _is_state(value)}
    for entry, state in states.items():
        checkpoint[entry] = _without_wrappers(state, path)
    if "state_dict" not in checkpoint and len(states) == 1 and set(states) <= set(OTHER_STATES):
        checkpoint["state_dict"] = checkpoint.pop(*states)
    return _without_lightning(checkpoint)


def _without_lightning(checkpoint: Checkpoint) -> Checkpoint:
    """A file of PyTorch Lightning with the names of the layers as its one network has them."""
    state = checkpoint.get("state_dict") or {}
    for root in OTHER_ROOTS if LIGHTNING in checkpoint else ():
        if all(key.startswith(root) for key in state):
            return {**checkpoint, "state_dict": {key[len(root) :]: value for key, value in state.items()}}
    return checkpoint


class _Copy:
    """Copies containers as plain ones, within bounds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.items = ITEMS
        self.bytes = EXPANSION * path.stat().st_size + SLACK

    def of(self, value: Any, place: tuple[str, ...] = ()) -> Any:
        """The copy of what stands at a place."""
        self.items -= 1
        if len(place) > DEPTH or self.items < 0:
            raise InputError(
                f"{self.path} is nested too deeply or inside itself ({_named(place[:3])}); save plain "
                f"dictionaries of weights"
            )
        if isinstance(value, argparse.Namespace):
            value = vars(value)
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, Tensor):
            return self._tensor(value, place)
        if isinstance(value, Mapping):
            return {self._key(key, place): self.of(item, (*place, str(key))) for key, item in value.items()}
        if isinstance(value, (list, tuple, set, frozenset)):
            items = [self.of(item, (*place, str(index))) for index, item in enumerate(value)]
            return (
                items if isinstance(value, list) else tuple(items) if isinstance(value, tuple) else set(items)
            )
        if not isinstance(value, LEAVES) or (isinstance(value, int) and value.bit_length() > BITS):
            found = "a number beyond all bounds" if isinstance(value, int) else f"a {type(value).__name__}"
            raise InputError(f"{self.path}: {_named(place)} is {found}; save the file without it")
        return value

    def _key(self, key: Any, place: tuple[str, ...]) -> Any:
        if isinstance(key, str) or (place and type(key) in (int, float, bool)):
            return key
        raise InputError(
            f"{self.path}: {_named(place)} has a {type(key).__name__} in the place of a name; "
            f"save it as a dictionary with names"
        )

    def _tensor(self, value: Tensor, place: tuple[str, ...]) -> Tensor:
        if value.dtype not in NUMBERS or value.layout != torch.strided or value.is_meta:
            raise InputError(
                f"{self.path}: {_named(place)} is a tensor of {value.dtype} ({value.layout}), not one of "
                f"plain numbers; save it as floating-point numbers"
            )
        self.bytes -= value.numel() * value.element_size()
        if self.bytes < 0:
            raise InputError(
                f"{self.path}: {_named(place)} is expanded to many times the size of the file; save it with "
                f"contiguous()"
            )
        return value


def _check_entries(checkpoint: Checkpoint, path: Path) -> None:
    """Looks at the entries whose names are known."""
    for entry, (kind, wanted) in TYPES.items():
        value = checkpoint.get(entry)
        if value is None and (entry not in checkpoint or entry in OPTIONAL):
            continue
        if not isinstance(value, kind):
            raise InputError(
                f"{path}: its entry {entry!r} is {_described(value)}, not {wanted}; save it again"
            )
    for entry in STATES:
        for key, value in checkpoint.get(entry, {}).items():
            if not isinstance(key, str) or not isinstance(value, Tensor):
                place = _named((entry, str(key)))
                found = _described(value) if isinstance(key, str) else f"under a {type(key).__name__}"
                raise InputError(f"{path}: {place} is {found}, not a tensor; save only the state dict")


def _without_wrappers(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    renamed = {}
    for key, value in state.items():
        *parents, name = str(key).split(".")
        plain = ".".join([*(part for part in parents if part not in WRAPPERS), name])
        if plain in renamed:
            raise InputError(f"{path} holds {plain} twice, with and without a wrapper's name; save it again")
        renamed[plain] = value
    return renamed


def is_finite(value: Tensor) -> bool:
    """Whether a tensor holds neither NaN nor infinity; a finite sum tells it at the speed of memory."""
    if not value.is_floating_point():
        return True
    total = value.sum(dtype=torch.float64 if value.dtype == torch.float64 else torch.float32)
    return math.isfinite(total) or bool(torch.isfinite(value).all())


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, dict) and bool(value) and all(isinstance(item, Tensor) for item in value.values())
    )


def _named(place: tuple[str, ...]) -> str:
    return "entry " + "/".join(part[:60] for part in place) if place else "it"


def _described(value: Any) -> str:
    return "a tensor" if isinstance(value, Tensor) else f"a {type(value).__name__}"
