"""Options of `--coach psp`."""

import argparse

from options.base_options import rate, weight
from options.encoder_options import add_losses, add_sizes, add_training, check_encoder, check_losses
from options.stylegan2_options import check_discriminator_batch


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds sizes, data and losses of pSp inversion."""
    add_sizes(parser, input_nc=3)
    group = add_training(parser)
    group.add_argument(
        "--decoder_learning_rate", type=rate, default=None, help="default: that of the encoder"
    )
    losses = add_losses(parser)
    losses.add_argument(
        "--adversarial_lambda",
        type=weight,
        default=0.0,
        help="weight of the GAN loss, with --train_decoder only",
    )
    losses.add_argument(
        "--r1", type=weight, default=1.0, help="R1 weight of the discriminator, every 16 steps"
    )


def check(opts: argparse.Namespace) -> str | None:
    """Returns what contradicts itself in the options, if anything."""
    if opts.adversarial_lambda and not opts.train_decoder:
        return "--adversarial_lambda needs --train_decoder: a frozen generator cannot follow a discriminator"
    if opts.adversarial_lambda and check_discriminator_batch(opts.batch_size):
        return check_discriminator_batch(opts.batch_size)
    if opts.decoder_learning_rate and not opts.train_decoder:
        return "--decoder_learning_rate needs --train_decoder"
    if opts.input_nc != 3:
        return f"--input_nc={opts.input_nc}: the encoder of pSp reads RGB, --input_nc=3"
    return check_encoder(opts) or check_losses(opts)
