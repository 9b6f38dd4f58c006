"""How the network of pSp or SAM starts: from a file of its own, a smaller one, a prior, or a generator."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from models.encoders.age_encoder import AgeEncoderConfig, ResNet18AgeEncoder
from models.encoders.helpers import OFFICIAL_CHANNELS
from models.encoders.psp_encoders import EncoderConfig
from models.feature_discriminator import HEADS
from models.kinds import checkpoint_kind, what_is
from models.psp import pSp
from models.psp_config import PSPConfig
from models.psp_files import load_psp, prior_of
from models.psp_start import (
    grow_encoder,
    load_face_network,
    load_generator,
    load_prior,
    start_encoder_from_prior,
)
from models.stylegan2.files import load_converted
from models.stylegan2.growing import grow
from models.stylegan2.model import Discriminator, StyleGAN2Config
from options.encoder_options import EncoderSizes, EncoderTrainOptions
from options.psp_options import PSPOptions
from options.sam_options import SAMOptions
from training.needed_files import NeededFile, require_files
from utils.errors import InputError
from utils.files.checkpoints import Checkpoint, load_checkpoint


@dataclass(frozen=True)
class KnownDiscriminator:
    """Weights of a discriminator and the file they come from."""

    state: Mapping[str, Tensor]
    source: str


@dataclass(frozen=True)
class Start:
    """A network at its start, and the discriminators of the file it comes from, if that has any.

    Attributes:
        net: the network.
        discriminator: of StyleGAN2.
        heads: file and entry of ``models.feature_discriminator.HEADS``.
    """

    net: pSp
    discriminator: KnownDiscriminator | None
    heads: tuple[str, Any] | None = None


def _going_on(checkpoint: Mapping[str, Any], path: str) -> Start:
    heads = (path, checkpoint[HEADS]) if HEADS in checkpoint else None
    return Start(load_psp(checkpoint, path), discriminator_of((checkpoint, path)), heads)


def discriminator_of(*files: tuple[Mapping[str, Any], str]) -> KnownDiscriminator | None:
    """The discriminator of the first of some files (content, path) that has one."""
    return next((KnownDiscriminator(content["d"], path) for content, path in files if "d" in content), None)


# ---------------------------------------------------------------- files


def psp_start_files(opts: PSPOptions) -> list[NeededFile]:
    """What :func:`start_psp` reads."""
    if opts.grow_from:
        return [NeededFile("the pSp to grow", "--grow_from", opts.grow_from)]
    if opts.checkpoint_path:
        return [NeededFile("the pSp checkpoint", "--checkpoint_path", opts.checkpoint_path)]
    return [_generator_file(opts.stylegan_weights)]


def sam_start_files(opts: SAMOptions) -> list[NeededFile]:
    """What :func:`start_sam` reads; the official files are not in the repository."""
    if opts.checkpoint_path:
        return [NeededFile("the SAM checkpoint", "--checkpoint_path", opts.checkpoint_path)]
    files = [_generator_file(opts.stylegan_weights)]
    if opts.start_from_encoded_w_plus:
        files.append(NeededFile("the pSp prior", "--pretrained_psp_path", opts.pretrained_psp_path))
    if opts.has_age_encoder:
        if opts.resnet18_weights:
            files.append(NeededFile("the ResNet-18", "--resnet18_weights", opts.resnet18_weights))
    elif opts.encoder_start == "face_network":
        files.append(NeededFile("the face recognition network", "--identity_network", opts.identity_network))
    return files


def read_generator(path: str) -> Checkpoint:
    """Reads `--stylegan_weights`.

    Raises:
        InputError: it is not there, or another kind of file.
    """
    return read_stylegan2(path, "--stylegan_weights")


def read_stylegan2(path: str, flag: str) -> Checkpoint:
    """Reads a StyleGAN2 file that a flag names.

    Raises:
        InputError: it is not there, or another kind of file.
    """
    require_files([NeededFile("the StyleGAN2 networks", flag, path)])
    return _read(path, "stylegan2", flag, "a StyleGAN2 checkpoint")


def _generator_file(path: str) -> NeededFile:
    return NeededFile("the StyleGAN2 generator", "--stylegan_weights", path)


def _read(path: str, kind: str, flag: str, wanted: str) -> Checkpoint:
    checkpoint = load_converted(path)
    if checkpoint_kind(checkpoint) != kind:
        raise InputError(f"{flag}={path} is {what_is(checkpoint)}, not {wanted}")
    return checkpoint


# ---------------------------------------------------------------- pSp


def start_psp(opts: PSPOptions) -> Start:
    """A pSp to go on from, or to grow, or a fresh encoder before the generator.

    Raises:
        InputError: a file is missing, of another kind, or does not fit.
    """
    if opts.grow_from:
        return _grown(_psp_in(opts.grow_from, "--grow_from"), opts.grow_from)
    if opts.checkpoint_path:
        path = opts.checkpoint_path
        return _going_on(_psp_in(path, "--checkpoint_path"), path)
    return _before_generator(opts)


def _psp_in(path: str, flag: str) -> Checkpoint:
    """The content of a file of pSp; of a SAM that of the pSp inside it."""
    checkpoint = load_converted(path)
    kind = checkpoint_kind(checkpoint)
    if kind == "sam":
        return prior_of(checkpoint, path)
    if kind != "psp":
        raise InputError(
            f"{flag}={path} is {what_is(checkpoint)}, not the checkpoint of a pSp encoder or a SAM"
        )
    return checkpoint


def _grown(start: Checkpoint, path: str) -> Start:
    """A pSp with a generator of twice the size; the heads of its new styles add nothing yet."""
    small = load_psp(start, path)
    config = replace(small.config.generator, size=2 * small.config.generator.size)
    net = pSp.from_config(replace(small.config, generator=config))
    discriminator = Discriminator.from_config(config)
    state = start.get("d") or Discriminator.from_config(small.config.generator).state_dict()
    grow(net.decoder, small.decoder.state_dict(), discriminator, state, path)
    grow_encoder(net, small)
    return Start(net, KnownDiscriminator(discriminator.state_dict(), path))


def _before_generator(opts: EncoderTrainOptions, age_encoder: AgeEncoderConfig | None = None) -> Start:
    """A fresh encoder before the generator of a file."""
    path = opts.stylegan_weights
    stylegan2 = read_generator(path)
    config = generator_config(opts, stylegan2)
    net = _fresh(opts, config, start_from_encoded_w_plus=False, age_encoder=age_encoder)
    load_generator(net, stylegan2, path)
    return Start(net, discriminator_of((stylegan2, path)))


# ---------------------------------------------------------------- SAM


def start_sam(opts: SAMOptions) -> Start:
    """A SAM to go on from, or a fresh ageing encoder beside the pSp prior and the generator.

    Raises:
        InputError: a file is missing, of another kind, or does not fit.
    """
    if opts.checkpoint_path:
        path = opts.checkpoint_path
        return _going_on(_read(path, "sam", "--checkpoint_path", "one of SAM"), path)
    age_encoder = age_encoder_config(opts)
    begin = _beside_prior if opts.start_from_encoded_w_plus else _before_generator
    start = begin(opts, age_encoder)
    encoder = start.net.encoder
    if isinstance(encoder, ResNet18AgeEncoder):
        if opts.resnet18_weights:
            state = load_checkpoint(opts.resnet18_weights).get("state_dict") or {}
            encoder.load_backbone(state, opts.resnet18_weights)
    elif opts.encoder_start == "prior":
        start_encoder_from_prior(start.net)
    elif opts.encoder_start == "face_network":
        state = load_checkpoint(opts.identity_network).get("state_dict") or {}
        load_face_network(
            start.net, state, opts.identity_network, official=not opts.repairs.age_plane_starts_at_zero
        )
    return start


def _beside_prior(opts: SAMOptions, age_encoder: AgeEncoderConfig | None) -> Start:
    """A fresh encoder beside pSp's; the generator of pSp too, where pSp trained it."""
    path = opts.pretrained_psp_path
    prior = _psp_in(path, "--pretrained_psp_path")
    files = [(prior, path)]
    if (prior.get("opts") or {}).get("train_decoder"):
        trained = load_psp(prior, path)
        net = _fresh(opts, trained.config.generator, True, trained.config.crop, age_encoder)
        net.decoder.load_state_dict(trained.decoder.state_dict())
        net.set_latent_avg(trained.latent_avg)
    else:
        stylegan2 = read_generator(opts.stylegan_weights)
        files.append((stylegan2, opts.stylegan_weights))
        crop = PSPConfig.from_checkpoint(prior, path).crop
        net = _fresh(opts, generator_config(opts, stylegan2), True, crop, age_encoder)
        load_generator(net, stylegan2, opts.stylegan_weights)
    load_prior(net, prior, path)
    return Start(net, discriminator_of(*files))


