"""Options of `--coach mytimemachine`."""

import argparse

from options.base_options import positive, weight
from options.encoder_options import add_aging_losses, add_losses, add_sizes, add_training, check_target_age


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds data and losses of MyTimeMachine; sizes come from `--checkpoint_path`, the global SAM."""
    add_sizes(parser, input_nc=4)
    group = add_training(parser)
    group.add_argument("--start_from_encoded_w_plus", action="store_true", help="official flag; always so")
    group.add_argument(
        "--pretrained_psp_path", metavar="FILE", help="official flag; the prior is in the checkpoint"
    )
    group.add_argument(
        "--train_encoder", action="store_true", help="official flag: trains the adapter, always so"
    )
    group.add_argument("--gpus", type=int, default=1, help="official flag without effect; use torchrun")
    group.add_argument("--n_bottleneck", type=positive, default=32, help="the adapter's summary of one style")
    losses = add_losses(parser)
    add_aging_losses(losses)
    losses.add_argument(
        "--adaptive_w_norm_lambda", type=weight, default=7.0, help="W-norm that grows with the distance"
    )
    losses.add_argument(
        "--nearest_neighbor_id_loss_lambda", type=weight, default=1.0, help="identity to the nearest photo"
    )
    parser.set_defaults(max_steps=15_000, save_interval=2000)


def check(opts: argparse.Namespace) -> str | None:
    """Returns what contradicts itself in the options, if anything."""
    if not opts.checkpoint_path:
        return "--checkpoint_path is needed: the SAM checkpoint to personalise"
    if opts.train_decoder:
        return "--train_decoder does not go with personalisation here: the generator stays that of SAM"
    return check_target_age(opts)
