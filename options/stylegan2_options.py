"""Options of `--coach stylegan2`."""

import argparse

from options.base_options import fraction, positive


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
        "--checkpoint_path", metavar="FILE", help="start from a trained generator and discriminator"
    )
    group.add_argument("--grow_from", metavar="FILE", help="start from a pair of half the size")
    group.add_argument("--learning_rate", type=float, default=2e-3)
    group.add_argument("--r1", type=float, default=10.0, help="weight of the R1 penalty")
    group.add_argument("--d_reg_every", type=int, default=16, help="steps between R1 penalties; 0: none")
    group.add_argument(
        "--path_regularize", type=float, default=2.0, help="weight of the path length penalty; 0: none"
    )
    group.add_argument("--path_batch_shrink", type=positive, default=2)
    group.add_argument("--g_reg_every", type=positive, default=4, help="steps between path length penalties")
    group.add_argument("--mixing", type=fraction, default=0.9, help="probability of style mixing")
    group.add_argument(
        "--augment_p", type=fraction, default=0.0, help="probability of each simple augmentation"
    )
    group.add_argument(
        "--ema_halflife", type=float, default=10_000, help="of the averaged generator, in images"
    )
    group.add_argument("--n_samples", type=positive, default=64, help="pictures on a sample sheet")
