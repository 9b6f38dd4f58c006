"""Sizes that a file gives for a network: checked against what the network's constructor takes."""

import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LARGEST_NUMBER = 1 << 20
# Numbers of these names are pixels or layers; more of them than these no network here has.
LARGEST = {"size": 4096, "input_size": 4096, "n_mlp": 64, "num_layers": 1000, "units": 200, "depths": 200}
LONGEST = 64  # list or name


def checked_sizes(function: Callable[..., Any], values: Any) -> dict[str, Any]:
    """The arguments for a constructor that a file holds, each of the type that its hint asks for.

    Raises:
        ValueError: one is unknown, of another type, or beyond all bounds.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"a {type(values).__name__} in the place of its sizes")
    constructor = vars(function)["__init__"] if isinstance(function, type) else function
    hints = typing.get_type_hints(constructor)
    hints.pop("return", None)
    for name, value in values.items():
        if name not in hints:
            raise ValueError(f"{str(name)[:LONGEST]!r} is no size of it")
        if not _fits(value, hints[name], LARGEST.get(name, LARGEST_NUMBER)):
            raise ValueError(f"{name} cannot be {str(value)[:LONGEST]}")
    return dict(values)


def _fits(value: Any, hint: Any, largest: int) -> bool:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part, largest) for part in parts)
    if hint is int:
        return type(value) is int and 0 <= value <= largest
    if hint is float:
        return type(value) in (int, float) and math.isfinite(value)
    if hint in (bool, type(None)):
        return isinstance(value, hint)
    if hint is str:
        return isinstance(value, str) and len(value) <= LONGEST
    if origin in (tuple, Sequence):
        short = isinstance(value, (list, tuple)) and len(value) <= LONGEST
        return short and all(_fits(item, parts[0], largest) for item in value)
    if origin is Mapping:  # resolutions and widths; JSON has turned the former into strings
        short = isinstance(value, Mapping) and len(value) <= LONGEST
        return (
            short
            and all(str(key).isascii() and str(key).isdigit() for key in value)
            and all(_fits(item, parts[1], largest) for item in value.values())
        )
    return isinstance(value, Mapping)  # the sizes of a part, checked with that part
