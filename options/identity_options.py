"""Options of `--coach identity`."""

import argparse

from options.age_classifier_options import add_network_options, check
from options.base_options import positive, rate, weight

__all__ = ["add_options", "check"]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds network, data and loss of the identity network."""
    group = parser.add_argument_group("identity network")
    add_network_options(group, ("identity", "judge_identity"))
    group.add_argument("--embedding_dim", type=positive, default=128)
    group.add_argument(
        "--teacher",
        default="auto",
        choices=["auto", "folders", "dlib"],
        help="folders: ArcFace margin, one folder a person; dlib: distil its descriptor; auto: by the folder",
    )
    group.add_argument("--margin", type=weight, default=0.5, help="ArcFace margin in radians")
    group.add_argument("--scale", type=rate, default=32.0, help="ArcFace scale")
    group.add_argument(
        "--relation_lambda", type=weight, default=1.0, help="weight of the pairwise similarities (dlib)"
    )
