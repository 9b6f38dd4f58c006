"""Optimisers by name: Ranger as the official coaches use it, Adam, AdamW; the way of the learning rate."""

import inspect
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from models.stacked import runs_in_memory, side_by_side
from utils.errors import InputError

# Ranger 20.4.11 of the official repositories.  Without degenerated_to_sgd the first five steps would be
# skipped. Gradients are centred in place: p.grad differs after a step.
RANGER = {
    "betas": (0.95, 0.999),
    "eps": 1e-5,
    "n_sma_threshold": 5,
    "k": 6,
    "alpha": 0.5,
    "degenerated_to_sgd": True,
}
NAMES = ("ranger", "adam", "adamw")


def build_optimizer(
    name: str, params: Iterable[Tensor] | Iterable[dict[str, Any]], lr: float, **settings: Any
) -> torch.optim.Optimizer:
    """The optimiser that ``--optim_name`` names.

    Args:
        name: ``ranger``, ``adam`` or ``adamw``.
        params: parameters or parameter groups; frozen parameters are left out.
        lr: learning rate.
        settings: further settings of that optimiser, such as ``betas`` or ``weight_decay``, by the names of
            its class; those of Ranger take the place of the official ones in ``RANGER``.

    Raises:
        InputError: for an unknown name, or nothing to train.
        TypeError: for a setting that the optimiser does not have.
    """
    groups = [item if isinstance(item, dict) else {"params": [item]} for item in params]
    if all("lr" not in group and len(group) == 1 for group in groups):  # plain parameters: one group
        groups = [{"params": [tensor for group in groups for tensor in group["params"]]}]
    groups = [{**group, "params": [p for p in group["params"] if p.requires_grad]} for group in groups]
    if not any(group["params"] for group in groups):
        raise InputError(
            "there is nothing to train: every parameter is frozen; check --train_encoder/--train_decoder"
        )
    if name == "ranger":
        from pytorch_optimizer import Ranger

        unknown = settings.keys() - inspect.signature(Ranger).parameters.keys()
        if unknown:  # which Ranger itself would pass over in silence
            raise TypeError(f"Ranger has no {', '.join(sorted(unknown))}")
        settings = {**RANGER, **settings}
        centred = settings.pop("use_gc", True) and not settings.get("gc_conv_only", False)
        ranger = Ranger(groups, lr=lr, **settings, use_gc=not centred)
        if centred:
            ranger.register_step_pre_hook(_centre_gradients)
        return ranger
    if name == "adam":
        return torch.optim.Adam(groups, lr=lr, **settings)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr, **settings)
    raise InputError(f"--optim_name={name} is unknown; choose one of {', '.join(NAMES)}")


def parameters_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Everything that an optimiser changes."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


@torch.no_grad()
def _centre_gradients(optimizer: torch.optim.Optimizer, *_: object) -> None:
    """Subtracts from each gradient the mean of every output channel (gradient centralisation).

    What Ranger does one gradient after another, in a few calls: gradients of one shape are taken together.
    """
    alike: dict[tuple[Any, ...], list[Tensor]] = {}
    for parameter in parameters_of(optimizer):
        gradient = parameter.grad
        if gradient is not None and gradient.dim() > 1:
            alike.setdefault((gradient.shape, gradient.dtype, gradient.device), []).append(gradient)
    for same in alike.values():
        for gradients in runs_in_memory(same):
            together = side_by_side(gradients)
            joined = torch.stack(gradients) if together is None else together
            joined -= joined.mean(dim=tuple(range(2, joined.dim())), keepdim=True)
            if together is None:
                torch._foreach_copy_(gradients, joined.unbind(0))


def cosine_share(step: int, max_steps: int, warm_up: int = 0) -> float:
    """Share of the learning rate at a step: a linear warm-up, then half a cosine down to 0 at `max_steps`."""
    warm = min(1.0, (step + 1) / warm_up) if warm_up else 1.0
    return warm * (0.5 + 0.5 * math.cos(math.pi * min(1.0, step / max(1, max_steps))))


def set_share(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Sets every group of parameters to a share of the learning rate that it began with."""
    for group in optimizer.param_groups:
        group.setdefault("first_lr", group["lr"])
        group["lr"] = share * group["first_lr"]
