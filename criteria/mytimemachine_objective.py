"""Training objective of MyTimeMachine: both passes of a step, in all three modes (Qi et al. 2024)."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from criteria.adaptive_w_norm import adaptive_w_norm
from criteria.adversarial import KNOWN_ADVERSARIAL, KnownOpponentOptions
from criteria.age_sampling import cosine_weight, distance_to_range
from criteria.colour_loss import COLOUR
from criteria.nearest_neighbor_id_loss import nearest_neighbor_id_loss
from criteria.objective import Compute, Measures, Pass, Term, TermGroup
from criteria.recipes import MyTimeMachineRecipe, get_recipe
from criteria.style_loss import STYLE
from criteria.terms import (
    aging,
    by_age_difference,
    distance_from_average,
    equally,
    identity,
    l2,
    l2_crop,
    lpips,
    lpips_crop,
)
from criteria.weights import AgeingWeights
from utils.typed_options import option, weight

GLOBAL, PHOTO = "global", "photo"


@dataclass(frozen=True, kw_only=True)
class MyTimeMachineWeights(AgeingWeights, KnownOpponentOptions):
    """Weights of SAM's terms and of those that MyTimeMachine adds."""

    adaptive_w_norm_lambda: float = option(7.0, weight, "W-norm that grows with the distance; 0: SAM's")
    nearest_neighbor_id_loss_lambda: float = option(1.0, weight, "identity to the nearest photo")
    extrapolation_target: str = option(
        GLOBAL,
        str,
        "what faces outside the photos' ages shall look like: the global model's, or as in SAM the photo",
        choices=(GLOBAL, PHOTO),
    )

    @property
    def repairs(self) -> MyTimeMachineRecipe:
        """Which faults of the published training are repaired."""
        return get_recipe(MyTimeMachineRecipe, self.recipe)


def extrapolates(this: Pass) -> bool:
    """Whether the ages asked for lie beyond those of the photos."""
    return this.mode == "extrapolation"


def interpolates(this: Pass) -> bool:
    """Whether the ages asked for lie between those of the photos."""
    return this.mode == "interpolation"


def stays_inside(this: Pass) -> bool:
    """The opposite of :func:`extrapolates`."""
    return not extrapolates(this)


def by_distance(measures: Measures, this: Pass) -> Tensor:
    """Weights (B,) that fall with the distance to the input age, in extrapolation to the training range."""
    if not extrapolates(this):
        return by_age_difference(measures, this)
    assert measures.age_range is not None
    return cosine_weight(distance_to_range(this.years()[0], measures.age_range))


def nearest_photo(official_window: bool) -> Compute:
    """``mean_i (1 - max_r S(y_i) . S(r))`` over the photos r of about the target age."""

    def compute(measures: Measures, this: Pass) -> Tensor:
        assert measures.identity is not None and measures.references is not None
        features = this.embedding(measures.identity)
        mask = measures.references.mask(this.years()[0], official=official_window)
        bank = measures.references.features.to(features.device)
        return nearest_neighbor_id_loss(features, bank, mask.to(features.device))

    return compute


def distance_by_age(scale: float, sum_over_batch: bool) -> Compute:
    """W-norm that an age further away from the input's loosens less."""

    def compute(measures: Measures, this: Pass) -> Tensor:
        distance = adaptive_w_norm(this.codes, this.average_code, *this.years(), scale, sum_over_batch)
        return distance / this.share if sum_over_batch else distance

    return compute


def mytimemachine_terms(weights: MyTimeMachineWeights) -> Sequence[Term]:
    """The rows of either pass in every mode; the total of the cycle pass counts ``cycle_lambda`` times."""
    repairs = weights.repairs
    whole, inner, identities = ["perceptual"], ["perceptual_crop"], ["identity"]
    neighbour = weights.nearest_neighbor_id_loss_lambda if repairs.neighbour_weight_respected else 1.0
    scale = weights.adaptive_w_norm_lambda
    adaptive = distance_by_age(scale, sum_over_batch=not repairs.w_norm_independent_of_batch)
    if not scale and repairs.w_norm_without_adaptive:
        adaptive = distance_from_average
    as_sam = weights.extrapolation_target == PHOTO
    pairs = (by_age_difference if as_sam else by_distance) if weights.use_weighted_id_loss else equally

    def aged(this: Pass) -> bool:
        ages = as_sam if extrapolates(this) else interpolates(this) or not repairs.plain_weights_without_aging
        return this.name == "real" and ages

    def not_aged(this: Pass) -> bool:
        return not aged(this)

    return [
        # identity with the input, and where the person has photos of that age with the nearest of them
        Term("loss_id", weights.id_lambda, identity(pairs), needs=identities, compares=identities),
        Term(
            "nearest_neighbor_id_loss",
            neighbour,
            nearest_photo(official_window=not repairs.window_in_whole_years),
            when=interpolates,
            needs=["identity", "references"],
            suffixed=False,
        ),
        # likeness: of the input, in extrapolation of what the global network makes of it
        Term("loss_l2", weights.l2_lambda, l2, when=not_aged),
        Term("loss_l2", weights.l2_lambda_aging, l2, when=aged),
        Term("loss_lpips", weights.lpips_lambda, lpips, not_aged, needs=whole, compares=whole),
        Term("loss_lpips", weights.lpips_lambda_aging, lpips, aged, needs=whole, compares=whole),
        Term(
            "loss_lpips_crop",
            weights.lpips_lambda_crop,
            lpips_crop,
            needs=whole,
            compares=inner,
            suffixed=False,
        ),
        Term("loss_l2_crop", weights.l2_lambda_crop, l2_crop, suffixed=False),
        # ||w - average||, adaptive in extrapolation
        Term("loss_w_norm", weights.w_norm_lambda, distance_from_average, when=stays_inside),
        Term("loss_w_norm", weights.w_norm_lambda, adaptive, when=extrapolates),
        # squared error of the age that the classifier sees; the published code adds it twice in extrapolation
        Term("loss_aging", weights.aging_lambda, aging, stays_inside, needs=["aging"], compares=["ages"]),
        Term(
            "loss_aging",
            weights.aging_lambda * (1 if repairs.aging_loss_once else 2),
            aging,
            when=extrapolates,
            needs=["aging"],
            compares=["ages"],
        ),
    ]


MYTIMEMACHINE = [TermGroup(MyTimeMachineWeights, mytimemachine_terms), STYLE, COLOUR, KNOWN_ADVERSARIAL]
