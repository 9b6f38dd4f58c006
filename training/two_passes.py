"""What a step of SAM and of MyTimeMachine have in common: a pass to the target age, and a cycle pass back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from criteria.objective import Losses, Objective, PassName, Targets
from training.accumulation import added_at_once
from training.guard import backward_pass
from utils.device import autocast

Backward = Callable[[Tensor], None]


def plain_backward(loss: Tensor, share: float = 1.0, parameters: Sequence[Tensor] = ()) -> None:
    """Ordinary backward pass, see :func:`backward_pass`.

    A loss without any term that has a weight, as some modes may have, leaves the gradients alone.

    Args:
        parameters: what learns, so that all gradients can be added to earlier ones in one call.
    """
    if loss.requires_grad:
        with added_at_once(parameters):
            backward_pass(loss, share)


@dataclass(frozen=True)
class PassResult:
    """One pass, real or cycle: its losses and, detached, what it made."""

    losses: Losses
    images: Tensor  # (B, 3, S, S) at the encoder's input size
    codes: Tensor  # (B, n_styles, style_dim)
    pictures: Tensor | None = None  # (B, 3, R, R) at the generator's size, where somebody asked for them


@dataclass(frozen=True)
class StepResult:
    """Both passes of a step; ``cycle`` is absent where its weight is zero."""

    real: PassResult
    cycle: PassResult | None

    @property
    def scalars(self) -> dict[str, Tensor]:
        """Figures to log, detached; ``loss`` sums both passes before ``cycle_lambda``, as officially."""
        figures = dict(self.real.losses.scalars)
        total = self.real.losses.total.detach()
        if self.cycle is not None:
            figures.update(self.cycle.losses.scalars)
            total = total + self.cycle.losses.total.detach()
        return {**figures, "loss": total}

    @property
    def per_image(self) -> dict[str, Tensor]:
        """Similarities and ages of each image ``(B,)``, detached, for captions."""
        cycle = self.cycle.losses.per_image if self.cycle is not None else {}
        return {**self.real.losses.per_image, **cycle}


def targets_in(objective: Objective, images: Tensor, precision: torch.dtype) -> Targets:
    """What the terms compare with images ``(B, 3, S, S)``, computed in a precision."""
    with autocast(images.device, precision):
        return objective.targets_of(images)


class RunPass(Protocol):
    """Makes one pass from images (B, 3, S, S) to ages (B,) in years."""

    def __call__(
        self, inputs: Tensor, ages: Tensor, name: PassName, known_codes: Tensor | None
    ) -> PassResult: ...


def two_passes(
    run: RunPass,
    images: Tensor,
    input_ages: Tensor,
    target_ages: Tensor,
    photo_codes: Tensor | None,
    cycle_lambda: float,
    backward: Backward,
) -> StepResult:
    """Ages the images, then ages the result back, each with a backward pass of its own.

    The cycle pass sees the generated images detached, so no graph outlives its own backward pass.

    Args:
        run: makes one pass.
        images: real images ``(B, 3, S, S)``.
        input_ages: their ages ``(B,)`` in years.
        target_ages: years ``(B,)`` to go to.
        photo_codes: ``net.encode_photo(images)``, where it was computed before.
        cycle_lambda: weight of the cycle pass; 0 leaves it out.
        backward: called with the weighted loss of each pass.
    """
    real = run(images, target_ages, "real", photo_codes)
    backward(real.losses.total)
    if cycle_lambda <= 0:
        return StepResult(real, None)
    cycle = run(real.images, input_ages, "cycle", None)
    backward(cycle_lambda * cycle.losses.total)
    return StepResult(real, cycle)
