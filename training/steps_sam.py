"""One training step of SAM: a pass to the target age and a cycle pass back (Alaluf et al. 2021)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from criteria.age_sampling import Mode
from criteria.objective import Objective, Pass, PassName, Targets
from models.psp import append_age, pSp
from training.two_passes import Backward, PassResult, StepResult, plain_backward, targets_in, two_passes
from utils.device import autocast


def sam_step(
    net: pSp,
    objective: Objective,
    images: Tensor,
    input_ages: Tensor,
    target_ages: Tensor,
    *,
    no_aging: bool,
    cycle_lambda: float,
    targets: Targets | None = None,
    photo_codes: Tensor | None = None,
    randomize_noise: bool = True,
    noise: Mapping[PassName, Sequence[Tensor]] | None = None,
    trained: bool = True,
    precision: torch.dtype = torch.float32,
    backward: Backward = plain_backward,
) -> StepResult:
    """Computes both passes and leaves the sum of their gradients in ``.grad``; the caller owns the optimiser.

    Args:
        net: network in the mode (train, eval) the caller wants.
        objective: terms and weights.
        images: real images ``(B, 3, S, S)`` at the encoder's input size.
        input_ages: their ages ``(B,)`` in years, by the age classifier (``targets.ages``).
        target_ages: years ``(B,)`` to go to; the input ages where ``no_aging``.
        no_aging: whether the batch keeps its ages.
        cycle_lambda: weight of the cycle pass.
        targets: ``objective.targets_of(images)``, where it was computed before.
        photo_codes: ``net.encode_photo(images)``, where it was computed before.
        randomize_noise: draw generator noise in every pass, as officially.
        noise: of each pass, where it was drawn before; one plane (B, 1, side, side) a layer.
        trained: whether networks learn from this step.
        precision: dtype of autocast; float32 for none.
        backward: called with the loss of each pass.
    """
    mode: Mode = "no_aging" if no_aging else "aging"
    known = targets or targets_in(objective, images, precision)

    def run(inputs: Tensor, ages: Tensor, name: PassName, known_codes: Tensor | None) -> PassResult:
        with autocast(images.device, precision):
            codes = net.encode(append_age(inputs, ages), known_codes)
            pictures = net.decode(codes, randomize_noise, noise=noise[name] if noise else None)
            generated = net.face_pool(pictures)
            this = Pass(
                generated,
                known,
                codes,
                average_code=net.average_code,
                target_ages=ages,
                input_ages=input_ages,
                mode=mode,
                name=name,
                pictures=pictures,
                trained=trained,
            )
            return PassResult(objective(this), generated.detach(), codes.detach(), pictures.detach())

    return two_passes(run, images, input_ages, target_ages, photo_codes, cycle_lambda, backward)
