"""Random numbers of a training: functions of seed, step and process, or kept in its state."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

STRIDE = 1_000_003  # between the seeds of a run's streams: more than a run has steps


def seed_everything(seed: int) -> None:
    """Seeds Python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def step_generator(seed: int, step: int) -> torch.Generator:
    """The random numbers of one step, the same in every process and after a restart; on the CPU."""
    return torch.Generator().manual_seed(seed * STRIDE + step)


def seed_process(seed: int, rank: int, step: int) -> None:
    """Gives a further process noise of its own at each step, so that nothing of it must be kept."""
    torch.manual_seed(seed + STRIDE * rank + step)


def random_state() -> dict[str, Any]:
    """Returns the state of the generators as plain containers and tensors."""
    version, words, gauss = random.getstate()
    state = {"torch": torch.get_rng_state(), "python": [version, list(words), gauss]}
    if torch.cuda.is_available():
        state["cuda"] = [torch.cuda.get_rng_state()]  # of the device of this process
    return state


def set_random_state(state: Mapping[str, Any]) -> None:
    """Takes back what `random_state` returned."""
    torch.set_rng_state(state["torch"])
    version, words, gauss = state["python"]
    if gauss is not None and not isinstance(gauss, float):
        raise ValueError("no state of Python's generator")
    random.setstate((version, tuple(words), gauss))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"][0])
