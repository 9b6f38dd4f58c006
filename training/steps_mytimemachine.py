"""One training step of MyTimeMachine: adapter to the target age, and back (Qi et al. 2024)."""

import torch
from torch import Tensor, nn

from criteria.age_sampling import Mode
from criteria.mytimemachine_objective import GLOBAL
from criteria.objective import Objective, Pass, PassName, Targets
from models.psp import append_age, pSp
from training.two_passes import Backward, PassResult, StepResult, plain_backward, targets_in, two_passes
from utils.device import autocast


@torch.no_grad()
def global_pictures(net: pSp, objective: Objective, codes: Tensor) -> Targets:
    """What extrapolated images are compared with: those of the global network from its codes."""
    pictures = net.decode(codes, resize=True)
    return objective.targets_of(pictures, leave_out=("identity", "ages"))


def mytimemachine_step(
    net: pSp,
    objective: Objective,
    images: Tensor,
    input_ages: Tensor,
    target_ages: Tensor,
    *,
    mode: Mode,
    cycle_lambda: float,
    targets: Targets | None = None,
    photo_codes: Tensor | None = None,
    global_encoder: nn.Module | None = None,
    extrapolation_target: str = GLOBAL,
    trained: bool = True,
    share: float = 1.0,
    precision: torch.dtype = torch.float32,
    backward: Backward = plain_backward,
) -> StepResult:
    """Computes both passes and leaves the sum of the gradients of what learns in ``.grad``.

    One network serves as the global and the personal one: only the adapter, or the encoder, differs. What is
    frozen runs once a pass and without gradient, the global network renders in extrapolation only. Noise is
    the fixed one.

    Args:
        net: network with an adapter, everything but the adapter frozen, or one of which only the encoder
            learns; its mode decides about batch norm.
        objective: terms, weights and reference photos.
        images: real images ``(B, 3, S, S)`` at the encoder's input size.
        input_ages: their ages ``(B,)`` in years.
        target_ages: years ``(B,)`` to go to.
        mode: mode of the batch; it also holds in the cycle pass.
        cycle_lambda: weight of the cycle pass.
        targets: ``objective.targets_of(images)``, where it was computed before.
        photo_codes: ``net.encode_photo(images)``, where it was computed before.
        global_encoder: the encoder as it was, where ``net.encoder`` learns.
        extrapolation_target: what extrapolated images are compared with, the ``global`` network's pictures or
            the ``photo``.
        trained: whether anything learns from this step; share: of these images in those of the step.
        precision: dtype of autocast; float32 for none.
        backward: called with the loss of each pass.
    """
    known = targets or targets_in(objective, images, precision)

    def run(inputs: Tensor, ages: Tensor, name: PassName, known_codes: Tensor | None) -> PassResult:
        with autocast(images.device, precision):
            x = append_age(inputs, ages)
            photo_codes = net.encode_photo(x) if known_codes is None else known_codes
            with torch.no_grad():
                global_codes = net.encoder(x) if global_encoder is None else global_encoder(x)
                global_codes = global_codes + photo_codes
            if global_encoder is None:
                codes = net.personalize(global_codes, ages)
            else:
                codes = net.encode(x, photo_codes)
            compared = known if mode == "extrapolation" else None
            if mode == "extrapolation" and extrapolation_target == GLOBAL:
                compared = global_pictures(net, objective, global_codes)
            generated = net.decode(codes, resize=True)
            this = Pass(
                generated,
                known,
                codes,
                average_code=net.average_code,
                target_ages=ages,
                input_ages=input_ages,
                mode=mode,
                name=name,
                compared=compared,
                trained=trained,
                share=share,
            )
            return PassResult(objective(this), generated.detach(), codes.detach())

    return two_passes(run, images, input_ages, target_ages, photo_codes, cycle_lambda, backward)
