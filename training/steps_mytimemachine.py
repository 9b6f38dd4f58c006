"""One training step of MyTimeMachine: adapter to the target age, and back (Qi et al. 2024)."""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class _Likeness:
    """Codes before the adapter, and what their images shall look like."""

    net: pSp
    objective: Objective
    photos: Targets
    global_encoder: nn.Module | None
    mode: Mode
    extrapolation_target: str

    def __call__(self, x: Tensor, photo_codes: Tensor | None) -> tuple[Tensor, Targets | None]:
        """Codes (B, n_styles, style_dim) of images with age planes; what to compare with in extrapolation."""
        net = self.net
        if photo_codes is None:
            photo_codes = net.encode_photo(x)
        learns = self.global_encoder is not None and torch.is_grad_enabled()
        with torch.set_grad_enabled(learns):
            codes = net.encode(x, photo_codes)
        if self.mode != "extrapolation":
            return codes, None
        if self.extrapolation_target != GLOBAL:
            return codes, self.photos
        global_codes = codes
        if self.global_encoder is not None:
            with torch.no_grad():
                global_codes = self.global_encoder(x) + photo_codes
        return codes, global_pictures(net, self.objective, global_codes)


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

    The global network is the personal one but for adapter or encoder, and renders in extrapolation only.

    Args:
        net: of which the adapter alone learns, or the encoder; its mode decides about batch norm.
        objective: terms, weights and reference photos.
        images: real images ``(B, 3, S, S)`` at the encoder's input size.
        input_ages, target_ages: their ages ``(B,)`` in years, and those to go to.
        mode: of the batch, also in the cycle pass, which has the weight ``cycle_lambda``.
        targets, photo_codes: ``objective.targets_of(images)`` and ``net.encode_photo(images)``, where known.
        global_encoder: the encoder as it was, where ``net.encoder`` learns.
        extrapolation_target: as the option of that name.
        trained: whether anything learns from this step; share: of these images in those of the step.
        precision: dtype of autocast; float32 for none.
        backward: called with the loss of each pass.
    """
    known = targets or targets_in(objective, images, precision)
    likeness = _Likeness(net, objective, known, global_encoder, mode, extrapolation_target)

    def run(inputs: Tensor, ages: Tensor, name: PassName, known_codes: Tensor | None) -> PassResult:
        with autocast(images.device, precision):
            codes, compared = likeness(append_age(inputs, ages), known_codes)
            codes = net.personalize(codes, ages)
            pictures = net.decode(codes)
            this = Pass(
                net.face_pool(pictures),
                known,
                codes,
                average_code=net.average_code,
                target_ages=ages,
                input_ages=input_ages,
                mode=mode,
                name=name,
                compared=compared,
                pictures=pictures,
                trained=trained,
                share=share,
            )
            return PassResult(objective(this), this.generated.detach(), codes.detach())

    return two_passes(run, images, input_ages, target_ages, photo_codes, cycle_lambda, backward)
