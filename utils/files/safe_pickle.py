"""The one judge of pickles: tensors and plain containers, within bounds, and nothing that could run.

What ``torch.save`` wrote passes it before torch's own safe loader reads it; NVIDIA's pickles, which that
loader refuses, are read here.

The interpreter is the standard library's in Python: its memo is a dictionary, every opcode can be counted,
and what can be called, filled or hashed is decided here.
"""

import pickle
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

OPCODES = 600_000  # of one file; the state of a training at 1024 pixels has some 250,000
DIMENSIONS = 16  # of a tensor
SCALARS = (bool, int, float, str, bytes, type(None))
KEY_PARTS = 8  # of a key that is a tuple
STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
# What else tensors can be; no network here is made of it.
UNUSUAL = {
    "_rebuild_sparse_tensor": "a sparse tensor",
    "_rebuild_sparse_csr_tensor": "a sparse tensor",
    "_rebuild_qtensor": "a quantised tensor",
    "_rebuild_nested_tensor": "a nested tensor",
    "_rebuild_meta_tensor_no_storage": "a tensor without values (device meta)",
    "_rebuild_wrapper_subclass": "a tensor of another class",
    "_rebuild_device_tensor_from_numpy": "a tensor of another device",
    "_rebuild_device_tensor_from_cpu_tensor": "a tensor of another device",
    "_rebuild_tensor_v3": "a tensor of an unusual number type",
    "ComplexFloatStorage": "complex numbers",
    "ComplexDoubleStorage": "complex numbers",
    "QInt8Storage": "quantised numbers",
    "QUInt8Storage": "quantised numbers",
    "QInt32Storage": "quantised numbers",
}


class RefusedError(Exception):
    """The pickle holds, or asks for, what is not on the list; the text says what, after "it"."""


class Maker:
    """A callable that a pickle may use and cannot change."""

    __slots__ = ("make",)
    make: Callable[..., Any]

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make


class Options(dict):
    """What an ``argparse.Namespace`` becomes."""


class Storage:
    """The numbers of tensors.

    Attributes:
        dtype: of its numbers.
        data: its bytes.
    """

    __slots__ = ("data", "dtype")

    def __init__(self, dtype: torch.dtype, data: torch.UntypedStorage) -> None:
        self.dtype = dtype
        self.data = data


class _StorageType:
    __slots__ = ("dtype",)

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


