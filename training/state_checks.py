"""What a saved state of a training must be made of, looked at before any of it is taken back."""

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.loading import checked_numbers
from utils.errors import InputError


def check_state(
    content: Mapping[str, Any],
    networks: Mapping[str, nn.Module],
    optimizers: Mapping[str, torch.optim.Optimizer],
    place: str,
) -> None:
    """Compares the entries of a state with the parts that shall take them.

    Args:
        content: of a file.
        networks: by name.
        optimizers: by name.
        place: folder of the run, for error messages.

    Raises:
        InputError: an entry is not what its name says, or holds numbers that are not finite.
        KeyError, TypeError, ValueError: a part is missing or of another run.
    """
    for entry in ("networks", "optimizers", "extra", "random"):
        if not isinstance(content[entry], Mapping):
            raise InputError(_wrong(place, entry, content[entry]))
    counted(content["step"], "step", place)
    best = content["best_value"]
    if not isinstance(best, numbers.Real) or isinstance(best, bool):
        raise InputError(_wrong(place, "best_value", best))
    for name, network in networks.items():
        own, found = network.state_dict(), content["networks"][name]
        for key, value in found.items():
            mine = own[key]
            if isinstance(mine, Tensor):
                floating = mine.is_floating_point()
                if checked_numbers(value, f"networks/{name}/{key}", place, floating).shape != mine.shape:
                    raise ValueError(f"{key} is of another shape")
    for name, optimizer in optimizers.items():
        _check_optimizer(content["optimizers"][name], optimizer, f"optimizers/{name}", place)


def counted(value: Any, entry: str, place: str) -> int:
    """An entry that counts something.

    Raises:
        InputError: it is no number of things.
    """
    if type(value) is not int or value < 0:
        raise InputError(_wrong(place, entry, value))
    return value


def _check_optimizer(found: Any, own: torch.optim.Optimizer, entry: str, place: str) -> None:
    groups, moments = found["param_groups"], found["state"]
    if not isinstance(groups, list) or not isinstance(moments, Mapping):
        raise InputError(_wrong(place, entry, found))
    parameters = []
    for group, mine in zip(groups, own.param_groups, strict=True):
        parameters += mine["params"]
        for name, value in mine.items():
            if name == "params" or (name not in group and (value is None or isinstance(value, bool))):
                continue  # a switch that another version of torch does not know
            if not _alike(value, group[name]):
                raise InputError(_wrong(place, f"{entry}/{name}", group[name]))
    numbered = [number for group in groups for number in group["params"]]
    shapes = {number: parameter.shape for number, parameter in zip(numbered, parameters, strict=True)}
    for number, state in moments.items():
        if state.keys() != next(iter(moments.values())).keys():
            raise InputError(_wrong(place, f"{entry}/state/{number}", state))
        for name, value in state.items():
            where = f"{entry}/state/{number}/{name}"
            if isinstance(value, Tensor):
                checked_numbers(value, where, place)
                if value.shape != (() if name == "step" else shapes[number]):
                    raise InputError(_wrong(place, where, value))
            elif name != "step" or not isinstance(value, numbers.Real) or value < 0:
                raise InputError(_wrong(place, where, value))


def _alike(own: Any, found: Any) -> bool:
    """Whether a setting of an optimiser can stand in the place of another."""
    if isinstance(own, bool):
        return isinstance(found, bool)
    if own is None:
        return found is None or isinstance(found, bool)
    if isinstance(own, (numbers.Real, Tensor)):
        plain = isinstance(found, (numbers.Real, Tensor)) and not isinstance(found, bool)
        return plain and (not isinstance(found, Tensor) or found.numel() == 1) and math.isfinite(found)
    if isinstance(own, Sequence) and not isinstance(own, str):
        same = isinstance(found, (list, tuple)) and len(found) == len(own)
        return same and all(_alike(mine, theirs) for mine, theirs in zip(own, found, strict=True))
    return isinstance(found, type(own))


def _wrong(place: str, entry: str, value: Any) -> str:
    found = repr(value)[:40] if isinstance(value, (str, numbers.Real)) else f"a {type(value).__name__}"
    found = f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else found
    return (
        f"the state of the run in {place} is damaged: {entry} is {found}; "
        f"remove that state or use another --exp_dir"
    )
