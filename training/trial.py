"""Steps without effect, which show whether weights are sound where no further step would."""

from collections.abc import Callable
from typing import Any

from training.guard import Guard, KeptBuffers, NotFiniteError, TriedError
from training.randomness import random_state, set_random_state
from training.state import TrainingState


def has_sound_step(
    step: Callable[[], Any], guard: Guard, state: TrainingState, buffers: KeptBuffers, tries: int
) -> bool:
    """Whether one of a few further steps has a finite loss and gradient.

    Args:
        step: makes a step.
        guard: of its optimisers.
        state: of the training; nothing of it changes, nor do random numbers.
        buffers: of its networks, as they are now or were before the newest step.
        tries: at most so many steps.
    """
    groups = [group for optimizer in state.optimizers.values() for group in optimizer.param_groups]
    kept, random = [{**group} for group in groups], random_state()
    guard.trial = True
    try:
        return any(_is_sound(step, buffers) for _ in range(tries))
    finally:
        guard.trial = False
        set_random_state(random)
        for group, before in zip(groups, kept, strict=True):
            group.update(before)  # a schedule may have moved the learning rate


def _is_sound(step: Callable[[], Any], buffers: KeptBuffers) -> bool:
    try:
        step()
    except NotFiniteError:
        return False
    except TriedError:
        return True
    finally:
        buffers.restore()
    return True  # a step in which nothing learns
