"""Counts what PyTorch dispatches: on a GPU, issuing operations takes longer than most of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

# Operations with one of these in their names only describe memory in another way, or reserve it.
WITHOUT_KERNEL = (
    *("view", "detach", "expand", "slice", "select", "unsqueeze", "squeeze", "permute"),
    *("transpose", "aten.t.", "as_strided", "alias", "empty"),
)


@dataclass(frozen=True)
class Operations:
    """How many operations a step dispatches.

    Attributes:
        dispatched: all of them.
        with_kernel: those that compute something.
    """

    dispatched: float
    with_kernel: float


class _Counter(TorchDispatchMode):
    """Counts calls by the name of the operation, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: dict[str, int] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = str(func)
        self.calls[name] = self.calls.get(name, 0) + 1
        return func(*args, **(kwargs or {}))


def count_calls(step: Callable[[], object]) -> dict[str, int]:
    """Calls of each operation in one step, by names such as ``aten.addmm.default``."""
    with _Counter() as counter:
        step()
    return counter.calls


def count_operations(step: Callable[[], object]) -> Operations:
    """Counts the operations of one step; the counts are the same on every machine."""
    calls = count_calls(step)
    free = sum(n for name, n in calls.items() if any(word in name for word in WITHOUT_KERNEL))
    return Operations(sum(calls.values()), sum(calls.values()) - free)
