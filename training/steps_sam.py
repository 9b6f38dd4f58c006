"""One training step of SAM: a pass to the target age and a cycle pass back (Alaluf et al. 2021)."""

import torch
from torch import Tensor

from criteria.objective import Pass, Targets
from criteria.sam_objective import SAMObjective
from models.psp import append_age, pSp
from training.step_result import (
    Backward,
    PassResult,
    PictureLoss,
    StepResult,
    average_code,
    plain_backward,
)
from utils.device import autocast


def sam_step(
    net: pSp,
    objective: SAMObjective,
    images: Tensor,
    input_ages: Tensor,
    target_ages: Tensor,
    *,
    no_aging: bool,
    targets: Targets | None = None,
    photo_codes: Tensor | None = None,
    randomize_noise: bool = True,
    precision: torch.dtype = torch.float32,
    backward: Backward = plain_backward,
    picture_loss: PictureLoss | None = None,
) -> StepResult:
    """Computes both passes and leaves the sum of their gradients in ``.grad``; the caller owns the optimiser.

    The cycle pass sees the generated images detached, so no graph outlives its own backward pass.

    Args:
        net: network in the mode (train, eval) the caller wants.
        objective: terms and weights.
        images: real images ``(B, 3, S, S)`` at the encoder's input size.
        input_ages: their ages ``(B,)`` in years, by the age classifier (``targets.ages``).
        target_ages: years ``(B,)`` to go to; the input ages where ``no_aging``.
        no_aging: whether the batch keeps its ages.
        targets: ``objective.describe(images)``, where it was computed before.
        photo_codes: ``net.encode_photo(images)``, where it was computed before.
        randomize_noise: draw generator noise in every pass, as officially.
        precision: dtype of autocast; float32 for none.
        backward: called with the loss of each pass.
        picture_loss: a further, weighted loss of the full-size pictures of the real pass.
    """
    if targets is None:
        with autocast(images.device, precision):
            targets = objective.describe(images)

    def run(inputs: Tensor, ages: Tensor, pass_name: Pass, known_codes: Tensor | None) -> PassResult:
        with autocast(images.device, precision):
            codes = net.encode(append_age(inputs, ages), known_codes)
            pictures = net.decode(codes, randomize_noise=randomize_noise)
            generated = net.face_pool(pictures)
            losses = objective(
                generated,
                targets,
                codes,
                average_code(net),
                ages,
                input_ages,
                no_aging=no_aging,
                pass_name=pass_name,
            )
            if picture_loss is not None and pass_name == "real":
                losses.add(1.0, picture_loss(pictures))
        return PassResult(losses, generated.detach(), codes.detach())

    real = run(images, target_ages, "real", photo_codes)
    backward(real.losses.total)
    cycle_lambda = objective.weights.cycle_lambda
    if cycle_lambda <= 0:
        return StepResult(real, None)
    cycle = run(real.images, input_ages, "cycle", None)
    backward(cycle_lambda * cycle.losses.total)
    return StepResult(real, cycle)
