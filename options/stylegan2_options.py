"""Options of `--coach stylegan2`, and the sizes of a generator, which encoders share."""

from collections.abc import Mapping
from dataclasses import dataclass

from options.base_options import CheckpointingOptions, TrainOptions
from options.conditional_options import AdaptiveAugmentOptions, ClassOptions, FeatureOpponentOptions
from options.metric_options import MetricOptions
from utils.errors import InputError
from utils.typed_options import (
    Options,
    count,
    depth,
    fraction,
    option,
    path,
    pixels,
    positive,
    rate,
    weight,
    width,
)

SMALLEST, LARGEST = 8, 1024  # pixels; the official table of channels ends at the largest
GROUP = 4  # pictures that the discriminator compares with each other


@dataclass(frozen=True, kw_only=True)
class GeneratorSizes(Options):
    """Sizes of a StyleGAN2; the defaults are the official ones."""

    title = "network sizes"

    output_size: int = option(1024, pixels, "side of the pictures in pixels")
    style_dim: int = option(512, width, "length of a style")
    n_mlp: int = option(8, depth, "layers of the mapping network")
    channel_multiplier: int = option(2, positive, "1 or 2: which official table of channels")
    channels: str | None = option(
        None, str, "channels by resolution instead of the official table", metavar="4:N,8:N,..."
    )

    @property
    def channel_table(self) -> dict[int, int] | None:
        """Channels by resolution; None stands for the official table."""
        return parse_channels(self.channels)

    def check(self) -> None:
        """Raises ``InputError`` for sizes that make no generator."""
        size, channels = self.output_size, self.channel_table
        if size < SMALLEST or size & (size - 1):
            raise InputError(f"--output_size={size} is not a power of two of at least {SMALLEST}")
        if channels is None and size > LARGEST:
            raise InputError(f"--output_size={size} needs --channels: the official table ends at {LARGEST}")
        _require_every_side(channels, size, f"--channels={self.channels}")


@dataclass(frozen=True, kw_only=True)
class StyleGAN2Options(
    TrainOptions,
    CheckpointingOptions,
    GeneratorSizes,
    ClassOptions,
    AdaptiveAugmentOptions,
    FeatureOpponentOptions,
    MetricOptions,
):
    """What the coach of StyleGAN2 reads."""

    title = "StyleGAN2"

    train_dataset: str = option(kind=path, help="folder or zip archive of aligned faces", metavar="DIR")
    output_size: int = option(256, pixels, "side of the pictures in pixels")
    checkpoint_path: str | None = option(
        None, path, "start from a trained generator and discriminator", metavar="FILE"
    )
    grow_from: str | None = option(None, path, "start from a pair of half the size", metavar="FILE")
    learning_rate: float = option(2e-3, rate, "of the generator's Adam")
    discriminator_learning_rate: float | None = option(
        None, rate, "default: that of the generator; a small discriminator keeps pace with twice as much"
    )
    discriminator_channels: str | None = option(
        None,
        str,
        "channels of the discriminator by resolution; default: as the generator",
        metavar="4:N,8:N,...",
    )
    r1: float = option(10.0, weight, "weight of the R1 penalty")
    d_reg_every: int = option(16, count, "steps between R1 penalties; 0: none")
    path_regularize: float = option(2.0, weight, "weight of the path length penalty; 0: none")
    path_batch_shrink: int = option(2, positive, "path lengths are measured on so small a part of a batch")
    g_reg_every: int = option(4, positive, "steps between path length penalties")
    mixing: float = option(0.9, fraction, "probability of style mixing")
    augment_p: float = option(0.0, fraction, "probability of each simple augmentation")
    ema_halflife: float = option(10_000, rate, "of the averaged generator, in images")
    ema_rampup: float = option(
        0.05, weight, "keep that half-life below this share of the images seen so far; 0: no such bound"
    )
    mbstd_group: int = option(
        GROUP, positive, "pictures that the discriminator compares with each other (minibatch deviation)"
    )
    freezed: int = option(
        0, count, "layers of the discriminator that stay as they are, from the one that reads the picture on"
    )
    no_mirror: bool = option(False, bool, "leave the pictures as they are; else half of them are mirrored")
    n_samples: int = option(64, positive, "pictures on a sample sheet")
    snapshot_names: bool = option(
        False,
        bool,
        "NVIDIA's names: network-snapshot-N.pt, fakesN.png, reals.png; N counts thousands of pictures",
    )

    def check(self) -> None:
        """Raises ``InputError`` for options that contradict each other."""
        if self.checkpoint_path and self.grow_from:
            raise InputError(
                "--checkpoint_path and --grow_from exclude each other: go on from a pair, or grow one"
            )
        flag = f"--discriminator_channels={self.discriminator_channels}"
        _require_every_side(self.discriminator_channel_table, self.output_size, flag)
        check_discriminator_batch(self.batch_size, self.gradient_accumulation_steps, self.mbstd_group)

    @property
    def discriminator_channel_table(self) -> dict[int, int] | None:
        """Channels of the discriminator by resolution; None stands for those of the generator."""
        return parse_channels(self.discriminator_channels, "--discriminator_channels")


def _require_every_side(channels: Mapping[int, int] | None, size: int, flag: str) -> None:
    """Raises ``InputError`` that begins with a flag if a table of channels lacks a resolution."""
    sides = [2**level for level in range(2, size.bit_length())]
    missing = [side for side in sides if channels is not None and side not in channels]
    if missing:
        raise InputError(f"{flag} has no entry for {missing[0]} pixels")


def check_discriminator_batch(batch_size: int, parts: int = 1, group: int = GROUP) -> None:
    """Raises ``InputError`` if the discriminator cannot take batches of that size, made in parts."""
    pictures = batch_size // parts
    if pictures > group and pictures % group:
        divided = f" in {parts} parts of {pictures}" if parts > 1 else ""
        raise InputError(
            f"--batch_size={batch_size}{divided}: the discriminator takes 1-{group} pictures or a "
            f"multiple of {group}"
        )


def parse_channels(text: str | None, flag: str = "--channels") -> dict[int, int] | None:
    """Reads `4:128,8:128,...` (resolution:channels); None gives the official table.

    Raises:
        InputError: not of that form.
    """
    if not text:
        return None
    try:
        channels = {int(size): int(width) for size, width in (pair.split(":") for pair in text.split(","))}
    except ValueError as error:
        raise InputError(f"{flag}={text}: give resolution:channels pairs such as 4:128,8:128") from error
    if min(channels.values()) < 1:
        raise InputError(f"{flag}={text}: every resolution needs at least one channel")
    return channels
