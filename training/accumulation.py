"""A step in parts: the gradients of micro-batches add up to that of the whole batch."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from utils.errors import InputError


def check_parts(batch_size: int, processes: int, parts: int) -> None:
    """Raises ``InputError`` if the pictures of a step cannot be divided evenly."""
    if batch_size % (processes * parts):
        shared = f" in each of {processes} processes" if processes > 1 else ""
        raise InputError(
            f"--batch_size={batch_size} cannot be made in {parts} equal parts{shared} "
            f"(--gradient_accumulation_steps); use a multiple of {processes * parts}"
        )


def split(batch: Mapping[str, Any], parts: int) -> list[dict[str, Any]]:
    """Divides a batch: every so many-th picture of each tensor (B, ...), also of those in containers.

    In this order pictures that a discriminator compares with each other stay together. Anything but a tensor
    is the same in all parts. There are fewer parts where there are fewer pictures.
    """
    if parts == 1:
        return [dict(batch)]
    numbers = range(min(parts, _pictures(batch)))
    return [{name: _part(value, number, parts) for name, value in batch.items()} for number in numbers]


def _pictures(value: Any) -> int:
    if isinstance(value, Tensor):
        return len(value)
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return max(map(_pictures, items), default=0)


def _part(value: Any, number: int, parts: int) -> Any:
    if isinstance(value, Tensor):
        return value[number::parts].clone()  # dense, in the memory layout of the whole
    if isinstance(value, Mapping):
        return {name: _part(item, number, parts) for name, item in value.items()}
    return [_part(item, number, parts) for item in value] if isinstance(value, list) else value


def joined(parts: Sequence[Tensor]) -> Tensor:
    """The whole of what :func:`split` divided into equal parts (B, ...)."""
    return parts[0] if len(parts) == 1 else torch.stack(tuple(parts), dim=1).flatten(0, 1)


def mean_of(rows: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each figure over the parts of a step; all parts have the same figures."""
    if len(rows) == 1:
        return dict(rows[0])
    return {name: torch.stack([row[name] for row in rows]).mean(dim=0) for name in rows[0]}


@contextmanager
def added_at_once(parameters: Sequence[Tensor]) -> Iterator[None]:
    """Within it a backward pass leaves gradients of its own, added to the earlier ones of all at the end."""
    earlier = [(parameter, parameter.grad) for parameter in parameters if parameter.grad is not None]
    for parameter, _ in earlier:
        parameter.grad = None
    yield
    pairs = [(gradient, parameter.grad) for parameter, gradient in earlier if parameter.grad is not None]
    if pairs:
        torch._foreach_add_([gradient for gradient, _ in pairs], [newer for _, newer in pairs])
    for parameter, gradient in earlier:
        parameter.grad = gradient
