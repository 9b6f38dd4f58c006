"""What one training step of SAM or MyTimeMachine gives back to its coach."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from criteria.objective import Losses
from models.psp import pSp

Backward = Callable[[Tensor], None]
PictureLoss = Callable[[Tensor], Tensor]  # full-size pictures to a weighted loss


def plain_backward(loss: Tensor) -> None:
    """Ordinary backward pass; a coach that scales its loss passes a function of its own.

    A loss without any term that has a weight, as some modes may have, leaves the gradients alone.
    """
    if loss.requires_grad:
        loss.backward()


@dataclass(frozen=True)
class PassResult:
    """One pass, real or cycle: its losses and, detached, what it made."""

    losses: Losses
    images: Tensor  # (B, 3, S, S) at the encoder's input size
    codes: Tensor  # (B, n_styles, style_dim)


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


def average_code(net: pSp) -> Tensor | None:
    """The code that W-norms are measured from, or None for an encoder that starts from nothing."""
    starts_from_average = net.config.start_from_latent_avg or net.config.start_from_encoded_w_plus
    return net.latent_avg if starts_from_average else None
