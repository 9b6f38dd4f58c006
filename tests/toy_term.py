"""A further term for SAM, in one file: the result shall not be redder than the photo."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from criteria.objective import Measures, Pass, Term, TermGroup
from utils.typed_options import Options, option, weight


@dataclass(frozen=True, kw_only=True)
class RednessWeights(Options):
    """Its weight."""

    title = "losses"

    redness_lambda: float = option(0.0, weight, "weight of redness beyond that of the photo")


def redness(measures: Measures, this: Pass) -> Tensor:
    """Mean of what red exceeds the photo's."""
    return (this.generated[:, 0] - this.targets.images[:, 0]).clamp_min(0).mean()


def redness_terms(weights: RednessWeights) -> Sequence[Term]:
    """One row, in the real pass."""
    return [Term("loss_redness", weights.redness_lambda, redness, when=lambda this: this.name == "real")]


REDNESS = TermGroup(RednessWeights, redness_terms)
