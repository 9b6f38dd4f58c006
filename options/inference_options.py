"""The command lines of SAM's inference scripts: every official flag unchanged, and a few of ours."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from configs.paths_config import model_paths
from options import parser
from options.ageing_options import RESULT_FOLDERS, AgeingOptions, TargetOptions, earlier_results
from options.target_ages import UNIFORM_RANDOM
from utils.distributed import say
from utils.errors import InputError
from utils.pictures.animation import require_video_writer
from utils.typed_options import Options, Unread, at_least, count, number, option, path, positive, unread_flags

STATS = "stats.txt"  # in exp_dir


def style_indices(text: str) -> tuple[int, ...]:
    """Indices of styles, counted from 0, such as ``8,9``."""
    if not re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*", text):
        raise argparse.ArgumentTypeError(f"{text}: give indices of styles, counted from 0, such as 8,9")
    return tuple(int(entry) for entry in text.split(","))


# ---------------------------------------------------------------- what all of them have


@dataclass(frozen=True, kw_only=True)
class ResultFileOptions(Options):
    """Model and results."""

    title = "files"

    exp_dir: str = option(None, path, "results go below this folder", metavar="DIR")
    checkpoint_path: str | None = option(
        None,
        path,
        "SAM or MyTimeMachine, official or of AgeLab; without it the bundled demonstration model",
        metavar="FILE",
    )

    @property
    def checkpoint(self) -> str:
        """The file of the model, the bundled one if none was named."""
        return self.checkpoint_path or model_paths["demo_sam"]

    checkpoint_flag = "--checkpoint_path"

    def check(self) -> None:
        """Raises ``InputError`` without a folder for the results."""
        if not self.exp_dir:
            raise InputError("--exp_dir=DIR is needed: the folder for the results")


@dataclass(frozen=True, kw_only=True)
class FileOptions(ResultFileOptions):
    """Model, photos and results."""

    title = "files"

    data_path: str = option(
        "gt_images",
        path,
        "aligned photos (any photos with --align), a folder or zip archive; sub-folders are searched too",
        metavar="DIR",
    )
    n_images: int | None = option(None, positive, "use only the first N photos", metavar="N")

    photos_flag = "--data_path"

    @property
    def photos(self) -> str:
        """A folder of photos, or one photo."""
        return self.data_path

    @property
    def own_output(self) -> Sequence[Path]:
        """The folders of all inference commands in ``exp_dir`` and among the photos."""
        own = [Path(self.exp_dir) / name for name in (*RESULT_FOLDERS, STATS)]
        return [*own, *earlier_results(self.data_path)]


@dataclass(frozen=True, kw_only=True)
class ResultOptions(TargetOptions):
    """What is made of each photo."""

    resize_outputs: bool = option(False, help="reduce the results to the input size of the network")
    seed: int = option(0, count, f"seed of {UNIFORM_RANDOM} and of random styles")


@dataclass(frozen=True, kw_only=True)
class SamOptions(FileOptions, ResultOptions, AgeingOptions):
    """What the inference commands of SAM share."""


# ---------------------------------------------------------------- what only some of them read


@dataclass(frozen=True, kw_only=True)
class CoupleOptions(Options):
    """Input and output as one picture."""

    title = "result"

    couple_outputs: bool = option(False, help="write input and output side by side for every photo")


@dataclass(frozen=True, kw_only=True)
class SweepOptions(Options):
    """A photo's way through the ages as one file."""

    title = "sweep"

    sweep: str | None = option(
        None,
        str,
        "also write each photo's way through the target ages as one file",
        choices=("gif", "mp4", "grid"),
    )
    sweep_frames: int = option(31, at_least(2, 1000), "ages of a gif or mp4, evenly spaced", metavar="N")


@dataclass(frozen=True, kw_only=True)
class MixingOptions(Options):
    """Which styles come from elsewhere, and how much of them."""

    title = "style mixing"

    mix_alpha: float | None = option(
        None, number, "share of the injected styles; all if absent", metavar="ALPHA"
    )
    latent_mask: tuple[int, ...] | None = option(
        None, style_indices, "styles to inject, counted from 0", metavar="INDEX,..."
    )


@dataclass(frozen=True, kw_only=True)
class MixtureOptions(Options):
    """How many random mixtures are made."""

    title = "style mixing"

    n_outputs_to_generate: int = option(5, positive, "mixtures for each photo", metavar="N")


@dataclass(frozen=True, kw_only=True)
class ReferenceListOptions(Options):
    """Where the styles come from."""

    title = "style mixing"

    ref_images_paths_file: str = option(
        "./ref_images.txt", path, "reference photos, a path a line", metavar="FILE"
    )


def without_effect(*read: type[Options]) -> tuple[Unread, ...]:
    """The flags that only some commands read, without those of some groups: accepted, as officially."""
    special = (CoupleOptions, SweepOptions, MixingOptions, MixtureOptions, ReferenceListOptions)
    return tuple(
        flag
        for group in special
        if group not in read
        for flag in unread_flags(group, official=group is not SweepOptions)
    )


# ---------------------------------------------------------------- the commands


@dataclass(frozen=True, kw_only=True)
class InferenceOptions(SamOptions, CoupleOptions, SweepOptions):
    """Options of `scripts/inference.py`."""

    unread = without_effect(CoupleOptions, SweepOptions)

    def check(self) -> None:
        """Raises ``InputError`` if a sweep has no way to go or cannot be written."""
        if self.sweep and len(self.targets) < 2:
            raise InputError("--sweep needs at least two target ages, such as --target_age=20,80")
        if self.sweep == "mp4":
            require_video_writer()


@dataclass(frozen=True, kw_only=True)
class SideBySideOptions(SamOptions):
    """Options of `scripts/inference_side_by_side.py`."""

    unread = without_effect()


@dataclass(frozen=True, kw_only=True)
class StyleMixingOptions(SamOptions, MixingOptions, MixtureOptions):
    """Options of `scripts/style_mixing.py`."""

    unread = without_effect(MixingOptions, MixtureOptions)

    def check(self) -> None:
        """Raises ``InputError`` if there is not one target age, or nothing to mix in."""
        if len(self.targets) != 1:
            raise InputError("style mixing makes one target age; give one, such as --target_age=50")
        if self.latent_mask is None:
            raise InputError("--latent_mask is needed: the styles to mix in, such as --latent_mask=8,9")


@dataclass(frozen=True, kw_only=True)
class ReferenceOptions(SamOptions, MixingOptions, ReferenceListOptions):
    """Options of `scripts/reference_guided_inference.py`."""

    unread = without_effect(MixingOptions, ReferenceListOptions)


Chosen = TypeVar("Chosen", bound=ResultFileOptions)


def parse_inference_options(
    options: type[Chosen], arguments: Sequence[str] | None, description: str
) -> Chosen:
    """Parses and checks a command line before anything is loaded; says which model is used if none is given.

    Args:
        options: those of the command.
        arguments: the command line; None takes that of the process.
        description: for ``--help``.

    Raises:
        InputError: a value cannot be used.
    """
    opts = parser.parse_options(options, arguments, description)
    if not opts.checkpoint_path:
        say(f"no --checkpoint_path: using the bundled demonstration model {opts.checkpoint}")
    return opts
