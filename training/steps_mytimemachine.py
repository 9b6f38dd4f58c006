"""One training step of MyTimeMachine: adapter to the target age, and back (Qi et al. 2024)."""

import torch
from torch import Tensor

from criteria.age_sampling import Mode
from criteria.mytimemachine_objective import MyTimeMachineObjective
from criteria.objective import Pass, Targets
from models.psp import append_age, pSp
from training.step_result import Backward, PassResult, StepResult, average_code, plain_backward
from utils.device import autocast


def mytimemachine_step(
    net: pSp,
    objective: MyTimeMachineObjective,
    images: Tensor,
    input_ages: Tensor,
    target_ages: Tensor,
    *,
    mode: Mode,
    targets: Targets | None = None,
    photo_codes: Tensor | None = None,
    precision: torch.dtype = torch.float32,
    backward: Backward = plain_backward,
) -> StepResult:
    """Computes both passes and leaves the sum of the adapter's gradients in ``.grad``.

    One network serves as the global and the personal one: they share encoders and generator, and only the
    adapter is trained.  Passes that nobody uses are not made: the encoders run once a pass and without
    gradient, the picture of the global network is rendered in extrapolation only.  Noise comes from the fixed
    buffers.

    Args:
        net: network with an adapter, everything but the adapter frozen; its mode decides about batch norm.
        objective: terms, weights, reference photos and recipe.
        images: real images ``(B, 3, S, S)`` at the encoder's input size.
        input_ages: their ages ``(B,)`` in years.
        target_ages: years ``(B,)`` to go to.
        mode: mode of the batch; it also holds in the cycle pass.
        targets: ``objective.describe(images)``, where it was computed before.
        photo_codes: ``net.encode_photo(images)``, where it was computed before.
        precision: dtype of autocast; float32 for none.
        backward: called with the loss of each pass.
    """
    if targets is None:
        with autocast(images.device, precision):
            targets = objective.describe(images)

    def run(inputs: Tensor, ages: Tensor, pass_name: Pass, known_codes: Tensor | None) -> PassResult:
        with autocast(images.device, precision):
            global_targets = None
            with torch.no_grad():
                global_codes = net.encode(append_age(inputs, ages), known_codes)
                if mode == "extrapolation":
                    pictures = net.decode(global_codes, resize=True)
                    global_targets = objective.describe(pictures, identity=False, ages=False)
            codes = net.personalize(global_codes, ages)
            generated = net.decode(codes, resize=True)
            losses = objective(
                generated,
                targets,
                codes,
                average_code(net),
                ages,
                input_ages,
                mode=mode,
                pass_name=pass_name,
                global_targets=global_targets,
            )
        return PassResult(losses, generated.detach(), codes.detach())

    real = run(images, target_ages, "real", photo_codes)
    backward(real.losses.total)
    cycle_lambda = objective.weights.cycle_lambda
    if cycle_lambda <= 0:
        return StepResult(real, None)
    cycle = run(real.images, input_ages, "cycle", None)
    backward(cycle_lambda * cycle.losses.total)
    return StepResult(real, cycle)
