"""Options that pSp, SAM and MyTimeMachine share: encoder sizes, loss weights, loss networks."""

import argparse

from configs.paths_config import dataset_paths, model_paths
from options.base_options import parse_numbers, positive, rate, weight
from options.stylegan2_options import add_stylegan2_sizes, check_discriminator_batch, check_sizes

STAGES = 4  # of the encoder


def add_sizes(parser: argparse.ArgumentParser, input_nc: int) -> None:
    """Adds the sizes of generator and encoder; the defaults are the official ones."""
    group = parser.add_argument_group("network sizes")
    group.add_argument("--output_size", type=positive, default=1024)
    add_stylegan2_sizes(group)
    group.add_argument("--input_nc", type=positive, default=input_nc, help="channels of the encoder's input")
    group.add_argument("--label_nc", type=int, default=0, help="official flag without effect")
    group.add_argument("--encoder_size", type=positive, default=256, help="side of the encoder's input")
    group.add_argument(
        "--encoder_channels", metavar="N,N,N,N,N", help="width of the stem and the four stages"
    )
    group.add_argument(
        "--encoder_units", metavar="N,N,N,N", help="residual units of each stage instead of 50 layers"
    )
    group.add_argument("--style_channels", type=positive, help="width inside the map-to-style heads")
    group.add_argument(
        "--start_from_latent_avg", action="store_true", help="codes are offsets from the mean code"
    )


def add_losses(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Adds the loss weights that all three share (official names, official defaults of 0)."""
    group = parser.add_argument_group("losses")
    for name, what in (
        ("lpips_lambda", "perceptual loss"),
        ("id_lambda", "identity loss"),
        ("l2_lambda", "L2 loss"),
        ("w_norm_lambda", "distance of the code from the mean"),
        ("lpips_lambda_crop", "perceptual loss on the inner face"),
        ("l2_lambda_crop", "L2 loss on the inner face"),
    ):
        group.add_argument(f"--{name}", type=weight, default=0.0, help=f"weight of the {what}")
    group.add_argument(
        "--perceptual", default="lpips", choices=["lpips", "dex"], help="which perceptual loss"
    )
    group.add_argument(
        "--lpips_weights", metavar="FILE", help="ImageNet weights of AlexNet, where they are not cached"
    )
    group.add_argument("--age_classifier", metavar="FILE", default=model_paths["age_predictor"])
    group.add_argument("--identity_network", metavar="FILE", default=model_paths["ir_se50"])
    return group


def add_training(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Adds data and optimiser."""
    group = parser.add_argument_group("training")
    group.add_argument(
        "--dataset_type", default="ffhq_aging", choices=["ffhq_aging"], help="names the default folders"
    )
    group.add_argument("--train_dataset", metavar="DIR", default=dataset_paths["ffhq"], help="training faces")
    group.add_argument(
        "--test_dataset", metavar="DIR", help="faces for validation; beside the default folder: its own"
    )
    group.add_argument("--learning_rate", type=rate, default=1e-4)
    group.add_argument("--optim_name", default="ranger", choices=["ranger", "adam", "adamw"])
    group.add_argument(
        "--learning_rate_schedule",
        default="constant",
        choices=["constant", "cosine"],
        help="cosine: up in 50 steps, then down to 0 at --max_steps",
    )
    group.add_argument("--train_decoder", action="store_true", help="train the generator too")
    group.add_argument("--checkpoint_path", metavar="FILE", help="start from this checkpoint")
    group.add_argument("--stylegan_weights", metavar="FILE", default=model_paths["stylegan_ffhq"])
    group.add_argument("--n_test", type=positive, default=64, help="validation pictures")
    return group


def add_average(group: argparse._ArgumentGroup) -> None:
    """Adds the running average of the trained weights."""
    group.add_argument(
        "--ema_halflife",
        type=weight,
        default=0.0,
        help="half-life, in pictures, of an average of the weights that is saved in their place; 0: none",
    )


def add_adversary(group: argparse._ArgumentGroup) -> None:
    """Adds the discriminator beside the training of an encoder (not in the official code)."""
    group.add_argument(
        "--adversarial_lambda",
        type=weight,
        default=0.0,
        help="weight of the GAN loss",
    )
    group.add_argument(
        "--discriminator",
        default="stylegan2",
        choices=["stylegan2", "age_features"],
        help="that of --stylegan_weights or --checkpoint_path, or heads on the stages of --age_classifier",
    )
    group.add_argument(
        "--discriminator_learning_rate", type=rate, default=2e-3, help="of the discriminator's Adam"
    )
    group.add_argument(
        "--r1", type=weight, default=1.0, help="R1 weight of stylegan2's, every 16 of its updates"
    )
    group.add_argument(
        "--discriminator_every", type=positive, default=1, help="steps between the discriminator's updates"
    )


def check_adversary(opts: argparse.Namespace) -> str | None:
    """Returns why the discriminator cannot be trained, if so."""
    if opts.adversarial_lambda and opts.discriminator == "stylegan2":
        return check_discriminator_batch(opts.batch_size)
    return None


def add_aging_losses(group: argparse._ArgumentGroup) -> None:
    """Adds the weights that SAM and MyTimeMachine have beside the shared ones."""
    group.add_argument("--aging_lambda", type=weight, default=0.0, help="weight of the ageing loss")
    group.add_argument("--cycle_lambda", type=weight, default=0.0, help="weight of the cycle pass")
    group.add_argument(
        "--lpips_lambda_aging", type=weight, default=0.0, help="perceptual loss where the age changes"
    )
    group.add_argument("--l2_lambda_aging", type=weight, default=0.0, help="L2 loss where the age changes")
    group.add_argument(
        "--use_weighted_id_loss", action="store_true", help="weigh identity by the age difference"
    )
    group.add_argument("--target_age", default="uniform_random", help="uniform_random, or one age in years")
    group.add_argument(
        "--recipe",
        default="corrected",
        choices=["corrected", "official"],
        help="with or without published faults",
    )


def check_encoder(opts: argparse.Namespace) -> str | None:
    """Returns what is wrong with the sizes of generator and encoder, if anything."""
    parse_numbers(opts.encoder_channels, "--encoder_channels", STAGES + 1)
    parse_numbers(opts.encoder_units, "--encoder_units", STAGES)
    return check_sizes(opts)


def check_losses(opts: argparse.Namespace) -> str | None:
    """Returns that there is nothing to minimise, if so; the cycle only repeats other losses."""
    names = [name for name in vars(opts) if "_lambda" in name and name != "cycle_lambda"]
    if any(getattr(opts, name) > 0 for name in names):
        return None
    return "no loss has a weight; give at least one of " + ", ".join(f"--{name}" for name in names)


def check_target_age(opts: argparse.Namespace) -> str | None:
    """Returns what is wrong with `--target_age`, if anything."""
    if opts.target_age == "uniform_random":
        return None
    try:
        return (
            None
            if 0 <= float(opts.target_age) <= 100
            else f"--target_age={opts.target_age} lies outside 0-100"
        )
    except ValueError:
        return f"--target_age={opts.target_age} is neither uniform_random nor an age in years"
