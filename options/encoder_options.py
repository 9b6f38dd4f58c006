"""Groups of options that pSp, SAM and MyTimeMachine share: sizes, data, optimiser, networks of the losses."""

from dataclasses import dataclass

from configs.paths_config import dataset_paths, model_paths
from criteria.adversarial import OpponentOptions
from options.base_options import CheckpointingOptions, TrainOptions, parse_numbers
from options.stylegan2_options import GeneratorSizes, check_discriminator_batch
from options.target_ages import UNIFORM_RANDOM, parse_target_age
from utils.errors import InputError
from utils.typed_options import (
    Options,
    Unread,
    count,
    group,
    option,
    path,
    paths,
    pixels,
    positive,
    rate,
    weight,
    width,
)

STAGES = 4  # of the encoder


@dataclass(frozen=True, kw_only=True)
class EncoderSizes(GeneratorSizes):
    """Sizes of generator and encoder; the defaults are the official ones."""

    input_nc: int = option(3, width, "channels of the encoder's input")
    encoder_size: int = option(256, pixels, "side of the encoder's input")
    encoder_channels: str | None = option(
        None, str, "width of the stem and the four stages", metavar="N,N,N,N,N"
    )
    encoder_units: str | None = option(
        None, str, "residual units of each stage instead of 50 layers", metavar="N,N,N,N"
    )
    style_channels: int | None = option(None, width, "width inside the map-to-style heads")
    start_from_latent_avg: bool = option(False, bool, "codes are offsets from the mean code")

    @property
    def stage_channels(self) -> list[int] | None:
        """Widths of the stem and the stages; None stands for the official ones."""
        return parse_numbers(self.encoder_channels, "--encoder_channels", STAGES + 1)

    @property
    def stage_units(self) -> list[int] | None:
        """Units of each stage; None stands for the official ones."""
        return parse_numbers(self.encoder_units, "--encoder_units", STAGES)

    def check(self) -> None:
        """Raises ``InputError`` for lists of another length."""
        _ = self.stage_channels, self.stage_units


@dataclass(frozen=True, kw_only=True)
class LossNetworkOptions(Options):
    """The frozen networks that losses look with."""

    title = "losses"

    perceptual: str = option("lpips", str, "which perceptual loss", choices=("lpips", "dex"))
    lpips_weights: str | None = option(
        None, path, "ImageNet weights of AlexNet, where they are not cached", metavar="FILE"
    )
    age_classifier: str = option(
        model_paths["age_predictor"], path, "judges ages; its features are --perceptual=dex", metavar="FILE"
    )
    further_age_classifiers: tuple[str, ...] = option(
        (), paths, "judge ages beside it, so that what only one of them sees is no ageing", metavar="FILE,..."
    )
    identity_network: str = option(model_paths["ir_se50"], path, "judges identity", metavar="FILE")
    further_identity_networks: tuple[str, ...] = option(
        (),
        paths,
        "judge identity beside it, so that what only one of them sees is no likeness",
        metavar="FILE,...",
    )


@dataclass(frozen=True, kw_only=True)
class FolderOptions(Options):
    """Folders of pictures."""

    title = "training"

    dataset_type: str = option("ffhq_aging", str, "names the default folders", choices=("ffhq_aging",))
    train_dataset: str = option(
        dataset_paths["ffhq"], path, "training faces, a folder or zip archive", metavar="DIR"
    )
    test_dataset: str | None = option(
        None, path, "faces for validation; beside the default folder: its own", metavar="DIR"
    )
    n_test: int = option(64, positive, "validation pictures")


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions(Options):
    """Optimiser and learning rate."""

    title = "training"

    learning_rate: float = option(1e-4, rate, "of what is trained")
    optim_name: str = option("ranger", str, "the optimiser", choices=("ranger", "adam", "adamw"))
    learning_rate_schedule: str = option(
        "constant",
        str,
        "cosine: up in 50 steps, then down to 0 at --max_steps",
        choices=("constant", "cosine"),
    )


@dataclass(frozen=True, kw_only=True)
class EncoderTrainOptions(
    TrainOptions,
    CheckpointingOptions,
    EncoderSizes,
    FolderOptions,
    OptimizerOptions,
    LossNetworkOptions,
    OpponentOptions,
):
    """What the coaches that train an encoder (pSp, SAM) read alike."""

    title = "training"
    unread = (
        Unread("label_nc", int, 0, reason="official flag without effect: labels beside the pictures"),
        Unread("test_workers", count, 2, reason="official flag without effect: test pictures stay in memory"),
    )

    test_batch_size: int = option(2, group, "test pictures at a time")
    train_decoder: bool = option(False, bool, "train the generator too")
    generator_noise: str = option(
        "learned",
        str,
        "strength of the noise in a generator that is trained; none: all detail comes from the codes",
        choices=("learned", "none"),
    )
    checkpoint_path: str | None = option(None, path, "start from this checkpoint", metavar="FILE")
    stylegan_weights: str = option(
        model_paths["stylegan_ffhq"], path, "the generator, where no other file has it", metavar="FILE"
    )
    ema_halflife: float = option(
        0.0,
        weight,
        "half-life, in pictures, of an average of the weights that is saved in their place; 0: none",
    )

    def check(self) -> None:
        """Raises ``InputError`` for what needs another option, or a discriminator with too odd batches."""
        if self.generator_noise == "none" and not self.train_decoder:
            raise InputError("--generator_noise=none needs --train_decoder: only a trained generator changes")
        second = self.second_discriminator
        if second is not None and not self.adversarial_lambda:
            raise InputError(f"--second_discriminator={second} judges nothing without --adversarial_lambda")
        if self.adversarial_lambda and (self.discriminator == "stylegan2" or second is not None):
            check_discriminator_batch(self.batch_size, self.gradient_accumulation_steps)


@dataclass(frozen=True, kw_only=True)
class TargetAgeOptions(Options):
    """The age that training aims at."""

    title = "losses"

    target_age: str = option(UNIFORM_RANDOM, str, f"{UNIFORM_RANDOM}, or one age in years")

    @property
    def fixed_age(self) -> float | None:
        """The age in years, None where it is drawn."""
        return parse_target_age(self.target_age).years

    def check(self) -> None:
        """Raises ``InputError`` for what is no age."""
        parse_target_age(self.target_age)
