"""Options of `--coach sam`."""

from dataclasses import dataclass

from configs.paths_config import model_paths
from criteria.sam_objective import SAM, SAMWeights
from models.encoders.age_encoder import AGE_ENCODER, LATENT_SPACES
from options.encoder_options import EncoderTrainOptions, TargetAgeOptions
from utils.errors import InputError
from utils.typed_options import fraction, option, path, width


@dataclass(frozen=True, kw_only=True)
class SAMOptions(EncoderTrainOptions, SAMWeights, TargetAgeOptions):
    """What the coach of SAM reads."""

    title = "SAM"
    objective = SAM

    input_nc: int = option(4, width, "channels of the encoder's input")
    start_from_encoded_w_plus: bool = option(False, bool, "codes are offsets from pSp's code")
    pretrained_psp_path: str = option(
        model_paths["pretrained_psp"],
        path,
        "pSp, or a SAM for the one inside, of --start_from_encoded_w_plus",
        metavar="FILE",
    )
    encoder_type: str = option(
        "GradualStyleEncoder",
        str,
        f"the ageing encoder: pSp's (official); or {AGE_ENCODER}, a ResNet-18 whose pooled features join the "
        "age before a linear layer, of the same --encoder_channels and --encoder_units",
        choices=("GradualStyleEncoder", AGE_ENCODER),
    )
    latent_space: str = option(
        "w+", str, f"codes of a {AGE_ENCODER}: w is one for all layers", choices=LATENT_SPACES
    )
    resnet18_weights: str | None = option(
        None,
        path,
        f"torchvision's ResNet-18 weights that a {AGE_ENCODER} starts from; without it random ones",
        metavar="FILE",
    )
    encoder_start: str = option(
        "face_network",
        str,
        "start of a GradualStyleEncoder: the face network's body (official), a copy of the prior that adds "
        "nothing yet, or random",
        choices=("face_network", "prior", "random"),
    )
    aging_augment: bool = option(
        False,
        bool,
        "the age classifier sees shifted and recoloured results, so that small patterns do not fool it",
    )

    age_balance: float = option(
        0.0,
        fraction,
        "photos are drawn as in the data (0) up to all age groups alike (1), by the ages in their names",
    )

    @property
    def has_age_encoder(self) -> bool:
        """Whether the ageing encoder is a ResNet."""
        return self.encoder_type == AGE_ENCODER

    def check(self) -> None:
        """Raises ``InputError`` if options contradict each other."""
        if self.start_from_latent_avg and self.start_from_encoded_w_plus:
            raise InputError("--start_from_latent_avg and --start_from_encoded_w_plus exclude each other")
        if not self.has_age_encoder:
            for flag, given in (
                ("--latent_space=w", self.latent_space == "w"),
                ("--resnet18_weights", self.resnet18_weights),
            ):
                if given:
                    raise InputError(f"{flag} needs --encoder_type={AGE_ENCODER}")
        if not self.start_from_encoded_w_plus:
            if self.encoder_start == "prior":
                raise InputError("--encoder_start=prior needs --start_from_encoded_w_plus")
            if self.w_norm_metric == "photos":
                raise InputError("--w_norm_metric=photos needs the prior of --start_from_encoded_w_plus")
        if self.input_nc != 4:
            raise InputError(
                f"--input_nc={self.input_nc}: SAM's encoder reads RGB and an age plane, --input_nc=4"
            )
