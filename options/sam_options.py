"""Options of `--coach sam`."""

import argparse

from configs.paths_config import model_paths
from options.encoder_options import (
    add_adversary,
    add_aging_losses,
    add_average,
    add_losses,
    add_sizes,
    add_training,
    check_adversary,
    check_encoder,
    check_losses,
    check_target_age,
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds sizes, data and losses of SAM."""
    add_sizes(parser, input_nc=4)
    group = add_training(parser)
    group.add_argument(
        "--start_from_encoded_w_plus", action="store_true", help="codes are offsets from pSp's code"
    )
    group.add_argument("--pretrained_psp_path", metavar="FILE", default=model_paths["pretrained_psp"])
    group.add_argument(
        "--encoder_start",
        default="face_network",
        choices=["face_network", "prior", "random"],
        help="the face network's body (official), a copy of the prior that adds nothing yet, or random",
    )
    add_average(group)
    losses = add_losses(parser)
    add_aging_losses(losses)
    losses.add_argument(
        "--w_norm_metric",
        default="euclidean",
        choices=["euclidean", "photos"],
        help="how --w_norm_lambda measures codes; photos: in standard deviations of the photos' own codes",
    )
    losses.add_argument(
        "--aging_augment",
        action="store_true",
        help="the age classifier sees shifted and recoloured results, so that small patterns do not fool it",
    )
    add_adversary(losses)


def check(opts: argparse.Namespace) -> str | None:
    """Returns what contradicts itself in the options, if anything."""
    if opts.start_from_latent_avg and opts.start_from_encoded_w_plus:
        return "--start_from_latent_avg and --start_from_encoded_w_plus exclude each other"
    if opts.encoder_start == "prior" and not opts.start_from_encoded_w_plus:
        return "--encoder_start=prior needs --start_from_encoded_w_plus"
    if opts.w_norm_metric == "photos" and not opts.start_from_encoded_w_plus:
        return "--w_norm_metric=photos needs the prior of --start_from_encoded_w_plus"
    if opts.input_nc != 4:
        return f"--input_nc={opts.input_nc}: SAM's encoder reads RGB and an age plane, --input_nc=4"
    return check_target_age(opts) or check_adversary(opts) or check_encoder(opts) or check_losses(opts)
