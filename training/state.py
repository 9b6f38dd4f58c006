"""What a training is made of, registered once: all that must survive a restart, under its name."""

import math
import sys
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from training.figures import RunningFigures
from training.randomness import random_state, set_random_state
from training.state_checks import check_state, counted
from utils.errors import InputError

ENTRIES = {"step", "best_value", "coach", "networks", "optimizers", "random", "extra"}
COUNTERS = ("step", "best_value")
LATER_COUNTERS = ("best_step", "skipped", "strain")  # states of earlier versions lack them
# Of an optimiser these are as the options say, also where the state of a run has others.
SETTINGS = ("lr", "betas", "eps", "weight_decay")


class Stateful(Protocol):
    """Whatever can say what it must remember, and take it back."""

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> Any: ...


class TrainingState:
    """Networks, optimisers and counters of a run.

    Args:
        coach: name of the class that trains, so that no other takes the run for its own.

    Attributes:
        step: steps made.
        best_value: best validation figure so far.
        best_step: the step at which it was reached.
        skipped: steps that changed nothing, because their numbers were not finite.
        strain: rises with each of those and falls with each sound step.
        record: the options with which the run goes on, and what it is made from, as plain values.
        figures: of the steps since they were last logged.
    """

    def __init__(self, coach: str) -> None:
        self.coach = coach
        self.step = 0
        self.best_value = math.inf
        self.best_step = 0
        self.skipped = 0
        self.strain = 0
        self.record: dict[str, Any] = {}
        self.figures = RunningFigures()
        self.networks: dict[str, nn.Module] = {}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.extra: dict[str, Stateful] = {}

    def register(self, **parts: Stateful) -> None:
        """Adds parts under their names."""
        for name, part in parts.items():
            if isinstance(part, nn.Module):
                self.networks[name] = part
            elif isinstance(part, torch.optim.Optimizer):
                self.optimizers[name] = part
            else:
                self.extra[name] = part

    def content(self) -> dict[str, Any]:
        """Everything, as plain containers and tensors for a file; equal states give the same bytes."""
        content = {
            "coach": self.coach,
            **{name: getattr(self, name) for name in (*COUNTERS, *LATER_COUNTERS)},
            "record": self.record,
            "figures": self.figures.state_dict(),
            "networks": _states(self.networks),
            "optimizers": _states(self.optimizers),
            "random": random_state(),
            "extra": _states(self.extra),
        }
        return _canonical(content)

    def restore(self, content: Mapping[str, Any], place: str) -> None:
        """Takes back what :meth:`content` gave.

        Args:
            content: of a file.
            place: folder of the run, for error messages.

        Raises:
            InputError: it is that of another coach, or was made with other networks or options.
        """
        if content.get("coach") != self.coach:
            raise InputError(f"{place} holds a run of {content.get('coach')}; choose another --exp_dir")
        try:
            check_state(content, self.networks, self.optimizers, place)
            for kind, parts in (("networks", self.networks), ("extra", self.extra)):
                for name, part in parts.items():
                    part.load_state_dict(content[kind][name])
            for name, optimizer in self.optimizers.items():
                load_optimizer(optimizer, content["optimizers"][name])
            for name in COUNTERS:
                setattr(self, name, content[name])
            for name in LATER_COUNTERS:
                setattr(self, name, counted(content.get(name, 0), name, place))
            self.figures.load_state_dict(content.get("figures", {}))
            set_random_state(content["random"])
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"the run in {place} was made with other networks or options; "
                f"use its own options or another --exp_dir"
            ) from error


def is_training_state(content: Mapping[str, Any]) -> bool:
    """Whether a file holds what :meth:`TrainingState.content` gives."""
    return content.keys() >= ENTRIES


def load_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Takes back moments and counters; learning rate and other settings stay those of the options."""
    settings = [{name: group[name] for name in SETTINGS if name in group} for group in optimizer.param_groups]
    optimizer.load_state_dict(dict(state))
    for group, wanted in zip(optimizer.param_groups, settings, strict=True):
        group.update(wanted)
        group.pop("first_lr", None)  # a schedule begins with that of the options, too
    restore_layout(optimizer)


def restore_layout(optimizer: torch.optim.Optimizer) -> None:
    """Gives loaded moments the memory layout of their parameters.

    Files hold plain contiguous tensors, while fused optimisers walk parameter and moments (of channels-last
    filters) in the order of memory and would otherwise pair the wrong numbers.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _states(parts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: part.state_dict() for name, part in parts.items()}


def _canonical(value: Any) -> Any:
    """Containers with each text once: a file notes which texts are one object and which are only equal."""
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, Mapping):
        return {_canonical(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_canonical(item) for item in value)
    return value
