"""Options of `--coach psp`."""

import argparse

from options.encoder_options import add_losses, add_sizes, add_training


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds sizes, data and losses of pSp inversion."""
    add_sizes(parser, input_nc=3)
    group = add_training(parser)
    group.add_argument(
        "--decoder_learning_rate", type=float, default=None, help="default: that of the encoder"
    )
    losses = add_losses(parser)
    losses.add_argument(
        "--adversarial_lambda",
        type=float,
        default=0.0,
        help="weight of the GAN loss, with --train_decoder only",
    )
    losses.add_argument(
        "--r1", type=float, default=1.0, help="R1 weight of the discriminator, every 16 steps"
    )


def check(opts: argparse.Namespace) -> str | None:
    """Returns what contradicts itself in the options, if anything."""
    if opts.adversarial_lambda and not opts.train_decoder:
        return "--adversarial_lambda needs --train_decoder: a frozen generator cannot follow a discriminator"
    return None
