"""The command line of `scripts/project.py`: the flags of NVIDIA's projector, and AgeLab's names for them."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from options.conditional_options import age_groups_of
from options.machine_options import MachineOptions
from options.parser import parse_options, words
from utils.age_groups import AgeGroups
from utils.errors import InputError
from utils.pictures.animation import has_video_writer, require_video_writer
from utils.typed_options import Options, count, group, option, path, positive, years

BEST = "auto"
RESULTS = ("target.png", "proj.png", "ages.png", "proj.mp4", "projected_w.npz")  # the last is written last
_TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def truth(text: str) -> bool:
    """Whether a text says yes, as NVIDIA's programs read it."""
    try:
        return _TRUTHS[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false") from None


@dataclass(frozen=True, kw_only=True)
class ProjectedFiles(Options):
    """What is projected, and where the results go."""

    title = "files (NVIDIA's name or AgeLab's)"

    network: str | None = option(
        None,
        path,
        "StyleGAN2 of any layout, conditional or not, or a pair for directed generation",
        metavar="FILE",
    )
    checkpoint_path: str | None = option(None, path, "the same as --network", metavar="FILE")
    target: str | None = option(
        None, path, "an aligned photo, or a folder or zip archive of them", metavar="PATH"
    )
    data_path: str | None = option(None, path, "the same as --target", metavar="PATH")
    outdir: str | None = option(
        None, path, "results go here; of several photos into a folder for each", metavar="DIR"
    )
    exp_dir: str | None = option(None, path, "the same as --outdir", metavar="DIR")

    @property
    def generator(self) -> str:
        """The file of the generator."""
        return self.network or self.checkpoint_path or ""

    @property
    def photos(self) -> str:
        """A photo, or where photos are."""
        return self.target or self.data_path or ""

    @property
    def folder(self) -> Path:
        """Where the results go."""
        return Path(self.outdir or self.exp_dir or "")

    def check(self) -> None:
        """Raises ``InputError`` unless each of the three is named once."""
        pairs = (("network", "checkpoint_path"), ("target", "data_path"), ("outdir", "exp_dir"))
        for theirs, ours in pairs:
            given = [value for value in (getattr(self, theirs), getattr(self, ours)) if value]
            if len(given) != 1:
                problem = "are two names of one thing; give one" if given else "are missing; give one"
                raise InputError(f"--{theirs} and --{ours} {problem}")


@dataclass(frozen=True, kw_only=True)
class ProjectionOptions(MachineOptions, ProjectedFiles):
    """Options of `scripts/project.py`."""

    title = "projection"

    num_steps: int = option(1000, positive, "optimisation steps")
    seed: int = option(303, count, "of the noise")
    save_video: bool | None = option(
        None,
        truth,
        "write proj.mp4; without it where imageio-ffmpeg is installed",
        metavar="true|false",
    )
    perceptual: str = option(
        BEST,
        str,
        "perceptual distance; dex: in the features of the age classifier; auto: lpips where ImageNet weights "
        "of VGG-16 are given or cached, else dex",
        choices=(BEST, "lpips", "dex"),
    )
    lpips_weights: str | None = option(
        None, path, "ImageNet weights of VGG-16, where they are not cached", metavar="FILE"
    )
    input_age: float | None = option(
        None,
        years,
        "age of the people in the photos, for a generator of age groups; without it each file name tells it, "
        "or else the age classifier",
        metavar="YEARS",
    )
    age_groups: str | None = option(
        None, str, "the age groups of a generator whose file does not name them", metavar="0-10,11-20,..."
    )
    age_classifier: str | None = option(
        None,
        path,
        "tells ages, and sees for dex; without it the official DEX file for ffhq crops where it is at hand, "
        "else the bundled one",
        metavar="FILE",
    )
    test_batch_size: int = option(4, group, "photos that are projected together", metavar="N")

    @property
    def groups(self) -> AgeGroups | None:
        """The age groups that were given."""
        return age_groups_of(self.age_groups)

    @property
    def writes_video(self) -> bool:
        """Whether films are written."""
        return has_video_writer() if self.save_video is None else self.save_video

    def check(self) -> None:
        """Raises ``InputError`` for groups that are none, and where no film can be written."""
        _ = self.groups
        if self.save_video:
            require_video_writer("--save-video=false")


def parse_projection_options(
    arguments: Sequence[str] | None = None, description: str = ""
) -> ProjectionOptions:
    """Parses and checks the command line; NVIDIA's dashes (``--num-steps``) stand for our underscores.

    Raises:
        InputError: a value cannot be used.
    """
    named = [_with_underscores(word) for word in words(arguments)]
    return parse_options(ProjectionOptions, named, description)


def _with_underscores(word: str) -> str:
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"
