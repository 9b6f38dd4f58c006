"""One training step of MyTimeMachine: adapter to the target age, and back (Qi et al. 2024)."""

import torch
from torch import Tensor

from criteria.age_sampling import Mode
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
    trained: bool = True,
    share: float = 1.0,
    precision: torch.dtype = torch.float32,
    backward: Backward = plain_backward,
) -> StepResult:
    """Computes both passes and leaves the sum of the adapter's gradients in ``.grad``.

    One network serves as the global and the personal one: only the adapter differs. The encoders run once a
    pass and without gradient, the global network renders in extrapolation only. Noise is the fixed one.

    Args:
        net: network with an adapter, everything but the adapter frozen; its mode decides about batch norm.
        objective: terms, weights and reference photos.
        images: real images ``(B, 3, S, S)`` at the encoder's input size.
        input_ages: their ages ``(B,)`` in years.
        target_ages: years ``(B,)`` to go to.
        mode: mode of the batch; it also holds in the cycle pass.
        cycle_lambda: weight of the cycle pass.
        targets: ``objective.targets_of(images)``, where it was computed before.
        photo_codes: ``net.encode_photo(images)``, where it was computed before.
        trained: whether the adapter learns from this step; share: of these images in those of the step.
        precision: dtype of autocast; float32 for none.
        backward: called with the loss of each pass.
    """
    known = targets or targets_in(objective, images, precision)

    def run(inputs: Tensor, ages: Tensor, name: PassName, known_codes: Tensor | None) -> PassResult:
        with autocast(images.device, precision):
            with torch.no_grad():
                global_codes = net.encode(append_age(inputs, ages), known_codes)
            compared = global_pictures(net, objective, global_codes) if mode == "extrapolation" else None
            codes = net.personalize(global_codes, ages)
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
