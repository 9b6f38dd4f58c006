"""Activation checkpointing (Chen et al. 2016): a backward pass computes again what it needs."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

# Each smaller side of a StyleGAN2 holds half as much as the next: below an eighth of the largest there is
# little to save.
SIDES = 8


def recomputed(function: Callable[..., Any], *inputs: Any) -> Any:
    """Calls a function whose intermediate results are not kept for the backward pass but computed again.

    The numbers are the same. Whatever is random comes among the inputs; statistics of norms move once.
    """
    if not torch.is_grad_enabled():
        return function(*inputs)
    modules = list(function.modules()) if isinstance(function, nn.Module) else []
    return checkpoint(
        function,
        *inputs,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=lambda: (contextlib.nullcontext(), _StatisticsStay(modules)),
    )


class _StatisticsStay:
    """Within it batch norms in train mode move a copy of their running statistics; may be entered again."""

    def __init__(self, modules: list[nn.Module]) -> None:
        self._norms = [module for module in modules if isinstance(module, _BatchNorm) and module.training]
        self._kept: list[dict[str, Tensor | None]] = []

    def __enter__(self) -> None:
        self._kept = [dict(norm._buffers) for norm in self._norms]
        for norm, kept in zip(self._norms, self._kept, strict=True):
            norm._buffers.update(
                {name: value if value is None else value.clone() for name, value in kept.items()}
            )

    def __exit__(self, *_: object) -> None:
        for norm, kept in zip(self._norms, self._kept, strict=True):
            norm._buffers.update(kept)
