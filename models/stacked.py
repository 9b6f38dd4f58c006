"""Tensors of one shape that lie one after another in memory: their stack is a view and costs nothing."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from utils.exporting import exporting

Self = TypeVar("Self", bound="LaidTogether")


def lie_together(parameters: Sequence[nn.Parameter]) -> None:
    """Moves the values of parameters of one shape into one piece of memory, one after another."""
    if side_by_side(parameters) is not None:
        return
    with torch.no_grad():
        joined = torch.stack([parameter.detach() for parameter in parameters])
        for parameter, values in zip(parameters, joined.unbind(0), strict=True):
            parameter.data = values


def side_by_side(tensors: Sequence[Tensor]) -> Tensor | None:
    """The stack (N, ...) of tensors of one shape as a view without a gradient; None where they lie apart."""
    first = tensors[0].detach()
    memory, start, size = first.untyped_storage()._cdata, first.storage_offset(), first.numel()
    for number, tensor in enumerate(tensors):
        there = tensor.storage_offset() == start + number * size and tensor.is_contiguous()
        if not there or tensor.untyped_storage()._cdata != memory:
            return None
    return first.as_strided((len(tensors), *first.shape), (size, *first.stride()), start)


def runs_in_memory(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Tensors of one shape in groups: those that lie side by side, and one of all that lie alone."""
    ordered = sorted(tensors, key=lambda tensor: (tensor.untyped_storage()._cdata, tensor.storage_offset()))
    runs: list[list[Tensor]] = []
    for tensor in ordered:
        if runs and side_by_side([runs[-1][-1], tensor]) is not None:
            runs[-1].append(tensor)
        else:
            runs.append([tensor])
    alone = [run[0] for run in runs if len(run) == 1]
    return [run for run in runs if len(run) > 1] + ([alone] if alone else [])


class LaidTogether(nn.Module, ABC):
    """A module whose weights of one shape stay side by side, also when it is moved or copied."""

    @abstractmethod
    def lay_together(self) -> None:
        """Calls :func:`lie_together` for each kind of its weights; for the end of ``__init__``, too."""

    def _apply(self: Self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # moves every weight to a place of its own
        self.lay_together()
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.lay_together()


class _Stacked(torch.autograd.Function):
    """``torch.stack`` that copies nothing where it can; the gradients are views of one tensor."""

    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        together = side_by_side(tensors)
        return torch.stack(tensors) if together is None else together

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        return gradient.unbind(0)


@torch.compiler.disable  # a compiler would copy them together in every pass
def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """The stack (N, ...) of tensors of one shape; differentiable once."""
    return torch.stack(list(tensors)) if exporting() else _Stacked.apply(*tensors)
