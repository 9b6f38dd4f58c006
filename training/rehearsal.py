"""A step without numbers: its operations make fake tensors, and one follows what these would hold."""

import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

CONVOLUTIONS = {torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default}
LITERAL = torch.ops.aten.lift_fresh.default  # what `torch.tensor(numbers)` ends with
BLOCK = 16  # channels that libraries for CPUs lay together
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
        new = any(returned.alias_info is None for returned in func._schema.returns)  # no view, not in place
        if new or func is LITERAL:
            for tensor in _tensors(result):
                self._add(tensor.untyped_storage(), tensor.device.type == self._device)
        return result

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Makes an operation."""
        return func(*args, **kwargs)

    def is_made_within(self, tensor: Tensor) -> bool:
        """Whether the storage of a tensor is one of those that it follows."""
        return tensor.untyped_storage()._cdata in self._known

    def _add(self, storage: torch.UntypedStorage, counts: bool) -> None:
        number, size = storage._cdata, storage.nbytes() if counts else 0
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
        if self._is_real(func, args, kwargs):
            return func(*args, **kwargs)
        if func._schema.is_mutable:  # the mode leaves alone what exists only if it is an imitation
            args, kwargs = tree_map_only(Tensor, self._imitation, (args, kwargs))
        with self._fake:
            result = func(*args, **kwargs)
        if self._device == "cpu" and func in CONVOLUTIONS:  # its own blocks of what it reads and writes
            working = sum(map(_in_blocks, _tensors([*args, result])))
            self.peak = max(self.peak, self.live + working)
        return result

    def _is_real(self, func: Any, args: Any, kwargs: Any) -> bool:
        if torch.device(kwargs.get("device") or "cpu").type != "cpu":
            return False
        inputs = list(_tensors([*args, *kwargs.values()]))
        if not inputs:  # a constructor, of a shape
            sizes = [size for value in args if isinstance(value, (list, tuple)) for size in value]
            return not all(isinstance(size, int) for size in sizes) or torch.Size(sizes).numel() <= SMALL
        return all(
            not isinstance(value, FakeTensor)
            and value.device.type == "cpu"
            and value.numel() <= SMALL
            and (self.is_made_within(value) or not func._schema.is_mutable)
            for value in inputs
        )

    def _imitation(self, tensor: Tensor) -> Tensor:
        return tensor if isinstance(tensor, FakeTensor) else self._fake.from_tensor(tensor)


def _in_blocks(tensor: Tensor) -> int:
    """Bytes of a tensor (B, C, ...) whose channels are filled up to whole blocks."""
    channels = tensor.shape[1] if tensor.dim() > 1 else 1
    return tensor.element_size() * tensor.numel() * (-(-channels // BLOCK) * BLOCK) // max(1, channels)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
