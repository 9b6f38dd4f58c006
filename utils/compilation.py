"""``--compile``: networks through ``torch.compile``, eager where it fails or where it must not be used."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from utils.notes import note

CHOICES = ("auto", "none", "default", "reduce-overhead")
_eager_blocks = 0


@contextmanager
def eagerly() -> Iterator[None]:
    """Inside, compiled networks run eagerly: ``torch.compile`` has no second derivatives."""
    global _eager_blocks
    _eager_blocks += 1
    try:
        yield
    finally:
        _eager_blocks -= 1


def compile_networks(networks: Iterable[nn.Module], choice: str) -> None:
    """Lets the forward passes of networks run compiled from now on.

    The first passes compile, which takes long. A network that fails to compile says so and stays eager.
    Names and state dicts stay what they are.

    Args:
        networks: each of them once, however often it is named.
        choice: a mode of ``torch.compile``; ``none`` and ``auto`` do nothing: no device has been measured yet
            on which it pays for its minutes at the start.
    """
    if choice in ("auto", "none"):
        return
    chosen = list(dict.fromkeys(networks))
    note(f"--compile={choice}: {len(chosen)} networks are compiled in the first steps, which take minutes")
    for network in chosen:
        network.forward = CompiledForward(network.forward, choice, type(network).__name__)


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
        if self.failed or _eager_blocks:
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
    if torch.cuda.is_available():
        torch.compiler.cudagraph_mark_step_begin()