# ---------------------------------------------------------------- sizes


def generator_config(opts: EncoderSizes, checkpoint: Mapping[str, Any] | None) -> StyleGAN2Config:
    """Sizes of the generator: those its checkpoint records, else the options."""
    recorded = ((checkpoint or {}).get("opts") or {}).get("architecture") or {}
    if recorded.get("generator"):
        return StyleGAN2Config.from_dict(recorded["generator"])
    return StyleGAN2Config(
        opts.output_size, opts.style_dim, opts.n_mlp, opts.channel_multiplier, opts.channel_table
    )


def encoder_config(opts: EncoderSizes) -> EncoderConfig:
    """Sizes of the encoder."""
    channels, units = opts.stage_channels, opts.stage_units
    return EncoderConfig(
        input_size=opts.encoder_size,
        channels=tuple(channels) if channels else OFFICIAL_CHANNELS,
        units=tuple(units) if units else None,
        style_channels=opts.style_channels,
    )


def age_encoder_config(opts: SAMOptions) -> AgeEncoderConfig | None:
    """Sizes of a ResNet as the ageing encoder; None where that is pSp's."""
    if not opts.has_age_encoder:
        return None
    channels, units, usual = opts.stage_channels, opts.stage_units, AgeEncoderConfig()
    return AgeEncoderConfig(
        tuple(channels) if channels else usual.channels,
        tuple(units) if units else usual.units,
        opts.latent_space,
    )


def _fresh(
    opts: EncoderSizes,
    generator: StyleGAN2Config,
    start_from_encoded_w_plus: bool,
    crop: str | None = None,
    age_encoder: AgeEncoderConfig | None = None,
) -> pSp:
    """A network of the sizes in the options with random weights."""
    return pSp(
        generator,
        encoder_config(opts),
        opts.input_nc,
        opts.start_from_latent_avg,
        start_from_encoded_w_plus,
        crop=crop,
        age_encoder=age_encoder,
    )
