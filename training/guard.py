"""Only sound numbers change a network or reach the disk: losses, gradients and states are looked at."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from utils.distributed import average_gradients


class NotFiniteError(Exception):
    """The loss or a gradient of a step is infinite or not a number; nothing was changed by it."""


def backward_pass(loss: Tensor, share: float = 1.0) -> None:
    """The backward pass of a loss; all gradients of a loss that is not finite are NaN.

    So whoever looks at the gradients before they are used has looked at the loss, too.

    Args:
        loss: of a batch, or of one of the parts that it is divided into.
        share: what the gradients are multiplied with: the share of a part in the batch.
    """
    loss.backward(loss.detach() * 0 + share)  # the share exactly; NaN for infinity and NaN


class TriedError(Exception):
    """A step on trial had sound numbers; nothing was changed by it."""


class Guard:
    """Looks at the gradients before each step of the optimisers of a training.

    They are averaged over the processes first. All processes see the same mean, so all of them raise
    :class:`NotFiniteError` from ``optimizer.step`` or none: parameters and moments then stay what they were.

    Attributes:
        trial: whether sound steps are not made either, but raise :class:`TriedError`.
        blind: whether it lets all steps pass: gradients hold no numbers in a rehearsal.
    """

    def __init__(self) -> None:
        self.trial = self.blind = False

    def watch(self, optimizer: torch.optim.Optimizer) -> None:
        """Begins to look."""
        optimizer.register_step_pre_hook(self._look)

    def _look(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        if self.blind:
            return
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        average_gradients(parameters)
        if not all_finite([p.grad for p in parameters if p.grad is not None]):
            raise NotFiniteError
        if self.trial:
            raise TriedError


@torch.no_grad()
def all_finite(tensors: Sequence[Tensor]) -> bool:
    """Whether no number is infinite or NaN; one transfer from the device for each kind of tensor."""
    kinds: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
    for tensor in tensors:
        if tensor.is_floating_point() and tensor.numel():
            kinds.setdefault((tensor.device, tensor.dtype), []).append(tensor)
    for same in kinds.values():
        norms = torch.stack(torch._foreach_norm(same))
        # A norm may overflow where no number does: then each is looked at.
        if not bool(norms.sum().isfinite()) and not all(bool(tensor.isfinite().all()) for tensor in same):
            return False
    return True


def broken_entry(content: Mapping[str, Any]) -> str | None:
    """Name of an entry of a checkpoint or state with a tensor that is not finite, if there is one."""
    return next((name for name, value in content.items() if not all_finite(list(tensors_of(value)))), None)


def tensors_of(value: Any) -> Iterator[Tensor]:
    """All tensors in nested containers."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_of(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_of(item)


class KeptBuffers:
    """The buffers of networks as they were before a step: its forward pass alone moves statistics."""

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        self._buffers = [buffer for network in networks for buffer in network.buffers()]
        self._kept = [buffer.clone() for buffer in self._buffers]

    @torch.no_grad()
    def keep(self) -> None:
        """Remembers what they hold now."""
        if self._kept:
            torch._foreach_copy_(self._kept, self._buffers)

    @torch.no_grad()
    def restore(self) -> None:
        """Gives them back what they held."""
        if self._kept:
            torch._foreach_copy_(self._buffers, self._kept)
