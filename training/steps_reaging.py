"""The passes of a step of Re-Aging GAN: to another group, to the own group, and back."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from criteria.objective import Objective, Pass
from models.reaging_gan.age_code import age_code
from models.reaging_gan.generator import ReAgingGenerator
from utils.faces.masks import blended, face_only


@dataclass(frozen=True)
class Faces:
    """Faces and what shall become of them.

    Attributes:
        images: (B, 3, S, S) in [-1, 1].
        own: (B, n), 1 at the class of each.
        target: (B, n), 1 at the class that is asked for.
        own_ages: years (B,).
        target_ages: years (B,).
        masks: (B, 1, S, S) in [0, 1], 1 where the face may change; None: everywhere.
        noise: standard normal (B, 3, 50 n) of the codes to the target, to the own class and back, or None.
    """

    images: Tensor
    own: Tensor
    target: Tensor
    own_ages: Tensor
    target_ages: Tensor
    masks: Tensor | None = None
    noise: Tensor | None = None


@dataclass(frozen=True)
class ReAgingResult:
    """The sum of all terms, figures to log, and the pictures (B, 3, S, S) at the target age, detached."""

    total: Tensor
    scalars: dict[str, Tensor]
    aged: Tensor


def reaging_step(
    generator: ReAgingGenerator, objective: Objective, faces: Faces, *, trained: bool = True
) -> ReAgingResult:
    """Makes the three passes; the way back begins with the graph of the way there.

    f_id of the photos is computed once.

    Args:
        generator: in the mode (train, eval) the caller wants.
        objective: the terms.
        faces: the batch.
        trained: whether networks learn from it.
    """
    photos, masks = faces.images, faces.masks
    noise = [None] * 3 if faces.noise is None else faces.noise.unbind(1)
    there, kept, back = (
        age_code(classes, part)
        for classes, part in zip((faces.target, faces.own, faces.own), noise, strict=True)
    )
    identity = generator.identity_encoder(face_only(photos, masks))
    both = generator.render(torch.cat([identity, identity]), torch.cat([there, kept])).float()
    aged, same = (blended(photos, pictures, masks) for pictures in both.chunk(2))
    returned = blended(aged, generator(face_only(aged, masks), back).float(), masks)

    targets = objective.targets_of(photos)
    to_target = Pass(
        aged,
        targets,
        there[:, None],
        target_ages=faces.target_ages,
        input_ages=faces.own_ages,
        mode="aging",
        name="real",
        pictures=aged,
        trained=trained,
        classes=faces.target,
    )
    own = {"target_ages": faces.own_ages, "classes": faces.own}
    to_own = replace(
        to_target, **own, generated=same, pictures=same, codes=kept[:, None], name="own", mode="no_aging"
    )
    to_back = replace(
        to_target, **own, generated=returned, pictures=returned, codes=back[:, None], name="cycle"
    )
    results = [objective(this) for this in (to_target, to_own, to_back)]
    total = torch.stack([result.total for result in results]).sum()
    scalars = {name: value for result in results for name, value in result.scalars.items()}
    return ReAgingResult(total, {**scalars, "loss": total.detach()}, aged.detach())
