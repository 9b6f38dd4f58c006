"""Options of every command that ages photos: target ages, the photos' faces, the model, the machine."""

import argparse
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from options.machine_options import CompileOptions, MachineOptions
from options.target_ages import DEFAULT_AGES, UNIFORM_RANDOM, TargetAge, parse_target_ages
from utils.errors import InputError
from utils.faces.alignment import CROPS, predictor_path
from utils.files.outputs import folders_below
from utils.typed_options import Options, count, group, option, path, positive, processes, years

AUTO = "auto"
# Folders of results below --exp_dir; that of a life span has any name, and single pictures in a folder of it.
RESULTS, COUPLED, SWEEP = "inference_results", "inference_coupled", "inference_sweep"
SIDE_BY_SIDE, MIXTURES = "inference_side_by_side", "style_mixing"
REFERENCE_GUIDED, EDITING, LATENT_PATHS = "reference_guided_inference", "editing", "latent_paths"
VIDEOS, COUPLED_VIDEOS = "inference_videos", "inference_videos_coupled"
RESULT_FOLDERS = (
    *(RESULTS, COUPLED, SWEEP, SIDE_BY_SIDE, MIXTURES),
    *(REFERENCE_GUIDED, EDITING, LATENT_PATHS, VIDEOS, COUPLED_VIDEOS),
)
SINGLES = "single_img"


def earlier_results(photos: str) -> list[Path]:
    """Folders below that of the photos in which some inference command wrote its results."""
    found = []
    for folder in folders_below(photos):
        if folder.name in RESULT_FOLDERS or os.path.isdir(folder / SINGLES):  # False where one may not look
            found.append(folder)
    return found


def which_faces(text: str) -> str | int:
    """``main``, ``all``, or the number of a face."""
    if text in ("main", "all"):
        return text
    try:
        return positive(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither main nor all nor the number of a face"
        ) from None


@dataclass(frozen=True, kw_only=True)
class ModelOptions(Options):
    """What belongs to a checkpoint, whatever the flag for the checkpoint itself is called."""

    title = "files"

    global_checkpoint: str | None = option(
        None,
        path,
        "the SAM file that an official MyTimeMachine checkpoint was trained from: its encoder is used "
        "instead of the drifted copy in the personalised file",
        metavar="FILE",
    )
    encoder_path: str | None = option(
        None, path, "the encoder that goes with a conditional StyleGAN2 (directed generation)", metavar="FILE"
    )


@dataclass(frozen=True, kw_only=True)
class TargetOptions(Options):
    """Which ages are made."""

    title = "result"

    target_age: str | None = option(
        None,
        str,
        f"target ages in years, {UNIFORM_RANDOM}, or relative to the age of the input as in +20,-15; "
        f"without it {DEFAULT_AGES}",
        metavar="YEARS,...",
    )

    @property
    def targets(self) -> list[TargetAge]:
        """The target ages in the order of the command line."""
        return parse_target_ages(self.target_age, allow_relative=True)

    def check(self) -> None:
        """Raises ``InputError`` if a target is no age."""
        parse_target_ages(self.target_age, allow_relative=True)


@dataclass(frozen=True, kw_only=True)
class PhotoOptions(Options):
    """Alignment."""

    title = "photos"

    align: bool = option(
        False,
        help="the photos are ordinary ones: find the main face, age it and put it back into the photo, whose "
        "size and EXIF data stay",
    )
    faces: str | int = option(
        "main",
        which_faces,
        "which of a photo's faces are aged, with --align: main is the largest and clearest, all is every "
        "one, a number counts from the left",
        metavar="main|all|N",
    )
    crop: str = option(
        AUTO,
        str,
        "how the faces are cut; auto: as the model knows them, ffhq for the official ones, tight for the "
        "demonstration models",
        choices=(AUTO, *CROPS),
    )

    def check(self) -> None:
        """Raises ``InputError`` where faces cannot be found: told now, not once a photo."""
        if self.align:
            predictor_path()
        elif self.faces != "main":
            raise InputError(f"--faces={self.faces} needs --align, which finds the faces of a photo")


@dataclass(frozen=True, kw_only=True)
class InputAgeOptions(Options):
    """How old the people in the photos are."""

    title = "photos"

    input_age: float | None = option(
        None,
        years,
        "age of the people in the photos, for relative target ages; without it each file name "
        "({age}_{idx}) tells it, or else the age classifier",
        metavar="YEARS",
    )
    age_classifier: str | None = option(
        None,
        path,
        "without it the official DEX file for ffhq crops where it is at hand, else the bundled one",
        metavar="FILE",
    )


@dataclass(frozen=True, kw_only=True)
class RefineOptions(Options):
    """Per-photo optimisation."""

    title = "per-photo optimisation"

    refine_steps: int = option(
        0,
        count,
        "fit the codes of each photo, at the age that the age classifier or --input_age tells, by so many "
        "steps of gradient descent before they are aged",
    )
    perceptual: str = option(
        "dex",
        str,
        "perceptual distance of --refine_steps; dex: in the features of the age classifier",
        choices=("dex", "lpips"),
    )
    lpips_weights: str | None = option(
        None, path, "ImageNet weights of AlexNet, where they are not cached", metavar="FILE"
    )
    codes: str | None = option(
        None,
        path,
        "take the codes of each face from here instead of an encoder: path.npz of optimize_path.py, or a "
        "folder of them; faces are recognised by their pictures",
        metavar="PATH",
    )

    def check(self) -> None:
        """Raises ``InputError`` for two kinds of codes."""
        if self.codes and self.refine_steps:
            raise InputError(f"--codes={self.codes} are final; leave --refine_steps out")


@dataclass(frozen=True, kw_only=True)
class BatchOptions(MachineOptions, CompileOptions):
    """Device, precision and batches."""

    mixed_precision: str = option(
        "no",
        str,
        "bf16 is faster on many GPUs and some CPUs and changes the last bits; auto: where it is fast",
        choices=("auto", "bf16", "no"),
    )
    test_batch_size: int = option(2, group, "photos a batch", metavar="N")
    test_workers: int = option(2, processes, "processes that read photos", metavar="N")
    write_workers: int = option(
        16,
        processes,
        "threads that encode and write results, at most one a core; 0: none beside",
        metavar="N",
    )


@dataclass(frozen=True, kw_only=True)
class LoadingOptions(ModelOptions, MachineOptions, CompileOptions, ABC):
    """What loading a model needs to know.

    Attributes:
        checkpoint_flag: what names the model.
    """

    checkpoint_flag: ClassVar[str]

    @property
    @abstractmethod
    def checkpoint(self) -> str:
        """The file of the model: the given one, or the usual one."""


@dataclass(frozen=True, kw_only=True)
class AgeingOptions(
    TargetOptions, PhotoOptions, InputAgeOptions, RefineOptions, BatchOptions, LoadingOptions
):
    """What ageing a folder of photos needs to know; how the flags for the files are called differs.

    Attributes:
        n_images: use only the first so many photos.
        resize_outputs: reduce the results to the input size of the model.
        seed: of ages and styles that are drawn.
        photos_flag: what names the photos.
    """

    photos_flag: ClassVar[str]

    # Not every command has flags for these.
    n_images: int | None = None
    resize_outputs: bool = False
    seed: int = 0

    @property
    @abstractmethod
    def photos(self) -> str:
        """A folder of photos, or one photo."""

    @property
    @abstractmethod
    def own_output(self) -> Sequence[Path]:
        """What this command and others like it write or wrote: pictures there are no input."""
