"""Training objective of SAM: both passes of a step (Alaluf et al. 2021, section 3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

from criteria.adversarial import ADVERSARIAL
from criteria.colour_loss import COLOUR
from criteria.objective import Pass, Term, TermGroup
from criteria.recipes import SAMRecipe, get_recipe
from criteria.style_loss import STYLE
from criteria.terms import (
    aging,
    by_age_difference,
    distance_from_average,
    distance_from_photos,
    equally,
    identity,
    l2,
    l2_crop,
    lpips,
    lpips_crop,
)
from criteria.weights import AgeingWeights
from utils.typed_options import option


@dataclass(frozen=True, kw_only=True)
class SAMWeights(AgeingWeights):
    """Weights of SAM's terms."""

    w_norm_metric: str = option(
        "euclidean",
        str,
        "how --w_norm_lambda measures codes; photos: in standard deviations of the photos' own codes",
        choices=("euclidean", "photos"),
    )

    @property
    def repairs(self) -> SAMRecipe:
        """Which faults of the published training are repaired."""
        return get_recipe(SAMRecipe, self.recipe)


def is_aged(this: Pass) -> bool:
    """Whether the pass changes the age: not the way back, and not a batch that keeps its ages."""
    return this.name == "real" and this.mode != "no_aging"


def keeps_its_age(this: Pass) -> bool:
    """The opposite of :func:`is_aged`."""
    return not is_aged(this)


def sam_terms(weights: SAMWeights) -> Sequence[Term]:
    """The rows of either pass; the total of the cycle pass counts ``cycle_lambda`` times."""
    whole, inner, identities = ["perceptual"], ["perceptual_crop"], ["identity"]
    pairs = by_age_difference if weights.use_weighted_id_loss else equally
    spread = weights.w_norm_metric == "photos"
    return [
        # 1 - S(y) . S(x), weighted by the age difference
        Term("loss_id", weights.id_lambda, identity(pairs), needs=identities, compares=identities),
        # ||y - x||^2 and LPIPS(y, x) on the whole picture, with weights of their own where it is aged
        Term("loss_l2", weights.l2_lambda, l2, when=keeps_its_age),
        Term("loss_l2", weights.l2_lambda_aging, l2, when=is_aged),
        Term("loss_lpips", weights.lpips_lambda, lpips, keeps_its_age, needs=whole, compares=whole),
        Term("loss_lpips", weights.lpips_lambda_aging, lpips, is_aged, needs=whole, compares=whole),
        # the same on the inner face, in every pass
        Term(
            "loss_lpips_crop",
            weights.lpips_lambda_crop,
            lpips_crop,
            needs=whole,
            compares=inner,
            suffixed=False,
        ),
        Term("loss_l2_crop", weights.l2_lambda_crop, l2_crop, suffixed=False),
        # ||w - average||
        Term(
            "loss_w_norm",
            weights.w_norm_lambda,
            distance_from_photos if spread else distance_from_average,
            needs=["code_spread"] if spread else [],
        ),
        # squared error of the age that the classifier sees, in centuries
        Term("loss_aging", weights.aging_lambda, aging, needs=["aging"], compares=["ages"]),
    ]


# A further term is a file with a group of its own and one line here.
SAM = [TermGroup(SAMWeights, sam_terms), STYLE, COLOUR, ADVERSARIAL]
