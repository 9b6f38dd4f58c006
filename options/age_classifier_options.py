"""Options of `--coach age_classifier`."""

import argparse

from options.base_options import fraction, parse_numbers, parse_share, positive, rate, weight

# Numbers that --network_channels and --network_depths take for each network.
NETWORK_SIZES = {"vgg": (5, 5), "ir_se": (5, 4)}
SMALLEST_INPUT = {"vgg": 32, "ir_se": 16}


def add_network_options(group: argparse._ArgumentGroup, kinds: tuple[str, str]) -> None:
    """Adds what both auxiliary networks share: kind of file, architecture, data and its share,
    augmentation.
    """
    group.add_argument(
        "--kind", default=kinds[0], choices=kinds, help="what the file is for: losses, or judging"
    )
    group.add_argument("--network", default="vgg", choices=["vgg", "ir_se"])
    group.add_argument("--input_size", type=positive, default=64, help="side of the network's input")
    group.add_argument(
        "--network_channels", metavar="N,N,...", help="width of each stage (vgg: 5, ir_se: stem and 4)"
    )
    group.add_argument(
        "--network_depths", metavar="N,N,...", help="convolutions (vgg) or units (ir_se) of each stage"
    )
    group.add_argument(
        "--hidden", type=positive, default=256, help="width of the hidden linear layers of vgg"
    )
    group.add_argument("--train_dataset", required=True, metavar="DIR", help="folder of aligned faces")
    group.add_argument("--test_dataset", metavar="DIR", help="folder of aligned faces for validation")
    group.add_argument(
        "--data_share", default="0-100", metavar="A-B", help="percent of the training folder used"
    )
    group.add_argument("--learning_rate", type=rate, default=1e-3)
    group.add_argument("--weight_decay", type=weight, default=1e-2)
    group.add_argument(
        "--ema_steps", type=positive, default=500, help="steps over which the saved weights average"
    )


def check(opts: argparse.Namespace) -> str | None:
    """Returns what is wrong with network or data of either auxiliary network, if anything."""
    parse_share(opts.data_share)
    widths, depths = NETWORK_SIZES[opts.network]
    parse_numbers(opts.network_channels, "--network_channels", widths)
    parse_numbers(opts.network_depths, "--network_depths", depths)
    smallest = SMALLEST_INPUT[opts.network]
    if opts.input_size < smallest:
        return f"--input_size={opts.input_size}: --network={opts.network} needs at least {smallest}"
    if opts.batch_size < 2:
        return "--batch_size=1: the norms of the network need at least two pictures a batch"
    return None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds network, data and loss of the age classifier."""
    group = parser.add_argument_group("age classifier")
    add_network_options(group, ("age_classifier", "judge_age"))
    group.add_argument(
        "--label_deviation", type=rate, default=3.0, help="years of spread of the class labels"
    )
    group.add_argument(
        "--expectation_lambda", type=weight, default=0.1, help="weight of |expected age - age| in years"
    )
    group.add_argument(
        "--age_balance", type=fraction, default=0.5, help="0: ages as in the data, 1: all groups alike"
    )
