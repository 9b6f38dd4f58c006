"""A step without numbers: its operations make fake tensors, and one follows what these would hold."""

import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

SMALL = 4096  # numbers; so small a tensor on the CPU may be a draw that decides what a step does


class MemoryTracker(TorchDispatchMode):
    """Follows the storages that are made within it on a device, backward passes included.

    What operations need for themselves (workspaces of convolutions) and what allocators round up is not seen.

    Args:
        device: its kind, such as ``cpu``.

    Attributes:
        live: bytes of those that exist.
        peak: the most there were at a time.
    """

    def __init__(self, device: str = "cpu") -> None:
        super().__init__()
        self.live = self.peak = 0
        self._device = device
        self._known: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = self.run(func, args, kwargs or {})
        if any(returned.alias_info is None for returned in func._schema.returns):  # no view, not in place
            for tensor in _tensors(result):
                if tensor.device.type == self._device:
                    self._add(tensor.untyped_storage())
        return result

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Makes an operation."""
        return func(*args, **kwargs)

    def _add(self, storage: torch.UntypedStorage) -> None:
        number, size = storage._cdata, storage.nbytes()
        if number in self._known:
            return

        def forget(reference: weakref.ref[torch.UntypedStorage]) -> None:
            self.live -= size
            self._known.pop(number, None)

        self._known[number] = weakref.ref(storage, forget)
        self.live += size
        self.peak = max(self.peak, self.live)


class Rehearsal(MemoryTracker):
    """Within it operations only tell the shapes of their results, and nothing that exists changes.

    Draws on the CPU and what follows from them alone are real, so that a step finds its way.
    """

    def __init__(self, device: str = "cpu") -> None:
        super().__init__(device)
        self._fake = FakeTensorMode(allow_non_fake_inputs=True)

    def blank(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """Pictures (B, 3, S, S) that hold nothing."""
        with self._fake:
            nothing = torch.empty(shape, device=device).to(memory_format=torch.channels_last)
        return nothing.clone()

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Makes an operation if it is one of the real ones, else only the shape of its result."""
        if _is_real(func, args, kwargs):
            return func(*args, **kwargs)
        if func._schema.is_mutable:  # the mode leaves alone what exists only if it is an imitation
            args, kwargs = tree_map_only(Tensor, self._imitation, (args, kwargs))
        with self._fake:
            return func(*args, **kwargs)

    def _imitation(self, tensor: Tensor) -> Tensor:
        return tensor if isinstance(tensor, FakeTensor) else self._fake.from_tensor(tensor)


def _is_real(func: Any, args: Any, kwargs: Any) -> bool:
    if func._schema.is_mutable or torch.device(kwargs.get("device") or "cpu").type != "cpu":
        return False
    inputs = list(_tensors([*args, *kwargs.values()]))
    if not inputs:  # a constructor, of a shape
        shape = args[-1] if args and isinstance(args[-1], (list, tuple)) else ()
        sizes = [size for value in args if isinstance(value, (list, tuple)) for size in value] or list(shape)
        return torch.Size(sizes).numel() <= SMALL if all(isinstance(size, int) for size in sizes) else True
    return all(
        not isinstance(value, FakeTensor) and value.device.type == "cpu" and value.numel() <= SMALL
        for value in inputs
    )


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
