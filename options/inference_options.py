"""The command lines of the inference scripts: every official flag unchanged, and a few of ours."""

import argparse
import math
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from configs.paths_config import model_paths
from options.base_options import add_device, add_ops
from options.target_ages import DEFAULT_AGES, OLDEST, UNIFORM_RANDOM, YOUNGEST, TargetAge, parse_target_ages
from utils.errors import InputError
from utils.pictures.animation import require_video_writer

# Flags that only some scripts use; the others accept them, as the official ones do, and say so.
SPECIAL_FLAGS = {
    "n_outputs_to_generate": "style_mixing",
    "mix_alpha": "mixing",
    "latent_mask": "mixing",
    "ref_images_paths_file": "references",
    "sweep": "sweep",
    "sweep_frames": "sweep",
    "couple_outputs": "couples",
}


class InferenceParser(argparse.ArgumentParser):
    """Reports a wrong command line as one sentence."""

    def error(self, message: str) -> NoReturn:
        """Raises the message as InputError."""
        raise InputError(f"{message} (--help lists the options)")


def make_parser(description: str) -> InferenceParser:
    """A parser with the settings that all inference commands share, and no flags yet."""
    return InferenceParser(
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )


def add_model_options(files: argparse._ArgumentGroup) -> None:
    """Adds what belongs to a checkpoint, whatever the flag for the checkpoint itself is called."""
    files.add_argument(
        "--global_checkpoint",
        metavar="FILE",
        help="the SAM file that an official MyTimeMachine checkpoint was trained from: its encoder is used "
        "instead of the drifted copy in the personalised file",
    )


def add_photo_options(parser: argparse.ArgumentParser) -> None:
    """Adds alignment and how old the people in the photos are."""
    photos = parser.add_argument_group("photos")
    photos.add_argument(
        "--align",
        action="store_true",
        help="the photos are ordinary ones: find the main face, age it and put it back into the photo, whose "
        "size and EXIF data stay",
    )
    photos.add_argument(
        "--crop",
        choices=("auto", "tight", "ffhq"),
        default="auto",
        help="how the faces are cut; auto: ffhq for models that see 256 pixels, as the official ones do, "
        "tight for the demonstration models",
    )
    photos.add_argument(
        "--input_age",
        type=float,
        metavar="YEARS",
        help="age of the people in the photos, for relative target ages; without it each file name "
        "({age}_{idx}) tells it, or else the age classifier",
    )
    photos.add_argument(
        "--age_classifier",
        metavar="FILE",
        help="without it the official DEX file for ffhq crops where it is at hand, else the bundled one",
    )


def add_target_option(group: argparse._ArgumentGroup) -> None:
    """Adds ``--target_age``."""
    group.add_argument(
        "--target_age",
        metavar="YEARS,...",
        help=f"target ages in years, {UNIFORM_RANDOM}, or relative to the age of the input as in +20,-15; "
        f"without it {DEFAULT_AGES}",
    )


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """Adds device, precision and batches."""
    machine = parser.add_argument_group("machine")
    precision = "bf16 is faster on many GPUs and some CPUs and changes the last bits; auto: where it is fast"
    add_device(machine, "no", precision)
    add_ops(machine)
    machine.add_argument("--test_batch_size", type=int, metavar="N", default=2, help="photos a batch")
    machine.add_argument(
        "--test_workers", type=int, metavar="N", default=2, help="processes that read photos"
    )


