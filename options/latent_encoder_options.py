"""Options of `--coach latent_encoder`: the encoder of directed generation."""

from dataclasses import dataclass

from configs.paths_config import dataset_paths, model_paths
from criteria.psp_objective import RECONSTRUCTION
from criteria.weights import ReconstructionWeights
from models.latent_encoder import LATENT_SPACES, SMALLEST_INPUT
from options.ageing_options import AUTO
from options.base_options import TrainOptions, parse_numbers
from options.conditional_options import age_groups_of
from options.encoder_options import LossNetworkOptions
from utils.age_groups import AgeGroups
from utils.errors import InputError
from utils.faces.alignment import CROPS
from utils.typed_options import (
    Options,
    Unread,
    count,
    fraction,
    group,
    option,
    path,
    pixels,
    positive,
    rate,
    weight,
)

STAGES = 3  # of the backbone
PUBLISHED_REPEATS = [5, 10, 5]


@dataclass(frozen=True, kw_only=True)
class LatentEncoderSizes(Options):
    """What the encoder reads and gives."""

    title = "network sizes"

    latent_space: str = option("w+", str, "what the encoder gives; officially z", choices=LATENT_SPACES)
    encoder_size: int = option(160, pixels, "side at which the encoder reads faces")
    encoder_width: float = option(1.0, rate, "channels of the encoder in units of the published ones")
    encoder_repeats: str | None = option(
        None, str, "residual blocks of the three stages instead of 5,10,5", metavar="N,N,N"
    )

    @property
    def repeats(self) -> list[int]:
        """Residual blocks of the three stages."""
        return parse_numbers(self.encoder_repeats, "--encoder_repeats", STAGES) or PUBLISHED_REPEATS

    def check(self) -> None:
        """Raises ``InputError`` for sizes that make no encoder."""
        _ = self.repeats
        if self.encoder_size < SMALLEST_INPUT:
            raise InputError(
                f"--encoder_size={self.encoder_size}: at least {SMALLEST_INPUT} pixels are needed"
            )


@dataclass(frozen=True, kw_only=True)
class PairOptions(Options):
    """Pairs of a latent and its picture, which the generator makes."""

    title = "pairs"

    pairs: int = option(0, count, "so many different pairs, a fifth of them for validation; 0: endless")
    truncation: float = option(1.0, fraction, "how far from their mean the codes of the pairs lie")
    latent_lambda: float = option(1.0, weight, "weight of the squared error of the latent; 0: no pairs")
    milestones: str | None = option(
        "5,10",
        str,
        "epochs (of four fifths of the pairs, of 8,000 of endless ones) after which the "
        "learning rate is divided by ten",
        metavar="N,N,...",
    )

    @property
    def epochs(self) -> list[int]:
        """Epochs after which the learning rate falls."""
        return parse_numbers(self.milestones, "--milestones") or []

    def check(self) -> None:
        """Raises ``InputError`` for no such list, or too few pairs to keep some back."""
        _ = self.epochs
        if 0 < self.pairs < 10:
            raise InputError(f"--pairs={self.pairs}: give at least 10, or 0 for endless ones")


@dataclass(frozen=True, kw_only=True)
class LatentEncoderOptions(
    TrainOptions, LatentEncoderSizes, PairOptions, LossNetworkOptions, ReconstructionWeights
):
    """What the coach of the latent encoder reads."""

    title = "latent encoder"
    objective = RECONSTRUCTION
    unread = (Unread("test_workers", count, 2, official=False),)

    stylegan_weights: str = option(
        model_paths["stylegan_ffhq"], path, "the conditional generator, or a pair with one", metavar="FILE"
    )
    age_groups: str | None = option(
        None, str, "the age groups of its classes, where the file does not tell", metavar="0-10,11-20,..."
    )
    checkpoint_path: str | None = option(None, path, "start from the encoder of this pair", metavar="FILE")
    encoder_weights: str | None = option(
        None, path, "start the backbone from this file of facenet-pytorch", metavar="FILE"
    )
    train_dataset: str = option(
        dataset_paths["ffhq"],
        path,
        "faces {age}_{idx}, a folder or zip archive, for the losses on pictures made of real faces",
        metavar="DIR",
    )
    test_dataset: str | None = option(None, path, "such faces for validation", metavar="DIR")
    n_test: int = option(64, positive, "validation faces")
    test_batch_size: int = option(32, group, "validation faces or pairs at a time")
    crop: str = option(AUTO, str, "how faces are cut; auto: as the file says", choices=(AUTO, *CROPS))
    recipe: str = option(
        "corrected", str, "with or without the faults of the original", choices=("corrected", "official")
    )
    batch_size: int = option(32, group, "pairs, and photos, a step, of all processes together")
    max_steps: int = option(2000, positive, "steps in all; 8 epochs of 8,000 pairs are 2,000 of 32")
    learning_rate: float = option(1e-3, rate, "of Adam")
    ema_halflife: float = option(
        0.0,
        weight,
        "half-life, in pairs, of an average of the weights that is saved in their place; 0: none",
    )

    @property
    def groups(self) -> AgeGroups | None:
        """The age groups, where they are given.

        Raises:
            InputError: they are none.
        """
        return age_groups_of(self.age_groups)

    @property
    def compares_pictures(self) -> bool:
        """Whether a loss looks at pictures of real faces."""
        names = ("lpips_lambda", "id_lambda", "l2_lambda", "lpips_lambda_crop", "l2_lambda_crop")
        return any(getattr(self, name) > 0 for name in names)

    def check(self) -> None:
        """Raises ``InputError`` if options contradict each other."""
        _ = self.groups
        if self.checkpoint_path and self.encoder_weights:
            raise InputError("--checkpoint_path and --encoder_weights exclude each other: choose one start")
        if self.recipe == "official" and self.latent_space != "z":
            raise InputError("--recipe=official needs --latent_space=z")
        if self.recipe == "official" and (self.encoder_width != 1 or self.repeats != PUBLISHED_REPEATS):
            raise InputError("--recipe=official needs --encoder_width=1 and no --encoder_repeats")
