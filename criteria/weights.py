"""The weights that pSp, SAM and MyTimeMachine share: official names, official defaults of 0."""

from dataclasses import dataclass

from criteria.colour_loss import ColourWeights
from criteria.style_loss import StyleWeights
from utils.errors import InputError
from utils.typed_options import Options, option, weight


@dataclass(frozen=True, kw_only=True)
class ReconstructionWeights(Options):
    """Weights of the terms of pSp, which SAM and MyTimeMachine have too."""

    title = "losses"

    lpips_lambda: float = option(0.0, weight, "weight of the perceptual loss")
    id_lambda: float = option(0.0, weight, "weight of the identity loss")
    l2_lambda: float = option(0.0, weight, "weight of the L2 loss")
    w_norm_lambda: float = option(0.0, weight, "weight of the distance of the code from the mean")
    lpips_lambda_crop: float = option(0.0, weight, "weight of the perceptual loss on the inner face")
    l2_lambda_crop: float = option(0.0, weight, "weight of the L2 loss on the inner face")

    def check(self) -> None:
        """Raises ``InputError`` if there is nothing to minimise; the cycle only repeats other losses."""
        weights = {name: value for name, value in self.record().items() if "_lambda" in name}
        weights.pop("cycle_lambda", None)
        if not any(value > 0 for value in weights.values()):
            listed = ", ".join(f"--{name}" for name in weights)
            raise InputError(f"no loss has a weight; give at least one of {listed}")


@dataclass(frozen=True, kw_only=True)
class AgeingWeights(ReconstructionWeights, StyleWeights, ColourWeights):
    """What SAM and MyTimeMachine have beside the weights of pSp."""

    aging_lambda: float = option(0.0, weight, "weight of the ageing loss")
    cycle_lambda: float = option(0.0, weight, "weight of the cycle pass")
    lpips_lambda_aging: float = option(0.0, weight, "perceptual loss where the age changes")
    l2_lambda_aging: float = option(0.0, weight, "L2 loss where the age changes")
    use_weighted_id_loss: bool = option(False, bool, "weigh identity by the age difference")
    recipe: str = option(
        "corrected", str, "with or without published faults", choices=("corrected", "official")
    )
