"""Seconds a step, and the share of each part of it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import nn

Result = TypeVar("Result")
REST = "rest"  # what belongs to no named part


def clock(device: torch.device) -> float:
    """Seconds, once the device has done everything that it was asked to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def seconds(step: Callable[[], object], count: int, device: torch.device) -> float:
    """Seconds a step, over ``count`` steps."""
    start = clock(device)
    for _ in range(count):
        step()
    return (clock(device) - start) / count


def median(values: Sequence[float]) -> float:
    """The middle value, of an even number the upper one."""
    return sorted(values)[len(values) // 2]


class Parts:
    """Seconds that a step spends in its named parts; it costs nothing outside :meth:`shares`.

    A part inside another one counts for itself only.

    Args:
        device: where the step computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._watched: list[tuple[nn.Module, str]] = []
        self._open: list[str] = []
        self._spent: dict[str, float] = {}
        self._since = 0.0

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """What happens inside belongs to this part."""
        self._enter(name)
        try:
            yield
        finally:
            self._leave()

    def watch(self, module: nn.Module | None, name: str) -> None:
        """Every call of a module, if there is one, belongs to this part."""
        if module is not None:
            self._watched.append((module, name))

    def within(self, name: str, function: Callable[..., Result]) -> Callable[..., Result]:
        """The same function, whose calls belong to this part."""

        def call(*args: Any, **kwargs: Any) -> Result:
            with self(name):
                return function(*args, **kwargs)

        return call

    def shares(self, step: Callable[[], object]) -> dict[str, float]:
        """Runs a step; the share of each of its parts in the time it takes, the largest first."""
        hooks = []
        for module, name in self._watched:
            hooks.append(module.register_forward_pre_hook(lambda *_, name=name: self._enter(name)))
            hooks.append(module.register_forward_hook(lambda *_: self._leave()))
        self._spent, self._open, self._since = {}, [REST], clock(self._device)
        try:
            step()
            self._account()
        finally:
            self._open = []
            for hook in hooks:
                hook.remove()
        total = sum(self._spent.values())
        found = sorted(self._spent.items(), key=lambda item: -item[1])
        return {name: spent / total for name, spent in found}

    def _enter(self, name: str) -> None:
        if self._open:
            self._account()
            self._open.append(name)

    def _leave(self) -> None:
        if self._open:
            self._account()
            self._open.pop()

    def _account(self) -> None:
        """Gives the innermost part the time since the last change."""
        now = clock(self._device)
        self._spent[self._open[-1]] = self._spent.get(self._open[-1], 0.0) + now - self._since
        self._since = now
