"""What a pSp, SAM or MyTimeMachine network is made of, and how a checkpoint tells it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models.architecture import checked_sizes
from models.blender import BlenderConfig
from models.encoders.age_encoder import AGE_ENCODER, LATENT_SPACES, AgeEncoderConfig
from models.encoders.psp_encoders import EncoderConfig
from models.kinds import checkpoint_kind, what_is
from models.loading import described_by, weights_of
from models.stylegan2.model import StyleGAN2Config
from utils.errors import InputError
from utils.faces.alignment import CROPS


def usual_crop(encoder: EncoderConfig) -> str:
    """The crop of a network that records none: FFHQ's for the official encoder, else the tight one."""
    return "ffhq" if encoder == EncoderConfig() else "tight"


@dataclass(frozen=True)
class PSPConfig:
    """Everything needed to build a :class:`pSp`; the defaults are the official SAM network.

    Attributes:
        input_nc: 4 with an age plane, 3 without.
        start_from_latent_avg: codes are offsets from the mean latent (pSp).
        start_from_encoded_w_plus: codes are offsets from the pretrained encoder's code (SAM, MyTimeMachine).
        blender: the adapter of MyTimeMachine, or None.
        crop: how the faces are cut that the network knows, a key of ``utils.faces.alignment.CROPS``.
        age_encoder: the ageing encoder where it is a ResNet; None where it is pSp's of the same sizes.
    """

    generator: StyleGAN2Config = StyleGAN2Config()
    encoder: EncoderConfig = EncoderConfig()
    input_nc: int = 4
    start_from_latent_avg: bool = False
    start_from_encoded_w_plus: bool = True
    blender: BlenderConfig | None = None
    crop: str = "ffhq"
    age_encoder: AgeEncoderConfig | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "generator": self.generator.to_dict(),
            "encoder": self.encoder.to_dict(),
            "input_nc": self.input_nc,
            "start_from_latent_avg": self.start_from_latent_avg,
            "start_from_encoded_w_plus": self.start_from_encoded_w_plus,
            "blender": self.blender.to_dict() if self.blender else None,
            "crop": self.crop,
            "age_encoder": self.age_encoder.to_dict() if self.age_encoder else None,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "PSPConfig":
        """The reverse of ``to_dict``, of whatever a file holds.

        Raises:
            ValueError, KeyError: it describes no network of this family.
        """
        values = checked_sizes(cls, values)
        blender, encoder = (
            values.get("blender"),
            EncoderConfig.from_dict(checked_sizes(EncoderConfig, values["encoder"])),
        )
        generator = StyleGAN2Config.from_dict(checked_sizes(StyleGAN2Config, values["generator"]))
        crop = values.get("crop") or usual_crop(encoder)
        if crop not in CROPS or generator.size & (generator.size - 1):
            raise ValueError(f"the crop {crop!r} or the size {generator.size} is unknown")
        age_encoder = None
        if values.get("age_encoder"):
            age_encoder = AgeEncoderConfig.from_dict(checked_sizes(AgeEncoderConfig, values["age_encoder"]))
            if age_encoder.latent_space not in LATENT_SPACES or values["input_nc"] != 4:
                raise ValueError(f"a {AGE_ENCODER} of other codes than w or w+, or without an age plane")
        return cls(
            generator=generator,
            encoder=encoder,
            input_nc=values["input_nc"],
            start_from_latent_avg=values["start_from_latent_avg"],
            start_from_encoded_w_plus=values["start_from_encoded_w_plus"],
            blender=BlenderConfig.from_dict(checked_sizes(BlenderConfig, blender)) if blender else None,
            crop=crop,
            age_encoder=age_encoder,
        )

    @classmethod
    def from_checkpoint(cls, checkpoint: Mapping[str, Any], source: str) -> "PSPConfig":
        """Reads the configuration of a file: its ``opts["architecture"]``, else the official one by its keys.

        Raises:
            InputError: the file holds no network of this family.
        """
        if checkpoint_kind(checkpoint) not in ("psp", "sam", "mytimemachine"):
            found = what_is(checkpoint)
            raise InputError(f"{source} is {found}, not a pSp, SAM or MyTimeMachine checkpoint")
        opts = checkpoint.get("opts") or {}
        with described_by(
            f"{source}: the architecture in its options" if opts.get("architecture") else source
        ):
            if opts.get("architecture"):
                return cls.from_dict(opts["architecture"])
            return cls._official(checkpoint, opts, source)

    @classmethod
    def _official(cls, checkpoint: Mapping[str, Any], opts: Mapping[str, Any], source: str) -> "PSPConfig":
        """The configuration of an official file, which names no sizes."""
        state = weights_of(checkpoint, source)
        encoder_type = opts.get("encoder_type") or "GradualStyleEncoder"
        if encoder_type != "GradualStyleEncoder":
            raise InputError(f"{source} has an encoder of type {encoder_type}, not GradualStyleEncoder")
        from_prior = any(key.startswith("pretrained_encoder.") for key in state)
        sides = [value.shape[-1] for key, value in state.items() if key.startswith("decoder.noises.")]
        size = max(sides) if sides else opts.get("output_size") or 1024
        return cls(
            generator=StyleGAN2Config(**checked_sizes(StyleGAN2Config, {"size": size})),
            input_nc=state["encoder.input_layer.0.weight"].shape[1],
            start_from_encoded_w_plus=from_prior and not opts.get("start_from_latent_avg"),
            start_from_latent_avg=bool(opts.get("start_from_latent_avg", not from_prior)),
            blender=BlenderConfig() if checkpoint_kind(checkpoint) == "mytimemachine" else None,
        )
