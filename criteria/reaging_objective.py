"""Training objective of Re-Aging GAN: the ways to the target group, to the own group, and back."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from criteria.objective import Measures, Pass, Term, TermGroup
from criteria.terms import aging, by_age_difference, equally, identity, l1, lpips
from utils.errors import InputError
from utils.typed_options import Options, option, weight


@dataclass(frozen=True, kw_only=True)
class ReAgingWeights(Options):
    """Weights of the terms of Re-Aging GAN; those of frozen networks are not in the paper."""

    title = "losses"

    adversarial_lambda: float = option(1.0, weight, "weight of the GAN loss, on the branch of the class")
    rec_lambda: float = option(10.0, weight, "weight of the L1 loss where the target is the own group")
    rec_lambda_later: float = option(1.0, weight, "the same after --rec_epochs")
    cycle_lambda: float = option(1.0, weight, "weight of the L1 loss on the way back to the own group")
    id_lambda: float = option(0.0, weight, "weight of the identity loss, as in SAM")
    aging_lambda: float = option(0.0, weight, "weight of the ageing loss, as in SAM, to the group's centre")
    lpips_lambda: float = option(
        0.0, weight, "weight of the perceptual loss where the target is the own group"
    )
    use_weighted_id_loss: bool = option(False, bool, "weigh identity by the age difference")

    def check(self) -> None:
        """Raises ``InputError`` if there is a phase with nothing to minimise."""
        always = (self.adversarial_lambda, self.cycle_lambda, self.id_lambda, self.aging_lambda)
        if not any(always) and not self.lpips_lambda and not (self.rec_lambda and self.rec_lambda_later):
            raise InputError(
                "no loss has a weight throughout; give --adversarial_lambda, --cycle_lambda, or --rec_lambda "
                "and --rec_lambda_later"
            )


def to_target(this: Pass) -> bool:
    """The pass to another group."""
    return this.name == "real"


def to_own(this: Pass) -> bool:
    """The pass to the group that the face belongs to."""
    return this.name == "own"


def back(this: Pass) -> bool:
    """The pass from the other group to the own one."""
    return this.name == "cycle"


def fools_its_branch(measures: Measures, this: Pass) -> Tensor:
    """GAN loss of the pictures on the branches of the classes that they are meant to show."""
    assert measures.opponent is not None and this.pictures is not None
    return measures.opponent.fool(this.pictures, this.classes)


def reaging_terms(weights: ReAgingWeights) -> Sequence[Term]:
    """The rows of the three passes."""
    pairs = by_age_difference if weights.use_weighted_id_loss else equally
    seen, whole = ["identity"], ["perceptual"]
    return [
        # log(1 - D_t(G(x, t))), or its non-saturating form
        Term(
            "loss_adversarial",
            weights.adversarial_lambda,
            fools_its_branch,
            when=lambda this: to_target(this) and this.trained,
            needs=["opponent"],
            suffixed=False,
        ),
        # |x - G(x, s)|
        Term("loss_rec", weights.rec_lambda, l1, when=to_own, suffixed=False),
        # |x - G(G(x, t), s)|
        Term("loss_cyc", weights.cycle_lambda, l1, when=back, suffixed=False),
        # not in the paper
        Term("loss_id", weights.id_lambda, identity(pairs), to_target, seen, seen, suffixed=False),
        Term("loss_aging", weights.aging_lambda, aging, to_target, ["aging"], ["ages"], suffixed=False),
        Term("loss_lpips", weights.lpips_lambda, lpips, to_own, whole, whole, suffixed=False),
    ]


REAGING = [TermGroup(ReAgingWeights, reaging_terms)]
"""The objective; the weight of reconstruction depends on the phase of the training."""
