"""Makes the discriminator that trains beside an encoder."""

import torch

from models.auxiliary import AgeClassifier
from models.loading import built_from, described_by
from models.stylegan2.layout import discriminator_config
from models.stylegan2.model import Discriminator
from options.encoder_options import EncoderTrainOptions
from training.adversary import R1_EVERY, Adversary, feature_adversary
from training.encoder_start import Start, discriminator_of, read_generator
from utils.errors import InputError


def needs_classifier(opts: EncoderTrainOptions) -> bool:
    """Whether the discriminator sees through the age classifier."""
    return opts.adversarial_lambda > 0 and opts.discriminator == "age_features"


def make_opponent(
    opts: EncoderTrainOptions,
    start: Start,
    classifier: AgeClassifier | None,
    *,
    judges_age: bool,
    precision: torch.dtype,
    device: torch.device,
) -> Adversary | None:
    """The opponent of `--adversarial_lambda`; None where that is 0.

    Args:
        opts: options of the training.
        start: how the training starts.
        classifier: of `--discriminator=age_features`.
        judges_age: whether that one judges ages too.
        precision: dtype of activations.
        device: where it computes.

    Raises:
        InputError: no file has a discriminator of this size.
    """
    if not opts.adversarial_lambda:
        return None
    if opts.discriminator == "age_features":
        assert classifier is not None  # among the files of the losses
        return feature_adversary(
            classifier,
            opts.discriminator_learning_rate,
            judges_age=judges_age,
            precision=precision,
            device=device,
            every=opts.discriminator_every,
        )
    discriminator = _stylegan2(opts, start)
    discriminator.compute_dtype = precision
    if opts.activation_checkpointing:
        discriminator.recompute_activations()
    return Adversary(
        discriminator.to(device),
        learning_rate=opts.discriminator_learning_rate,
        r1=opts.r1,
        r1_every=R1_EVERY if opts.r1 else 0,
        every=opts.discriminator_every,
    )


def _stylegan2(opts: EncoderTrainOptions, start: Start) -> Discriminator:
    """The discriminator of the file that the training starts from, else that of `--stylegan_weights`."""
    known = start.discriminator or discriminator_of(
        (read_generator(opts.stylegan_weights), opts.stylegan_weights)
    )
    if known is None:
        path = opts.stylegan_weights
        raise InputError(f"{path} has no discriminator, which --adversarial_lambda needs")
    with described_by(known.source):
        config = discriminator_config(known.state)
    if config.size != start.net.config.generator.size:
        raise InputError(
            f"the discriminator of {known.source} sees pictures of {config.size} pixels, and the generator "
            f"makes {start.net.config.generator.size}; give another file"
        )
    return built_from(lambda: Discriminator.from_config(config), known.state, known.source)
