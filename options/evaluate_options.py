"""The command lines of `scripts/evaluate.py` and `scripts/evaluate_people.py`."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from configs.paths_config import REPOSITORY, model_paths
from configs.personalization import VARIANTS
from options.ageing_options import ModelOptions, RefineOptions
from options.base_options import TrainOptions
from options.judge_options import JudgeOptions
from options.machine_options import DeviceOptions
from options.parser import parse_known_options, parse_options
from options.target_ages import fixed_ages
from options.train_options import parse_train_options
from utils.errors import InputError
from utils.files.outputs import refuse_overwriting
from utils.typed_options import Options, at_least, group, option, path, paths, positive, years

DEFAULT_TARGETS = "10,20,30,40,50,60,70,80"
DEFAULT_PRESET = str(REPOSITORY / "configs" / "demo" / "mytimemachine.args")
# What evaluate_people.py sets itself for every fold.
OWN_TRAINING_FLAGS = ("--exp_dir", "--train_dataset", "--checkpoint_path", "--coach", "--device")

# ---------------------------------------------------------------- kinds of values


def folder(text: str) -> str:
    """The name of a folder."""
    if not text:
        raise argparse.ArgumentTypeError("the name of a folder is needed")
    return path(text)


def age_range(text: str) -> tuple[float, float]:
    """Two ages in years, ``A-B``, of which the second is not the smaller."""
    try:
        low, high = (float(part) for part in text.split("-"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: give two ages in years such as 20-60") from None
    if not low <= high:
        raise argparse.ArgumentTypeError(f"{text}: the ages must rise")
    return low, high


def names(text: str) -> tuple[str, ...]:
    """Words separated by commas."""
    return tuple(name for name in text.split(",") if name)


# ---------------------------------------------------------------- what both commands share


@dataclass(frozen=True, kw_only=True)
class JudgingOptions(JudgeOptions, DeviceOptions):
    """The judges, and where and how networks compute."""

    title = "machine"

    mixed_precision: str = option(
        "no", str, "of the ageing model; judges compute in float32", choices=("auto", "bf16", "no")
    )
    test_batch_size: int = option(8, group, "photos a batch", metavar="N")


@dataclass(frozen=True, kw_only=True)
class ResultFolder(Options):
    """Where the results go."""

    title = "files"

    exp_dir: str = option(kind=folder, help="tables and pictures go into this folder", metavar="DIR")

    def check(self) -> None:
        """Raises ``InputError`` if the folder is a file."""
        if Path(self.exp_dir).is_file():
            raise InputError(f"--exp_dir={self.exp_dir} is a file; name a folder for the results")


# ---------------------------------------------------------------- evaluate.py

# in exp_dir
PICTURES = ("curves.png", "examples.png", "personalization.png", "life_span.png", "methods.png")


@dataclass(frozen=True, kw_only=True)
class EvaluatedFiles(ResultFolder, ModelOptions):
    """What is evaluated."""

    data_path: str = option(
        kind=folder, help="folder or zip archive of aligned photos, best named {age}_{idx}", metavar="DIR"
    )
    checkpoint_path: tuple[str, ...] | None = option(
        None,
        paths,
        "what ages faces; several are set side by side; without it the bundled SAM",
        metavar="FILE,...",
    )

    @property
    def methods(self) -> Sequence[str]:
        """The files of the ageing models."""
        return self.checkpoint_path or (model_paths["demo_sam"],)

    @property
    def model_path(self) -> str:
        """The file of the ageing model, or of the global one of two."""
        return self.methods[0]

    @property
    def own_output(self) -> Sequence[Path]:
        """The pictures that this command writes: they are no photos."""
        return [Path(self.exp_dir) / name for name in PICTURES]

    def check(self) -> None:
        """Raises ``InputError`` if a picture would replace a file that is read."""
        reads = [*(self.checkpoint_path or ()), self.global_checkpoint, self.encoder_path]
        if Path(self.data_path).is_file():
            reads.append(self.data_path)
        refuse_overwriting(self.own_output, reads)


@dataclass(frozen=True, kw_only=True)
class MeasureOptions(Options):
    """What is measured of one ageing model, or of age classifiers."""

    title = "what is measured"

    target_age: str = option(DEFAULT_TARGETS, str, "ages to make", metavar="YEARS,...")
    n_images: int | None = option(None, positive, "only N photos, evenly over the folder", metavar="N")
    n_examples: int = option(6, positive, "photos on the sheet of outputs", metavar="N")
    age_classifier: tuple[str, ...] | None = option(
        None,
        paths,
        "errors of these age classifiers on the folder, whose names carry ages; "
        "nothing else is measured unless --checkpoint_path is given too",
        metavar="FILE,...",
    )

    @property
    def target_ages(self) -> list[float]:
        """Years, in the order of the command line."""
        return fixed_ages(self.target_age)

    def check(self) -> None:
        """Raises ``InputError`` if a target is no age."""
        fixed_ages(self.target_age)


@dataclass(frozen=True, kw_only=True)
class ComparisonOptions(Options):
    """A personalised model against the global one."""

    title = "what is measured"

    personalized_checkpoint: str | None = option(
        None,
        path,
        "compares this MyTimeMachine with the SAM in --checkpoint_path: --data_path then holds true "
        "photos of the person that no training saw, each aged to the ages of all others",
        metavar="FILE",
    )
    input_path: str | None = option(
        None,
        path,
        "with --personalized_checkpoint: the photo or photos to age, instead of the true photos",
        metavar="PATH",
    )
    training_ages: tuple[float, float] | None = option(
        None,
        age_range,
        "with --personalized_checkpoint: ages of the training photos, to tell apart inside and outside",
        metavar="A-B",
    )

    def check(self) -> None:
        """Raises ``InputError`` for a flag that belongs to a comparison where there is none."""
        given = {"input_path": self.input_path, "training_ages": self.training_ages}
        for name, value in given.items():
            if value and not self.personalized_checkpoint:
                raise InputError(f"--{name} needs --personalized_checkpoint=FILE")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(JudgingOptions, EvaluatedFiles, MeasureOptions, ComparisonOptions, RefineOptions):
    """Options of `scripts/evaluate.py`."""

    def check(self) -> None:
        """Raises ``InputError`` if two measurements are asked for that do not go together."""
        if self.personalized_checkpoint and self.age_classifier:
            raise InputError(
                "--age_classifier and --personalized_checkpoint are two commands; run them apart"
            )
        alone = {
            "--personalized_checkpoint": self.personalized_checkpoint,
            "--global_checkpoint": self.global_checkpoint,
            "--encoder_path": self.encoder_path,
        }
        for flag, value in alone.items():
            if value and len(self.methods) > 1:
                raise InputError(f"{flag} goes with one --checkpoint_path; {len(self.methods)} are given")

    @property
    def ages_people(self) -> bool:
        """Whether an ageing model is evaluated, and not only age classifiers."""
        return bool(self.checkpoint_path) or not self.age_classifier


def parse_evaluate_options(arguments: Sequence[str] | None = None, description: str = "") -> EvaluateOptions:
    """Parses and checks the command line of `scripts/evaluate.py` before anything is loaded.

    Raises:
        InputError: a value cannot be used.
    """
    return parse_options(EvaluateOptions, arguments, description)


# ---------------------------------------------------------------- evaluate_people.py


@dataclass(frozen=True, kw_only=True)
class PeopleFiles(ResultFolder):
    """Who is evaluated, and with which model."""

    exp_dir: str = option(kind=folder, help="runs, tables and pictures go into this folder", metavar="DIR")
    people: str = option(
        kind=folder, help="a sub-folder for each person, with aligned photos {age}_{idx}", metavar="DIR"
    )
    checkpoint_path: str = option(model_paths["demo_sam"], path, "the SAM to personalise", metavar="FILE")

    def check(self) -> None:
        """Raises ``InputError`` if results would lie among the people, each of whose folders is read."""
        results, people = Path(self.exp_dir).resolve(), Path(self.people).resolve()
        if people in (results, *results.parents):
            raise InputError(f"--exp_dir={self.exp_dir} lies among the people; choose one outside --people")


@dataclass(frozen=True, kw_only=True)
class PeopleOptions(JudgingOptions, PeopleFiles):
    """Options of `scripts/evaluate_people.py`.

    Attributes:
        training_flags: the flags that are not its own and go to the training.
    """

    title = "what is measured"

    folds: int = option(3, at_least(2), "parts of the ages, each left out once")
    only: tuple[str, ...] | None = option(None, names, "only these people", metavar="NAME,...")
    protocol: str = option(
        "folds",
        str,
        "folds of the ages, or age regression and progression as in the MyTimeMachine paper",
        choices=("folds", "mytimemachine"),
    )
    n_photos: int = option(
        50, positive, "of --protocol=mytimemachine: photos to train on (the paper: 10, 50 and 100)"
    )
    regression_years: float = option(
        40, years, "of --protocol=mytimemachine: the regression is trained on so many (the paper: 40 and 20)"
    )
    variants: tuple[str, ...] | None = option(
        None, names, f"ways to personalise, a row each: {', '.join(VARIANTS)}", metavar="NAME,..."
    )
    preset: str = option(
        DEFAULT_PRESET,
        path,
        "options of the training; any further flags of --coach=mytimemachine go to it too, and win",
        metavar="FILE",
    )
    training_flags: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises ``InputError`` if a training would be refused."""
        for name in self.variants or ():
            if name not in VARIANTS:
                raise InputError(f"--variants: {name} is unknown; choose among {', '.join(VARIANTS)}")
        if not Path(self.preset).is_file():
            raise InputError(f"--preset={self.preset}: no such file")
        for flag in self.training_flags:
            name = flag.split("=")[0]
            if name in OWN_TRAINING_FLAGS:
                raise InputError(f"{name} is set for every fold and cannot be given to the training")
        self.training_options("placeholder", "placeholder")

    def with_variant(self, name: str) -> "PeopleOptions":
        """These options with the training flags of one of ``VARIANTS``; those of the command line win."""
        return replace(self, variants=None, training_flags=(*VARIANTS[name], *self.training_flags))

    def training_options(self, photos: str | Path, exp_dir: str | Path) -> TrainOptions:
        """Options of the training on some photos.

        Args:
            photos: folder of the training photos.
            exp_dir: folder of its run.

        Raises:
            InputError: a flag for the training cannot be used.
        """
        own = [
            "--coach=mytimemachine",
            f"--checkpoint_path={self.checkpoint_path}",
            f"--train_dataset={photos}",
            f"--exp_dir={exp_dir}",
            f"--device={self.device}",
        ]
        return parse_train_options([f"@{self.preset}", *self.training_flags, *own])


def parse_people_options(arguments: Sequence[str] | None = None, description: str = "") -> PeopleOptions:
    """Parses and checks the command line of `scripts/evaluate_people.py` before anything is loaded.

    Raises:
        InputError: a value cannot be used, also one for the training.
    """
    options, training_flags = parse_known_options(PeopleOptions, arguments, description)
    return replace(options, training_flags=tuple(training_flags))
