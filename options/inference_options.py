"""The command line of the inference scripts: every official flag unchanged, and a few of ours."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from configs.paths_config import model_paths
from options.base_options import add_ops
from utils.errors import InputError

UNIFORM_RANDOM = "uniform_random"
DEFAULT_AGES = ",".join(str(age) for age in range(0, 101, 10))
YOUNGEST, OLDEST = 0.0, 100.0


@dataclass(frozen=True)
class TargetAge:
    """One entry of ``--target_age``.

    Attributes:
        label: the entry as typed; names the folder of its results.
        years: the age in years, None where each picture draws its own.
    """

    label: str
    years: float | None


class InferenceParser(argparse.ArgumentParser):
    """Reports a wrong command line as one sentence."""

    def error(self, message: str) -> NoReturn:
        """Raises the message as InputError."""
        raise InputError(f"{message} (--help lists the options)")


def parse_target_ages(text: str | None) -> list[TargetAge]:
    """Reads ``"0,10,62.5,uniform_random"``; None means every ten years from 0 to 100.

    Raises:
        InputError: an entry is no age from 0 to 100, or occurs twice.
    """
    entries = [entry.strip() for entry in (DEFAULT_AGES if text is None else text).split(",")]
    targets: list[TargetAge] = []
    for entry in entries:
        target = TargetAge(entry, None if entry == UNIFORM_RANDOM else _years(entry))
        if target in targets:
            raise InputError(f"--target_age names {entry} twice")
        targets.append(target)
    return targets


def _years(entry: str) -> float:
    try:
        years = float(entry)
    except ValueError:
        raise InputError(
            f"--target_age: '{entry}' is no age; give years such as 0,10,20, or {UNIFORM_RANDOM}"
        ) from None
    if math.isnan(years) or not YOUNGEST <= years <= OLDEST:
        raise InputError(f"--target_age: {entry} is outside {YOUNGEST:g} to {OLDEST:g} years")
    return years


def build_parser(description: str) -> argparse.ArgumentParser:
    """Returns the parser that all inference scripts share."""
    parser = InferenceParser(
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    files = parser.add_argument_group("files")
    files.add_argument("--exp_dir", metavar="DIR", help="results go below this folder")
    files.add_argument(
        "--checkpoint_path",
        metavar="FILE",
        help="SAM or MyTimeMachine, official or of AgeLab; without it the bundled demonstration model",
    )
    files.add_argument(
        "--global_checkpoint",
        metavar="FILE",
        help="the SAM file that an official MyTimeMachine checkpoint was trained from: its encoder is used "
        "instead of the drifted copy in the personalised file",
    )
    files.add_argument(
        "--data_path", metavar="DIR", default="gt_images", help="aligned photos; sub-folders are searched too"
    )
    files.add_argument("--n_images", type=int, metavar="N", help="use only the first N photos")

    result = parser.add_argument_group("result")
    result.add_argument(
        "--target_age",
        metavar="YEARS,...",
        help=f"target ages in years, or {UNIFORM_RANDOM}; without it {DEFAULT_AGES}",
    )
    result.add_argument(
        "--couple_outputs", action="store_true", help="write input and output side by side for every photo"
    )
    result.add_argument(
        "--resize_outputs", action="store_true", help="reduce the results to the input size of the network"
    )
    result.add_argument("--seed", type=int, default=0, help=f"seed of {UNIFORM_RANDOM}")

    mixing = parser.add_argument_group("style mixing (style_mixing.py and reference_guided_inference.py)")
    mixing.add_argument(
        "--n_outputs_to_generate", type=int, metavar="N", default=5, help="mixtures for each photo"
    )
    mixing.add_argument(
        "--mix_alpha", type=float, metavar="ALPHA", help="share of the injected styles; all if absent"
    )
    mixing.add_argument("--latent_mask", metavar="INDEX,...", help="styles to inject, counted from 0")
    mixing.add_argument(
        "--ref_images_paths_file",
        metavar="FILE",
        default="./ref_images.txt",
        help="reference photos, a path a line",
    )

    machine = parser.add_argument_group("machine")
    machine.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    machine.add_argument(
        "--mixed_precision",
        default="no",
        choices=["auto", "bf16", "no"],
        help="bf16 is faster on many GPUs and some CPUs and changes the last bits; auto: where it is fast",
    )
    add_ops(machine)
    machine.add_argument("--test_batch_size", type=int, metavar="N", default=2, help="photos a batch")
    machine.add_argument(
        "--test_workers", type=int, metavar="N", default=2, help="processes that read photos"
    )
    return parser


def parse_inference_options(
    arguments: Sequence[str] | None, description: str
) -> tuple[argparse.Namespace, list[TargetAge]]:
    """Parses and checks a command line before anything is loaded or written.

    Returns:
        The options (``checkpoint_path`` is the bundled model if it was absent) and the target ages.

    Raises:
        InputError: a value cannot be used.
    """
    opts = build_parser(description).parse_args(arguments)
    if not opts.exp_dir:
        raise InputError("--exp_dir=DIR is needed: the folder for the results")
    for name, least in (("test_batch_size", 1), ("test_workers", 0), ("n_images", 1)):
        value = getattr(opts, name)
        if value is not None and value < least:
            raise InputError(f"--{name}={value} must be at least {least}")
    targets = parse_target_ages(opts.target_age)
    if not opts.checkpoint_path:
        opts.checkpoint_path = model_paths["demo_sam"]
        print(f"no --checkpoint_path: using the bundled demonstration model {opts.checkpoint_path}")
    return opts, targets


def unused_mixing_flags(opts: argparse.Namespace) -> list[str]:
    """Names the style-mixing flags that were set; plain inference accepts and ignores them."""
    defaults = build_parser("")
    names = ("n_outputs_to_generate", "mix_alpha", "latent_mask", "ref_images_paths_file")
    return [f"--{name}" for name in names if getattr(opts, name) != defaults.get_default(name)]
