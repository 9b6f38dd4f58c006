"""``--compile``: networks through ``torch.compile`` or as CUDA graphs, eager where they must be."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from utils.notes import note
from utils.recorded_pass import next_step
from utils.recordings import RecordedForward

CHOICES = ("auto", "none", "graphs", "default", "reduce-overhead")
_eager_blocks = 0


@contextmanager
def eagerly() -> Iterator[None]:
    """Inside, compiled and recorded networks run eagerly: they have no second derivatives."""
    global _eager_blocks
    _eager_blocks += 1
    try:
        yield
    finally:
        _eager_blocks -= 1


def compile_networks(networks: Iterable[nn.Module], choice: str) -> None:
    """Lets the forward passes of networks run compiled, or as recorded graphs, from now on.

    A network for which that fails says so and stays eager. Names and state dicts stay what they are.

    Args:
        networks: each of them once, however often it is named.
        choice: ``graphs`` records passes and their backward passes on a GPU, see ``utils.recordings``, and
            does nothing elsewhere. Others are modes of ``torch.compile``, whose first passes take long.
            ``none`` does nothing. ``auto`` is ``graphs`` for networks on a GPU, unless algorithms must be
            deterministic: a run that is taken up again records other passes than one that went through.
    """
    chosen = list(dict.fromkeys(networks))
    if choice == "auto":
        on_gpu = any(_device_of(network).type == "cuda" for network in chosen)
        choice = "graphs" if on_gpu and not torch.are_deterministic_algorithms_enabled() else "none"
    if choice == "none":
        return
    if choice == "graphs":
        for network in chosen:
            network.forward = _EagerInside(RecordedForward(network))
        return
    note(f"--compile={choice}: {len(chosen)} networks are compiled in the first steps, which take minutes")
    for network in chosen:
        network.forward = _EagerInside(CompiledForward(network.forward, choice, type(network).__name__))


def _device_of(network: nn.Module) -> torch.device:
    """That of its weights."""
    return next((weight.device for weight in network.parameters()), torch.device("cpu"))


class _EagerInside:
    """A forward pass that is the eager one inside :func:`eagerly`.

    Args:
        fast: the other one.
    """

    def __init__(self, fast: "CompiledForward | RecordedForward") -> None:
        self.fast = fast

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return (self.fast.eager if _eager_blocks else self.fast)(*args, **kwargs)


class CompiledForward:
    """A forward pass through ``torch.compile``.

    Args:
        forward: the eager one.
        mode: of ``torch.compile``.
        name: of the network, for messages.
    """

    def __init__(self, forward: Callable[..., Any], mode: str, name: str) -> None:
        self.eager = forward
        self.name = name
        self.failed = False
        self._compiled = torch.compile(forward, mode=mode, dynamic=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.failed:
            return self.eager(*args, **kwargs)
        try:
            return self._compiled(*args, **kwargs)
        except _compiler_errors() as error:
            self.failed = True
            reason = str(error).strip().split("\n\n")[0] or type(error).__name__
            note(f"--compile: {self.name} runs without it, because it failed: {reason}")
            return self.eager(*args, **kwargs)


def _compiler_errors() -> tuple[type[BaseException], ...]:
    """What ``torch.compile`` raises by itself; imported only here, since that takes seconds."""
    from torch._dynamo.exc import TorchDynamoException

    return (TorchDynamoException,)


def begin_step() -> None:
    """To be called before each step: what CUDA graphs gave in the last one may be overwritten now."""
    next_step()
    if torch.cuda.is_available():
        torch.compiler.cudagraph_mark_step_begin()
