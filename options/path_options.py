"""The command line of `scripts/optimize_path.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from options.ageing_options import LATENT_PATHS
from options.inference_options import SamOptions, parse_inference_options
from utils.errors import InputError
from utils.typed_options import Options, option, path, positive, rate, weight

FASTEST = 10.0  # learning rate


@dataclass(frozen=True, kw_only=True)
class PathWeights(Options):
    """How much each term counts; sums run over the ages of a path."""

    title = "latent path optimisation"

    steps: int = option(100, positive, "steps of Adam")
    learning_rate: float = option(0.01, rate, "of Adam; it falls to 0 along half a cosine")
    aging_lambda: float = option(10.0, weight, "difference of target age and age seen, in units of 100 years")
    id_lambda: float = option(0.7, weight, "identity with the photo, at every age")
    l2_lambda: float = option(1.0, weight, "squared error at the age of the photo")
    lpips_lambda: float = option(1.0, weight, "perceptual distance at the age of the photo")
    smoothness_lambda: float = option(0.1, weight, "squared steps from each age to the next")
    diversity_lambda: float = option(
        0.1, weight, "distance of the codes from one another, up to that of the encoder's codes"
    )
    w_norm_lambda: float = option(0.1, weight, "squared distance from the encoder's codes")

    def check(self) -> None:
        """Raises ``InputError`` for steps that leave every face behind."""
        if self.learning_rate > FASTEST:
            raise InputError(
                f"--learning_rate={self.learning_rate:g}: the numbers of a code are about 1; "
                f"give at most {FASTEST:g}"
            )


@dataclass(frozen=True, kw_only=True)
class LatentPathOptions(SamOptions, PathWeights):
    """Options of `scripts/optimize_path.py`."""

    title = "latent path optimisation"

    identity_network: str | None = option(
        None,
        path,
        "tells people apart; without it the official file for ffhq crops where it is at hand, else the "
        "bundled one",
        metavar="FILE",
    )

    @property
    def folder(self) -> Path:
        """Where the results go: a folder for each photo."""
        return Path(self.exp_dir) / LATENT_PATHS


def parse_path_options(arguments: Sequence[str] | None, description: str) -> LatentPathOptions:
    """Parses and checks the command line.

    Raises:
        InputError: a value cannot be used.
    """
    return parse_inference_options(LatentPathOptions, arguments, description)
