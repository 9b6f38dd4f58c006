"""Options of `--coach psp`."""

import argparse

from options.base_options import rate
from options.encoder_options import (
    add_adversary,
    add_average,
    add_losses,
    add_sizes,
    add_training,
    check_adversary,
    check_encoder,
    check_losses,
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds sizes, data and losses of pSp inversion."""
    add_sizes(parser, input_nc=3)
    group = add_training(parser)
    group.add_argument(
        "--decoder_learning_rate", type=rate, default=None, help="default: that of the encoder"
    )
    group.add_argument(
        "--grow_from", metavar="FILE", help="start from a pSp checkpoint whose generator is half the size"
    )
    add_average(group)
    losses = add_losses(parser)
    losses.add_argument(
        "--full_size_losses",
        action="store_true",
        help="compare pictures at the generator's size; officially at that of the encoder's input",
    )
    add_adversary(losses)


def check(opts: argparse.Namespace) -> str | None:
    """Returns what contradicts itself in the options, if anything."""
    if opts.decoder_learning_rate and not opts.train_decoder:
        return "--decoder_learning_rate needs --train_decoder"
    if opts.grow_from and opts.checkpoint_path:
        return "--checkpoint_path and --grow_from exclude each other: go on from a pSp, or grow one"
    if opts.input_nc != 3:
        return f"--input_nc={opts.input_nc}: the encoder of pSp reads RGB, --input_nc=3"
    return check_adversary(opts) or check_encoder(opts) or check_losses(opts)
