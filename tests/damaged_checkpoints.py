"""Ways in which the content of weight files can be wrong, drawn from a seed; `damage.py` harms bytes."""

import random
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

Content = dict[str, Any]
Place = tuple[Any, ...]
Change = Callable[[Any, random.Random], Any]

# ---------------------------------------------------------------- what a value can become


def _inside_itself() -> dict[str, Any]:
    content: dict[str, Any] = {}
    content["again"] = content
    return content


def _deep() -> list[Any]:
    content: list[Any] = []
    for _ in range(2000):
        content = [content]
    return content


def _doubling() -> list[Any]:
    content: list[Any] = [0]
    for _ in range(60):
        content = [content, content]
    return content


OTHER_VALUES: tuple[Callable[[], Any], ...] = (
    *(lambda value=value: value for value in (None, "", "text", b"bytes", -1, 0, 10**9, 10**30, -(2**70))),
    *(lambda value=value: value for value in (float("nan"), float("inf"), 0.5, [], {}, (), [1, [2]], {3: 4})),
    *(_inside_itself, _deep, _doubling),
    lambda: torch.zeros(3),
    lambda: {"a": torch.zeros(2), "b": "text"},
)


def _at(value: Tensor, number: float, draws: random.Random) -> Tensor:
    value = value.detach().clone()
    if value.numel() and value.is_floating_point():
        value.view(-1)[draws.randrange(value.numel())] = number
    return value


def _expanded(value: Tensor) -> Tensor:
    return value.detach().reshape(-1)[:1].expand(10**10)


# Wrong in every place where a tensor of floating-point numbers stands.
TENSOR_CHANGES: dict[str, Change] = {
    "nan": lambda value, draws: _at(value, float("nan"), draws),
    "infinite": lambda value, draws: _at(value, -float("inf"), draws),
    "whole numbers": lambda value, draws: value.detach().to(
        draws.choice([torch.int64, torch.uint8, torch.bool])
    ),
    "complex": lambda value, draws: value.detach().to(torch.complex64),
    "sparse": lambda value, draws: value.detach().float().to_sparse(),
    "meta": lambda value, draws: value.detach().to("meta"),
    "quantised": lambda value, draws: torch.quantize_per_tensor(value.detach().float(), 0.1, 0, torch.qint8),
    "one number": lambda value, draws: value.detach().float().sum(),
    "more dimensions": lambda value, draws: value.detach()[None, None, None],
    "longer": lambda value, draws: torch.cat([value.detach().reshape(-1)] * 2),
    "empty": lambda value, draws: value.detach().reshape(-1)[:0],
    "expanded": lambda value, draws: _expanded(value),
    "a list": lambda value, draws: value.detach().reshape(-1)[:4].tolist(),
}
STRUCTURES = ("another value", "missing", "renamed", "a number as key", "nested", "one more")


def changed(
    content: Content, count: int, seed: int, optional: Collection[Place] = ()
) -> Iterator[tuple[str, Content]]:
    """Yields `count` changed copies of a checkpoint's content, each with what was changed.

    What stands at `optional` places stays, as without it it is another sound file.
    """
    draws = random.Random(seed)
    places = [place for place in _places(content) if place not in optional]
    tensors = [place for place in _places(content) if _is_float(_value(content, place))]
    kinds = [*TENSOR_CHANGES, *STRUCTURES]
    # Half of the places lie where few tensors are: options, entries, sizes.
    others = [place for place in places if not isinstance(_value(content, place), Tensor)]
    for number in range(count):
        kind = kinds[number % len(kinds)]
        if kind in TENSOR_CHANGES:
            place = draws.choice(tensors)
            new = _with(content, place, TENSOR_CHANGES[kind](_value(content, place), draws))
        else:
            place = draws.choice(others if others and number % 2 else places)
            new = _restructured(content, place, kind, draws)
        yield f"{number} of seed {seed}: {kind} at {'/'.join(map(str, place))}", new


def _restructured(content: Content, place: Place, kind: str, draws: random.Random) -> Content:
    value, parent = _value(content, place), _value(content, place[:-1])
    if kind == "another value":
        return _with(content, place, draws.choice(OTHER_VALUES)())
    if kind == "nested":
        return _with(content, place, {"inner": value})
    if not isinstance(parent, dict):
        return _with(content, place, [value, value])
    if kind == "one more":
        return _with(content, place[:-1], {**parent, "one_more": draws.choice([value, "text", None])})
    rest = {key: item for key, item in parent.items() if key != place[-1]}
    if kind == "renamed":
        rest[f"{place[-1]}_x"] = value
    elif kind == "a number as key":
        rest[draws.choice([7, 2.5, None, (1, 2)])] = value
    return _with(content, place[:-1], rest)


def _places(content: Any, place: Place = ()) -> Iterator[Place]:
    if place:
        yield place
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from _places(value, (*place, key))
    elif isinstance(content, (list, tuple)) and len(content) < 100:
        for index, value in enumerate(content):
            yield from _places(value, (*place, index))


def _value(content: Any, place: Place) -> Any:
    for key in place:
        content = content[key]
    return content


def _with(content: Any, place: Place, value: Any) -> Any:
    """A copy with another value at a place."""
    if not place:
        return value
    inner = _with(content[place[0]], place[1:], value)
    if isinstance(content, Mapping):
        return {key: inner if key == place[0] else item for key, item in content.items()}
    return [inner if index == place[0] else item for index, item in enumerate(content)]


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.numel() > 0


# ---------------------------------------------------------------- what it must not become


def same(first: Any, second: Any) -> bool:
    """Whether two results are equal, numbers bit for bit."""
    if isinstance(first, Tensor):
        return isinstance(second, Tensor) and first.shape == second.shape and torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second
