"""The command lines of `scripts/evaluate.py` and `scripts/evaluate_people.py`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from configs.paths_config import REPOSITORY, model_paths
from options.base_options import add_device
from options.inference_options import InferenceParser
from options.target_ages import parse_target_ages
from options.train_options import parse_train_options
from utils.errors import InputError

DEFAULT_TARGETS = "10,20,30,40,50,60,70,80"
DEFAULT_PRESET = str(REPOSITORY / "configs" / "demo" / "mytimemachine.args")
# What evaluate_people.py sets itself for every fold.
OWN_TRAINING_FLAGS = ("--exp_dir", "--train_dataset", "--checkpoint_path", "--coach", "--device")


def _parser(description: str) -> argparse.ArgumentParser:
    parser = InferenceParser(
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    judges = parser.add_argument_group("judges: networks that no loss used")
    judges.add_argument("--judge_age", metavar="FILE", default=model_paths["demo_judge_age"])
    judges.add_argument("--judge_identity", metavar="FILE", default=model_paths["demo_judge_identity"])
    machine = parser.add_argument_group("machine")
    add_device(machine, "no", "of the ageing model; judges compute in float32")
    machine.add_argument("--test_batch_size", type=int, metavar="N", default=8, help="photos a batch")
    return parser


def build_evaluate_parser(description: str) -> argparse.ArgumentParser:
    """Returns the parser of `scripts/evaluate.py`."""
    parser = _parser(description)
    files = parser.add_argument_group("files")
    files.add_argument("--exp_dir", metavar="DIR", help="tables and pictures go into this folder")
    files.add_argument("--data_path", metavar="DIR", help="aligned photos, best named {age}_{idx}")
    files.add_argument(
        "--checkpoint_path", metavar="FILE", help="what ages faces; without it the bundled SAM"
    )
    files.add_argument(
        "--global_checkpoint",
        metavar="FILE",
        help="the SAM that an official MyTimeMachine file was trained from: its encoder is used",
    )
    what = parser.add_argument_group("what is measured")
    what.add_argument("--target_age", metavar="YEARS,...", default=DEFAULT_TARGETS, help="ages to make")
    what.add_argument("--n_images", type=int, metavar="N", help="only N photos, evenly over the folder")
    what.add_argument("--n_examples", type=int, metavar="N", default=6, help="photos on the sheet of outputs")
    what.add_argument(
        "--age_classifier",
        metavar="FILE,...",
        help="errors of these age classifiers on the folder, whose names carry ages; "
        "nothing else is measured unless --checkpoint_path is given too",
    )
    what.add_argument(
        "--personalized_checkpoint",
        metavar="FILE",
        help="compares this MyTimeMachine with the SAM in --checkpoint_path: --data_path then holds true "
        "photos of the person that no training saw, each aged to the ages of all others",
    )
    what.add_argument(
        "--input_path",
        metavar="PATH",
        help="with --personalized_checkpoint: the photo or photos to age, instead of the true photos",
    )
    what.add_argument(
        "--training_ages",
        metavar="A-B",
        help="with --personalized_checkpoint: ages of the training photos, to tell apart inside and outside",
    )
    return parser


def parse_evaluate_options(
    arguments: Sequence[str] | None = None, description: str = ""
) -> argparse.Namespace:
    """Parses and checks the command line of `scripts/evaluate.py` before anything is loaded.

    Returns:
        The options; ``target_age`` and ``age_classifier`` are lists, ``training_ages`` a pair or None,
        ``ages_people`` tells whether an ageing model is evaluated.

    Raises:
        InputError: a value cannot be used.
    """
    opts = build_evaluate_parser(description).parse_args(arguments)
    _check_files(opts, ("exp_dir", "data_path"))
    _check_counts(opts, {"n_images": 1, "n_examples": 1, "test_batch_size": 1})
    targets = [target.years for target in parse_target_ages(opts.target_age)]
    if None in targets:
        raise InputError("--target_age: evaluation needs fixed ages in years, not uniform_random")
    opts.target_age = targets
    opts.age_classifier = [file for file in (opts.age_classifier or "").split(",") if file]
    opts.ages_people = bool(opts.checkpoint_path) or not opts.age_classifier
    opts.training_ages = None if opts.training_ages is None else _parse_range(opts.training_ages)
    if not opts.personalized_checkpoint:
        for name in ("input_path", "training_ages"):
            if getattr(opts, name):
                raise InputError(f"--{name} needs --personalized_checkpoint=FILE")
    elif opts.age_classifier:
        raise InputError("--age_classifier and --personalized_checkpoint are two commands; run them apart")
    opts.checkpoint_path = opts.checkpoint_path or model_paths["demo_sam"]
    return opts


def build_people_parser(description: str) -> argparse.ArgumentParser:
    """Returns the parser of `scripts/evaluate_people.py`."""
    parser = _parser(description)
    files = parser.add_argument_group("files")
    files.add_argument("--exp_dir", metavar="DIR", help="runs, tables and pictures go into this folder")
    files.add_argument(
        "--people", metavar="DIR", help="a sub-folder for each person, with aligned photos {age}_{idx}"
    )
    files.add_argument(
        "--checkpoint_path", metavar="FILE", default=model_paths["demo_sam"], help="the SAM to personalise"
    )
    what = parser.add_argument_group("what is measured")
    what.add_argument("--folds", type=int, default=3, help="parts of the ages, each left out once")
    what.add_argument("--only", metavar="NAME,...", help="only these people")
    what.add_argument(
        "--preset",
        metavar="FILE",
        default=DEFAULT_PRESET,
        help="options of the training; any further flags of --coach=mytimemachine go to it too, and win",
    )
    return parser


def parse_people_options(
    arguments: Sequence[str] | None = None, description: str = ""
) -> tuple[argparse.Namespace, list[str]]:
    """Parses and checks the command line of `scripts/evaluate_people.py` before anything is loaded.

    Returns:
        The options, and the flags for the training, which :func:`training_options` completes.

    Raises:
        InputError: a value cannot be used.
    """
    opts, training = build_people_parser(description).parse_known_args(arguments)
    _check_files(opts, ("exp_dir", "people"))
    _check_counts(opts, {"folds": 2, "test_batch_size": 1})
    if not Path(opts.preset).is_file():
        raise InputError(f"--preset={opts.preset}: no such file")
    for flag in training:
        name = flag.split("=")[0]
        if name in OWN_TRAINING_FLAGS:
            raise InputError(f"{name} is set for every fold and cannot be given to the training")
    training_options(opts, training, "placeholder", "placeholder")
    return opts, training


def training_options(
    opts: argparse.Namespace, training: Sequence[str], photos: str | Path, exp_dir: str | Path
) -> argparse.Namespace:
    """Options of the training of one fold."""
    own = [
        "--coach=mytimemachine",
        f"--checkpoint_path={opts.checkpoint_path}",
        f"--train_dataset={photos}",
        f"--exp_dir={exp_dir}",
        f"--device={opts.device}",
    ]
    return parse_train_options([f"@{opts.preset}", *training, *own])


def _check_files(opts: argparse.Namespace, needed: Sequence[str]) -> None:
    for name in needed:
        if not getattr(opts, name):
            raise InputError(f"--{name}=DIR is needed (--help lists the options)")
    if Path(opts.exp_dir).is_file():
        raise InputError(f"--exp_dir={opts.exp_dir} is a file; name a folder for the results")


def _check_counts(opts: argparse.Namespace, least: dict[str, int]) -> None:
    for name, smallest in least.items():
        value = getattr(opts, name)
        if value is not None and value < smallest:
            raise InputError(f"--{name}={value} must be at least {smallest}")


def _parse_range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split("-"))
    except ValueError as error:
        raise InputError(f"--training_ages={text}: give two ages in years such as 20-60") from error
    if not low <= high:
        raise InputError(f"--training_ages={text}: the ages must rise")
    return low, high
