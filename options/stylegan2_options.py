"""Options of `--coach stylegan2`."""

import argparse

from options.base_options import count, fraction, positive, rate, weight
from utils.errors import InputError

SMALLEST, LARGEST = 8, 1024  # pixels; the official table of channels ends at the largest
GROUP = 4  # pictures that the discriminator compares with each other


def add_stylegan2_sizes(group: argparse._ArgumentGroup) -> None:
    """Adds the sizes of a StyleGAN2; the defaults are the official ones."""
    group.add_argument("--style_dim", type=positive, default=512)
    group.add_argument("--n_mlp", type=positive, default=8, help="layers of the mapping network")
    group.add_argument("--channel_multiplier", type=positive, default=2)
    group.add_argument(
        "--channels", metavar="4:N,8:N,...", help="channels by resolution instead of the official table"
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds networks, data and losses of StyleGAN2."""
    group = parser.add_argument_group("StyleGAN2")
    group.add_argument("--train_dataset", required=True, metavar="DIR", help="folder of aligned faces")
    group.add_argument("--output_size", type=positive, default=256)
    add_stylegan2_sizes(group)
    group.add_argument(
        "--checkpoint_path",
        metavar="FILE",
        help="start from a trained generator and discriminator",
    )
    group.add_argument("--grow_from", metavar="FILE", help="start from a pair of half the size")
    group.add_argument("--learning_rate", type=rate, default=2e-3)
    group.add_argument(
        "--discriminator_learning_rate",
        type=rate,
        default=None,
        help="default: that of the generator; a small discriminator keeps pace with twice as much",
    )
    group.add_argument("--r1", type=weight, default=10.0, help="weight of the R1 penalty")
    group.add_argument("--d_reg_every", type=count, default=16, help="steps between R1 penalties; 0: none")
    group.add_argument(
        "--path_regularize", type=weight, default=2.0, help="weight of the path length penalty; 0: none"
    )
    group.add_argument("--path_batch_shrink", type=positive, default=2)
    group.add_argument("--g_reg_every", type=positive, default=4, help="steps between path length penalties")
    group.add_argument("--mixing", type=fraction, default=0.9, help="probability of style mixing")
    group.add_argument(
        "--augment_p", type=fraction, default=0.0, help="probability of each simple augmentation"
    )
    group.add_argument(
        "--ema_halflife", type=rate, default=10_000, help="of the averaged generator, in images"
    )
    group.add_argument("--n_samples", type=positive, default=64, help="pictures on a sample sheet")


def check(opts: argparse.Namespace) -> str | None:
    """Returns what contradicts itself in the options, if anything."""
    if opts.checkpoint_path and opts.grow_from:
        return "--checkpoint_path and --grow_from exclude each other: go on from a pair, or grow one"
    return check_sizes(opts) or check_discriminator_batch(opts.batch_size)


def check_discriminator_batch(batch_size: int) -> str | None:
    """Returns why the discriminator cannot take batches of that size, if so."""
    if batch_size <= GROUP or batch_size % GROUP == 0:
        return None
    return f"--batch_size={batch_size}: the discriminator takes 1-{GROUP} pictures or a multiple of {GROUP}"


def check_sizes(opts: argparse.Namespace) -> str | None:
    """Returns what is wrong with the sizes of a generator, if anything."""
    size = opts.output_size
    if size < SMALLEST or size & (size - 1):
        return f"--output_size={size} is not a power of two of at least {SMALLEST}"
    channels = parse_channels(opts.channels)
    if channels is None and size > LARGEST:
        return f"--output_size={size} needs --channels: the official table ends at {LARGEST}"
    sides = [2**level for level in range(2, size.bit_length())]
    missing = [side for side in sides if channels is not None and side not in channels]
    return f"--channels={opts.channels} has no entry for {missing[0]} pixels" if missing else None


def parse_channels(text: str | None) -> dict[int, int] | None:
    """Reads `4:128,8:128,...` (resolution:channels); None gives the official table.

    Raises:
        InputError: not of that form.
    """
    if not text:
        return None
    try:
        channels = {int(size): int(width) for size, width in (pair.split(":") for pair in text.split(","))}
    except ValueError as error:
        raise InputError(f"--channels={text}: give resolution:channels pairs such as 4:128,8:128") from error
    if min(channels.values()) < 1:
        raise InputError(f"--channels={text}: every resolution needs at least one channel")
    return channels
