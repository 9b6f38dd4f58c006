"""The discriminator's part of the loss of an encoder (not in the official code)."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from criteria.objective import Measures, Pass, Term, TermGroup
from utils.typed_options import Options, option, path, positive, rate, weight


@dataclass(frozen=True, kw_only=True)
class OpponentOptions(Options):
    """A discriminator beside the training of an encoder."""

    title = "losses"

    adversarial_lambda: float = option(0.0, weight, "weight of the GAN loss")
    discriminator: str = option(
        "stylegan2",
        str,
        "that of --stylegan_weights or --checkpoint_path, or heads on the stages of --age_classifier",
        choices=("stylegan2", "age_features"),
    )
    discriminator_learning_rate: float = option(2e-3, rate, "of the discriminator's Adam")
    r1: float = option(1.0, weight, "R1 weight of stylegan2's, every 16 of its updates")
    second_discriminator: str | None = option(
        None,
        path,
        "a StyleGAN2 file whose discriminator judges beside it, at its own size; that of a generator of age "
        "groups judges ages as well",
        metavar="FILE",
    )
    second_discriminator_share: float = option(1.0, weight, "its weight beside that of the first")
    discriminator_every: int = option(1, positive, "steps between the discriminator's updates")


@dataclass(frozen=True, kw_only=True)
class KnownOpponentOptions(Options):
    """The discriminator of an earlier training, which learns no more."""

    title = "losses"

    adversarial_lambda: float = option(
        0.0,
        weight,
        "weight of the GAN loss against the discriminator that SAM trained with; it stays as it is",
    )


def believable(measures: Measures, this: Pass) -> Tensor:
    """Non-saturating loss of the full-size pictures, at their ages where the discriminator judges these."""
    assert measures.opponent is not None and this.pictures is not None
    return measures.opponent.fool(this.pictures, this.target_ages)


def _is_learned_from(this: Pass) -> bool:
    return this.trained and this.name != "cycle"


def opponent_terms(options: OpponentOptions | KnownOpponentOptions) -> Sequence[Term]:
    """One row, for the real pass of a training step."""
    return [
        Term(
            "loss_adversarial",
            options.adversarial_lambda,
            believable,
            when=_is_learned_from,
            needs=["opponent"],
        )
    ]


ADVERSARIAL = TermGroup(OpponentOptions, opponent_terms)
KNOWN_ADVERSARIAL = TermGroup(KnownOpponentOptions, opponent_terms)
