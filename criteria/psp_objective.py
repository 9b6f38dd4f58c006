"""Training objective of pSp: reconstruction of the input (Richardson et al. 2021, section 3.2)."""

from collections.abc import Sequence

from criteria.adversarial import ADVERSARIAL
from criteria.objective import Term, TermGroup
from criteria.terms import distance_from_average, identity, l2, l2_crop, lpips, lpips_crop
from criteria.weights import ReconstructionWeights


def psp_terms(weights: ReconstructionWeights) -> Sequence[Term]:
    """The rows, with the equations of the paper; the two on the inner face are of its code."""
    perceptual, identities = ["perceptual"], ["identity"]
    return [
        Term("loss_l2", weights.l2_lambda, l2),  # equation 1
        Term("loss_l2_crop", weights.l2_lambda_crop, l2_crop),
        Term("loss_lpips", weights.lpips_lambda, lpips, needs=perceptual, compares=perceptual),  # equation 2
        Term(
            "loss_lpips_crop",
            weights.lpips_lambda_crop,
            lpips_crop,
            needs=perceptual,
            compares=["perceptual_crop"],
        ),
        Term("loss_id", weights.id_lambda, identity(), needs=identities, compares=identities),  # equation 4
        Term("loss_w_norm", weights.w_norm_lambda, distance_from_average),  # equation 3
    ]


RECONSTRUCTION = [TermGroup(ReconstructionWeights, psp_terms)]
PSP = [*RECONSTRUCTION, ADVERSARIAL]
