"""The command line of `scripts/train.py`: which coach, and the options of that coach."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from options.base_options import add_base_options
from utils.errors import InputError


@dataclass(frozen=True)
class CoachEntry:
    """Where a coach and its options live; modules are imported only when the coach is chosen."""

    module: str
    class_name: str
    options: str
    summary: str


COACHES = {
    "stylegan2": CoachEntry(
        "training.coach_stylegan2",
        "CoachStyleGAN2",
        "options.stylegan2_options",
        "generator and discriminator",
    ),
    "age_classifier": CoachEntry(
        "training.coach_age_classifier",
        "CoachAgeClassifier",
        "options.age_classifier_options",
        "DEX age classifier, also as a judge",
    ),
    "identity": CoachEntry(
        "training.coach_identity",
        "CoachIdentity",
        "options.identity_options",
        "identity network, also as a judge",
    ),
    "psp": CoachEntry("training.coach_psp", "CoachPSP", "options.psp_options", "pSp inversion encoder"),
    "sam": CoachEntry("training.coach_aging", "CoachAging", "options.sam_options", "SAM ageing encoder"),
    "mytimemachine": CoachEntry(
        "training.coach_personalized",
        "CoachPersonalized",
        "options.mytimemachine_options",
        "SAM personalised to one person",
    ),
}


class OptionsParser(argparse.ArgumentParser):
    """Reads `@file` arguments (one or more flags a line, `#` starts a comment); reports a wrong command line
    as one sentence.
    """

    def convert_arg_line_to_args(self, arg_line: str) -> list[str]:
        return arg_line.split("#", 1)[0].split()

    def error(self, message: str) -> NoReturn:
        """Raises the message as InputError."""
        raise InputError(f"{message} (--help lists the options)")


def choose_coach(arguments: Sequence[str]) -> str:
    """Returns `--coach`; without it MyTimeMachine if `--adaptive_w_norm_lambda` is given, else SAM."""
    parser = OptionsParser(add_help=False, allow_abbrev=False, fromfile_prefix_chars="@")
    parser.add_argument("--coach", choices=sorted(COACHES))
    parser.add_argument("--adaptive_w_norm_lambda")
    known, _ = parser.parse_known_args(arguments)
    return known.coach or ("mytimemachine" if known.adaptive_w_norm_lambda is not None else "sam")


def build_parser(coach: str) -> argparse.ArgumentParser:
    """Returns the parser of one coach."""
    kinds = "; ".join(f"{name}: {entry.summary}" for name, entry in COACHES.items())
    parser = OptionsParser(
        description=f"Trains a network. --coach is one of {kinds}. Showing the options of --coach={coach}.",
        fromfile_prefix_chars="@",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_base_options(parser)
    options = importlib.import_module(COACHES[coach].options)
    options.add_options(parser)
    parser.set_defaults(coach=coach)
    return parser


def parse_train_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses a training command line (`@preset.args` files included; later flags win) and checks it.

    Raises:
        InputError: a flag is unknown or its value cannot be used, or two contradict each other.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    coach = choose_coach(arguments)
    parser = build_parser(coach)
    opts = parser.parse_args(arguments)
    check = getattr(importlib.import_module(COACHES[coach].options), "check", None)
    if check:
        message = check(opts)
        if message:
            parser.error(message)
    return opts