def build_parser(description: str) -> argparse.ArgumentParser:
    """Returns the parser that the inference scripts of SAM share."""
    parser = make_parser(description)
    files = parser.add_argument_group("files")
    files.add_argument("--exp_dir", metavar="DIR", help="results go below this folder")
    files.add_argument(
        "--checkpoint_path",
        metavar="FILE",
        help="SAM or MyTimeMachine, official or of AgeLab; without it the bundled demonstration model",
    )
    add_model_options(files)
    files.add_argument(
        "--data_path",
        metavar="DIR",
        default="gt_images",
        help="aligned photos (any photos with --align); sub-folders are searched too",
    )
    files.add_argument("--n_images", type=int, metavar="N", help="use only the first N photos")

    result = parser.add_argument_group("result")
    add_target_option(result)
    result.add_argument(
        "--couple_outputs", action="store_true", help="write input and output side by side for every photo"
    )
    result.add_argument(
        "--resize_outputs", action="store_true", help="reduce the results to the input size of the network"
    )
    result.add_argument("--seed", type=int, default=0, help=f"seed of {UNIFORM_RANDOM} and of random styles")

    sweep = parser.add_argument_group("sweep (inference.py)")
    sweep.add_argument(
        "--sweep",
        choices=("gif", "mp4", "grid"),
        help="also write each photo's way through the target ages as one file",
    )
    sweep.add_argument(
        "--sweep_frames", type=int, metavar="N", default=31, help="ages of a gif or mp4, evenly spaced"
    )

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
    add_photo_options(parser)
    add_machine_options(parser)
    return parser


def joined(arguments: Sequence[str] | None) -> list[str]:
    """The words of a command line, with ``--target_age -15,+20`` as one: -15 is no flag."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for index in range(len(words) - 2, -1, -1):
        if words[index] == "--target_age" and re.match(r"-\d", words[index + 1]):
            words[index : index + 2] = [f"--target_age={words[index + 1]}"]
    return words


def check_values(opts: argparse.Namespace) -> None:
    """Checks the numbers that occur in an inference command.

    Raises:
        InputError: one is out of range.
    """
    least = {"test_batch_size": 1, "test_workers": 0, "n_images": 1, "n_outputs_to_generate": 1}
    for name, lowest in {**least, "sweep_frames": 2}.items():
        value = getattr(opts, name, None)
        if value is not None and value < lowest:
            raise InputError(f"--{name}={value} must be at least {lowest}")
    if opts.input_age is not None and not YOUNGEST <= opts.input_age <= OLDEST:
        raise InputError(f"--input_age={opts.input_age:g} is outside {YOUNGEST:g} to {OLDEST:g} years")
    alpha = getattr(opts, "mix_alpha", None)
    if alpha is not None and not math.isfinite(alpha):
        raise InputError(f"--mix_alpha={alpha} is not a finite number")


def parse_latent_mask(text: str | None) -> list[int] | None:
    """Reads ``"8,9"``, indices of styles; None stays None.

    Raises:
        InputError: an entry is no whole number of at least 0.
    """
    if text is None:
        return None
    if not re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*", text):
        raise InputError(f"--latent_mask={text}: give indices of styles, counted from 0, such as 8,9")
    return [int(entry) for entry in text.split(",")]


def parse_inference_options(
    arguments: Sequence[str] | None, description: str, uses: Sequence[str] = ()
) -> tuple[argparse.Namespace, list[TargetAge]]:
    """Parses and checks a command line before anything is loaded or written.

    Args:
        arguments: the command line; None takes that of the process.
        description: for ``--help``.
        uses: values of :data:`SPECIAL_FLAGS` that this script uses; other special flags are named on stderr.

    Returns:
        The options (``checkpoint_path`` is the bundled model if it was absent, ``latent_mask`` a list or
        None) and the target ages.

    Raises:
        InputError: a value cannot be used.
    """
    parser = build_parser(description)
    opts = parser.parse_args(joined(arguments))
    if not opts.exp_dir:
        raise InputError("--exp_dir=DIR is needed: the folder for the results")
    check_values(opts)
    targets = parse_target_ages(opts.target_age, allow_relative=True)
    opts.latent_mask = parse_latent_mask(opts.latent_mask)
    if "sweep" in uses and opts.sweep:
        if len(targets) < 2:
            raise InputError("--sweep needs at least two target ages, such as --target_age=20,80")
        if opts.sweep == "mp4":
            require_video_writer()
    for name, group in SPECIAL_FLAGS.items():
        if group not in uses and getattr(opts, name) != parser.get_default(name):
            print(f"note: --{name} has no effect here", file=sys.stderr)
    if not opts.checkpoint_path:
        opts.checkpoint_path = model_paths["demo_sam"]
        print(f"no --checkpoint_path: using the bundled demonstration model {opts.checkpoint_path}")
    return opts, targets
