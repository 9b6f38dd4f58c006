"""The command line of `scripts/inference_lifespan.py`: MyTimeMachine's `helper.py` and a few of ours."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from configs.paths_config import model_paths
from options.inference_options import (
    add_machine_options,
    add_model_options,
    add_photo_options,
    add_target_option,
    check_values,
    joined,
    make_parser,
)
from options.target_ages import TargetAge, parse_target_ages
from utils.errors import InputError


def build_parser(description: str) -> argparse.ArgumentParser:
    """Returns the parser."""
    parser = make_parser(description)
    files = parser.add_argument_group("files")
    files.add_argument(
        "--img_dir", metavar="DIR", help="aligned photos (any photos with --align); sub-folders are searched"
    )
    files.add_argument(
        "--model_path",
        metavar="FILE",
        help="personalised or global checkpoint; without it the official SAM file where it is at hand, else "
        "the bundled demonstration model",
    )
    files.add_argument(
        "--blender",
        action="store_true",
        help="use the adapter of a personalised checkpoint; without it the global model inside is used",
    )
    add_model_options(files)
    files.add_argument(
        "--output_dir", metavar="DIR", default="output_helper", help="results go to a folder below this one"
    )
    files.add_argument(
        "--desc", default="", help="name of that folder; if empty, experiment and iteration of --model_path"
    )
    add_target_option(parser.add_argument_group("result"))
    add_photo_options(parser)
    add_machine_options(parser)
    return parser


def describe_model(model_path: str) -> str:
    """The official name of a run's folder: the fourth part of the path from its end, and the file's stem.

    For `EXPERIMENT/00000/checkpoints/iteration_15000.pt` that is `EXPERIMENT_iteration_15000`.
    """
    path = Path(model_path)
    parts = (path if len(path.parts) >= 4 else path.resolve()).parts
    named = [part for part in parts if part != path.anchor][-4:]
    stem = path.name.split(".")[0]
    return f"{named[0]}_{stem}" if len(named) > 1 else stem


def parse_lifespan_options(
    arguments: Sequence[str] | None, description: str
) -> tuple[argparse.Namespace, list[TargetAge]]:
    """Parses and checks a command line before anything is loaded or written.

    Returns:
        The options (``data_path``, ``model_path`` and ``desc`` are filled in) and the target ages.

    Raises:
        InputError: a value cannot be used.
    """
    opts = build_parser(description).parse_args(joined(arguments))
    if not opts.img_dir:
        raise InputError("--img_dir=DIR is needed: the folder of photos")
    check_values(opts)
    targets = parse_target_ages(opts.target_age, allow_relative=True)
    if not opts.desc and opts.model_path:
        opts.desc = describe_model(opts.model_path)
    if not opts.model_path:
        official = model_paths["sam_ffhq_aging"]
        opts.model_path = official if Path(official).is_file() else model_paths["demo_sam"]
        print(f"no --model_path: using {opts.model_path}")
    opts.desc = opts.desc or Path(opts.model_path).stem
    opts.data_path = opts.img_dir
    return opts, targets
