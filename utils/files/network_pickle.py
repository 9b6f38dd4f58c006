"""Reads the network pickles of stylegan2-ada-pytorch and stylegan3 without running anything in them.

Such a pickle holds each network as a call of ``torch_utils.persistence`` with the network's source text and
its state. Here the call only keeps the state; the text is never looked at. All else is refused.
"""

import io
import pickle
import re
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from utils.errors import InputError

BARE = "network"  # the entry of a network that is the whole content of a file
SCALARS = (bool, int, float, str, type(None))


class _RefusedError(Exception):
    """The pickle asks for something that is not on the list."""


class _Maker:
    """A callable that a pickle may use and cannot change."""

    __slots__ = ("_make",)
    _make: Callable[..., Any]

    def __init__(self, make: Callable[..., Any]) -> None:
        object.__setattr__(self, "_make", make)

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise _RefusedError(f"a change of the reader's own {name}")

    def __setstate__(self, state: Any) -> NoReturn:
        raise _RefusedError("a change of the reader's own functions")


class _Network:
    """State of one pickled module: its class name and its attributes."""

    __slots__ = ("class_name", "state")

    def __init__(self, meta: Any) -> None:
        if not isinstance(meta, Mapping) or not isinstance(meta.get("state"), Mapping):
            raise _RefusedError("a persistent object without a state")
        self.class_name = str(meta.get("class_name"))
        self.state = dict(meta["state"])

    def __setstate__(self, state: Any) -> NoReturn:
        raise _RefusedError("a second state of a network")


class _NumpyType:
    """A numeric numpy type, stored as its code and then its byte order."""

    __slots__ = ("dtype",)

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or not re.fullmatch(r"[<>|=]?[fiub][1248]", code):
            raise _RefusedError(f"numpy type {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "|"
        if order == ">":
            self.dtype = self.dtype.newbyteorder(">")
        elif order not in ("<", "|", "="):
            raise _RefusedError(f"numpy byte order {order!r}")


def _numpy_scalar(kind: Any, data: Any = b"") -> float | int | bool:
    if not isinstance(kind, _NumpyType) or not isinstance(data, bytes):
        raise _RefusedError("a numpy value that is not a number")
    return np.frombuffer(data, kind.dtype, count=1)[0].item()


def _storage(data: Any) -> Any:
    """A tensor's storage, which torch pickles as the bytes of a small checkpoint."""
    storage = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if not isinstance(storage, (torch.TypedStorage, torch.UntypedStorage)):
        raise _RefusedError(f"a {type(storage).__name__} in the place of a tensor's storage")
    return storage


def _tensor(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    if not isinstance(storage, torch.TypedStorage):
        raise _RefusedError("a tensor without storage")
    size, stride = tuple(size), tuple(stride)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    tensor = torch.empty(0, dtype=storage.dtype)
    with warnings.catch_warnings():  # torch wants no new code with typed storages; old pickles hold them
        warnings.simplefilter("ignore", UserWarning)
        untyped = storage.untyped()
    held = untyped.nbytes() // tensor.element_size()
    if min((offset, *size, *stride), default=0) < 0 or (0 not in size and last >= held):
        raise _RefusedError("a tensor larger than its storage")
    return tensor.set_(untyped, offset, size, stride)


def _parameter(data: Any, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise _RefusedError("a parameter that is not a tensor")
    return data


# All that the published pickles of StyleGAN2 networks ask for.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _Maker(_Network),
    ("dnnlib.util", "EasyDict"): dict,
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "set"): set,
    ("numpy", "dtype"): _Maker(_NumpyType),
    ("numpy.core.multiarray", "scalar"): _Maker(_numpy_scalar),
    ("numpy._core.multiarray", "scalar"): _Maker(_numpy_scalar),
    ("torch.storage", "_load_from_bytes"): _Maker(_storage),
    ("torch._utils", "_rebuild_tensor_v2"): _Maker(_tensor),
    ("torch._utils", "_rebuild_parameter"): _Maker(_parameter),
}


class _Unpickler(pickle.Unpickler):
    """Finds nothing but what is on the list."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        raise _RefusedError(f"{module}.{name}")


def read_network_pickle(path: Path) -> dict[str, Any]:
    """Reads a ``.pkl`` of networks.

    Returns:
        The state dict of every network under its name in the file (NVIDIA's ``G``, ``D``, ``G_ema``; a file
        that is one network: ``network``), float32; and ``settings``: each network's plain attributes under
        dotted names (``synthesis.img_resolution``).

    Raises:
        InputError: the file asks for anything but tensors and plain containers, or holds no networks.
    """
    try:
        with path.open("rb") as file:
            content = _Unpickler(file).load()
    except _RefusedError as error:
        hint = ""
        if str(error).startswith("dnnlib.tflib"):
            hint = " (a TensorFlow pickle; convert it with the legacy.py of stylegan2-ada-pytorch first)"
        raise InputError(
            f"{path} is not opened: it asks for {error}{hint}, and a pickle is read here only as far as it "
            f"holds tensors and plain containers, because anything else could run code"
        ) from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        raise InputError(f"{path} is damaged or is not a pickle of networks ({reason})") from error
    found = content if isinstance(content, Mapping) else {BARE: content}
    networks = {name: value for name, value in found.items() if isinstance(value, _Network)}
    if not networks:
        raise InputError(f"{path} holds no networks; give a pickle of stylegan2-ada-pytorch or stylegan3")
    result: dict[str, Any] = {"settings": {}}
    for name, network in networks.items():
        result[name], result["settings"][name] = _flattened(network)
    return result


def _flattened(network: _Network) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """State dict and plain attributes of a module and the modules inside it."""
    tensors: dict[str, Tensor] = {}
    settings: dict[str, Any] = {}

    def visit(module: _Network, prefix: str) -> None:
        state = module.state
        hidden = state.get("_non_persistent_buffers_set") or ()
        for entry in ("_parameters", "_buffers"):
            for name, value in (state.get(entry) or {}).items():
                if isinstance(value, Tensor) and name not in hidden:
                    tensors[prefix + name] = value.float() if value.is_floating_point() else value
        for name, value in state.items():
            if isinstance(value, SCALARS) and not name.startswith("_"):
                settings[prefix + name] = value
        for name, child in (state.get("_modules") or {}).items():
            if isinstance(child, _Network):
                visit(child, f"{prefix}{name}.")

    visit(network, "")
    return tensors, settings
