"""Network pickles as stylegan2-ada-pytorch writes them, made without its code from keys and weights."""

import pickle
import sys
import types
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

SOURCE = "raise SystemExit('the source text inside a pickle was run')"
BUFFERS = ("resample_filter", "noise_const", "w_avg")


class EasyDict(dict):
    """Stands for ``dnnlib.util.EasyDict``."""


def _reconstruct_persistent_obj(meta: Any) -> Any:
    """Stands for the function of ``torch_utils.persistence`` that runs the source text."""
    raise AssertionError(f"called for {meta['class_name']}")


class Persistent:
    """A module of the official code: pickles as a call with source text, class name and state."""

    def __init__(self, class_name: str, state: dict[str, Any]) -> None:
        self.class_name = class_name
        self.state = state

    def __reduce__(self) -> tuple:
        meta = {"type": "class", "version": 6, "module_src": SOURCE}
        return _reconstruct_persistent_obj, ({**meta, "class_name": self.class_name, "state": self.state},)


def module(weights: Mapping[str, torch.Tensor], class_name: str, **attributes: Any) -> Persistent:
    """The nested modules that a state dict in NVIDIA's layout belongs to."""
    state: dict[str, Any] = {
        "training": False,
        "_parameters": OrderedDict(),
        "_buffers": OrderedDict(),
        "_non_persistent_buffers_set": set(),
        "_modules": OrderedDict(),
        "_init_kwargs": EasyDict(channel_max=512),
        "weight_gain": 1 / np.sqrt(512),  # a numpy number, as in the official modules
        **attributes,
    }
    children: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in weights.items():
        first, _, rest = key.partition(".")
        if rest:
            children.setdefault(first, {})[rest] = value
        elif first in BUFFERS:
            state["_buffers"][first] = value
        else:
            state["_parameters"][first] = torch.nn.Parameter(value)
    for name, child in children.items():
        state["_modules"][name] = module(child, "Layer", activation="lrelu")
    return Persistent(class_name, state)


@contextmanager
def _official_modules() -> Iterator[None]:
    """Makes the two stand-ins importable under the official names while a pickle is written."""
    items = {"torch_utils.persistence": _reconstruct_persistent_obj, "dnnlib.util": EasyDict}
    names = [*items, *(name.partition(".")[0] for name in items)]
    found = {name: sys.modules.get(name) for name in names}
    sys.modules.update({name: types.ModuleType(name) for name in names})
    for name, item in items.items():
        setattr(sys.modules[name], item.__name__, item)
        item.__module__ = name
    try:
        yield
    finally:
        for name, old in found.items():
            if old is None:
                del sys.modules[name]
            else:
                sys.modules[name] = old
        for item in items.values():
            item.__module__ = __name__


def write_pickle(path: Path, **networks: Any) -> Path:
    """Writes a pickle with the given entries (``G_ema``, ``D`` ...) and what else the official ones hold."""
    content = {
        "training_set_kwargs": EasyDict(path="/data", use_labels=False),
        "augment_pipe": None,
        **networks,
    }
    return write_bare_pickle(path, content)


def write_bare_pickle(path: Path, content: Any) -> Path:
    """Writes a pickle of anything, such as one network without a name."""
    with _official_modules(), path.open("wb") as file:
        pickle.dump(content, file)
    return path