class _NumpyType:
    """A numeric numpy type, stored as its code and then its byte order."""

    __slots__ = ("dtype",)

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or not re.fullmatch(r"[<>|=]?[fiub][1248]", code):
            raise RefusedError(f"holds the numpy type {str(code)[:40]!r}")
        self.dtype = np.dtype(code)

    def take(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "|"
        if order == ">":
            self.dtype = self.dtype.newbyteorder(">")
        elif order not in ("<", "|", "="):
            raise RefusedError(f"holds the numpy byte order {str(order)[:40]!r}")


def _numpy_scalar(kind: Any, data: Any = b"") -> float | int | bool:
    if not isinstance(kind, _NumpyType) or not isinstance(data, bytes):
        raise RefusedError("holds a numpy value that is not a number")
    return np.frombuffer(data, kind.dtype, count=1)[0].item()


def _whole(numbers: Iterable[Any]) -> tuple[int, ...]:
    numbers = tuple(numbers)
    if len(numbers) > DIMENSIONS or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError("a tensor whose sizes are no sizes")
    return numbers


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    """A view of a storage, checked first: torch would enlarge a storage that is too small."""
    if not isinstance(storage, Storage):
        raise RefusedError("holds a tensor without storage")
    size, stride, (offset,) = _whole(size), _whole(stride), _whole([offset])
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if 0 not in size and last >= storage.data.nbytes() // storage.dtype.itemsize:
        raise ValueError("a tensor larger than its storage")
    empty = torch.empty(0, dtype=storage.dtype, device=storage.data.device)
    return empty.set_(storage.data, offset, size, stride)


def _parameter(data: Any, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise RefusedError("holds a parameter that is not a tensor")
    return data


def _tensor_with_attributes(function: Any, kind: Any, arguments: Any, *_: Any) -> Tensor:
    if not isinstance(function, Maker) or function.make not in (_tensor, _parameter):
        raise RefusedError("holds a tensor of another class")
    return function.make(*arguments)


def _key(key: Any) -> Any:
    """A key whose hash needs no walk through what it holds."""
    parts = key if type(key) is tuple else (key,)
    if len(parts) > KEY_PARTS or not all(isinstance(part, SCALARS) for part in parts):
        raise RefusedError(f"has a {type(key).__name__} as a key")
    return key


def dictionary(pairs: Any = ()) -> dict[Any, Any]:
    """A dictionary of pairs or of another one, whose keys are simple.

    Raises:
        RefusedError: a key is not.
    """
    pairs = pairs.items() if isinstance(pairs, Mapping) else pairs
    return {_key(key): value for key, value in pairs}


def _set(items: Any = ()) -> set[Any]:
    return {_key(item) for item in items}


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    """How Python writes bytes in an old protocol."""
    if encoding != "latin1":
        raise RefusedError("holds text in the place of bytes")
    return text.encode("latin1")


def _size(numbers: Any = ()) -> torch.Size:
    return torch.Size(_whole(numbers))


ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): Maker(dictionary),
    ("collections", "Counter"): Maker(dictionary),
    ("argparse", "Namespace"): Maker(Options),
    ("builtins", "set"): Maker(_set),
    ("__builtin__", "set"): Maker(_set),
    ("_codecs", "encode"): Maker(_encoded),
    ("numpy", "dtype"): Maker(_NumpyType),
    ("numpy.core.multiarray", "scalar"): Maker(_numpy_scalar),
    ("numpy._core.multiarray", "scalar"): Maker(_numpy_scalar),
    ("torch", "Size"): Maker(_size),
    ("torch", "device"): Maker(torch.device),
    ("torch", "Tensor"): Tensor,
    ("torch.nn.parameter", "Parameter"): Tensor,
    ("torch._utils", "_rebuild_tensor"): Maker(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Maker(_tensor),
    ("torch._utils", "_rebuild_parameter"): Maker(_parameter),
    ("torch._utils", "_rebuild_parameter_with_state"): Maker(_parameter),
    ("torch._tensor", "_rebuild_from_type_v2"): Maker(_tensor_with_attributes),
    **{("torch", name): _StorageType(dtype) for name, dtype in STORAGES.items()},
    **{("torch", str(dtype).removeprefix("torch.")): dtype for dtype in STORAGES.values()},
}


class _Counted(dict):
    """The table of opcodes; every use counts."""

    def __init__(self, table: Mapping[int, Any]) -> None:
        super().__init__(table)
        self.left = OPCODES

    def __getitem__(self, opcode: int) -> Any:
        self.left -= 1
        if self.left < 0:
            raise ValueError(f"more than {OPCODES} items")
        if opcode not in self:
            raise ValueError("no pickle of tensors")
        return super().__getitem__(opcode)


# Opcodes that make objects in ways of their own, or take memory before they have read what fills it.
_CLOSED = (
    *(pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.PERSID),
    *(pickle.BYTEARRAY8, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER),
)


class SafeUnpickler(pickle._Unpickler):  # type: ignore[misc, name-defined, unused-ignore]
    """Reads one pickle.

    Args:
        file: what to read; its ``read`` gives no more than there is.
        storage: makes the bytes of a tensor from the key and the number of bytes that the pickle names.
        further: more names that may be called.
    """

    stack: list[Any]
    append: Callable[[Any], None]
    pop_mark: Callable[[], list[Any]]

    def __init__(
        self,
        file: Any,
        storage: Callable[[str, int], torch.UntypedStorage] | None = None,
        further: Mapping[tuple[str, str], Any] | None = None,
    ) -> None:
        super().__init__(file)
        self._storage = storage
        self._allowed = {**ALLOWED, **(further or {})}
        own = {
            pickle.REDUCE: SafeUnpickler._call,
            pickle.NEWOBJ: SafeUnpickler._call,
            pickle.BUILD: SafeUnpickler._build,
            pickle.SETITEM: SafeUnpickler._set_item,
            pickle.SETITEMS: SafeUnpickler._set_items,
            pickle.ADDITEMS: SafeUnpickler._add_items,
            pickle.FROZENSET: SafeUnpickler._frozen_set,
        }
        table: dict[int, Any] = dict(pickle._Unpickler.dispatch)  # type: ignore[attr-defined, unused-ignore]
        table.update({opcode[0]: function for opcode, function in own.items()})
        open_codes = {code: function for code, function in table.items() if bytes([code]) not in _CLOSED}
        self.dispatch = _Counted(open_codes)  # type: ignore[misc, unused-ignore]

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._allowed:
            return self._allowed[module, name]
        if module.partition(".")[0] == "torch" and name in UNUSUAL:
            raise RefusedError(f"holds {UNUSUAL[name]}")
        raise RefusedError(f"asks for {module}.{name}"[:200])

    def persistent_load(self, pid: Any) -> Storage:
        if self._storage is None:
            raise RefusedError("refers to tensors outside")
        name, kind, key, _, count, *view = pid
        if name != "storage" or not isinstance(kind, _StorageType) or not isinstance(key, str):
            raise ValueError("a tensor without a storage")
        width, (count,) = kind.dtype.itemsize, _whole([count])
        data = self._storage(key, count * width)
        if view and view[0] is not None:  # of files before torch 0.4
            _, start, length = view[0]
            start, length = _whole([start, length])
            if start + length > count:
                raise ValueError("a part beyond its storage")
            data = torch.UntypedStorage(length * width, device=data.device)
        return Storage(kind.dtype, data)

    def _call(self) -> None:
        arguments = self.stack.pop()
        function = self.stack[-1]
        if not isinstance(function, Maker) or not isinstance(arguments, tuple):
            raise RefusedError(f"calls a {type(function).__name__}")
        self.stack[-1] = function.make(*arguments)

    def _build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Options) and isinstance(state, dict):
            target.update(state)
        elif isinstance(target, _NumpyType):
            target.take(state)
        elif isinstance(target, Maker):
            raise RefusedError("asks for a change of the reader's own functions")
        elif not isinstance(target, dict):  # an OrderedDict's attributes tell nothing here
            raise RefusedError(f"changes a {type(target).__name__}")

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._filled(dict)[_key(key)] = value

    def _set_items(self) -> None:
        items = self.pop_mark()
        self._filled(dict).update(dictionary(zip(items[::2], items[1::2], strict=True)))

    def _add_items(self) -> None:
        items = self.pop_mark()
        self._filled(set).update(_set(items))

    def _frozen_set(self) -> None:
        self.append(frozenset(_set(self.pop_mark())))

    def _filled(self, kind: type) -> Any:
        target = self.stack[-1]
        if not isinstance(target, kind):
            raise RefusedError(f"changes a {type(target).__name__}")
        return target
