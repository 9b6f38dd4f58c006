"""The table of what can be timed: each piece of work as training and inference do it, and as published."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from evaluation.benchmark.gan_steps import (
    PATH,
    PATH_EVERY,
    PLAIN,
    R1,
    R1_EVERY,
    generator_forward,
    grouped_forward,
    grouped_training,
    stylegan2_training,
)
from evaluation.benchmark.networks import Setting
from evaluation.benchmark.picture_works import (
    AGES,
    BATCHES,
    FOLDER_AGES,
    ages_of_a_face,
    exported_ages,
    folder_of_faces,
    published_ages,
    published_folder,
    reading,
)
from evaluation.benchmark.reference import (
    published_mytimemachine,
    published_psp_training,
    published_sam,
)
from evaluation.benchmark.training_steps import (
    Built,
    mytimemachine_training,
    psp_training,
    sam_training,
)


@dataclass(frozen=True)
class Batches:
    """Pictures at a time where the command line names none.

    Attributes:
        official: with the official networks on a GPU: that of the published command lines.
        slow: with the official networks on a CPU.
        demo: with the networks of the demonstration.
    """

    official: int
    slow: int
    demo: int


@dataclass(frozen=True)
class Work:
    """One piece of work.

    Attributes:
        title: in tables.
        build: makes it in a precision.
        batches: how many pictures at a time.
        published: makes it as the official programs do it; None where they do it alike.
        exported: makes it with an exported model of a precision; None where there is none.
        computes: whether precisions matter.
        compiles: whether it goes by ``Setting.compile``.
        images: pictures made or read for each picture of a batch.
        summary: one more row: its name, and how often each step counts.
    """

    title: str
    build: Callable[[Setting, torch.dtype], Built]
    batches: Batches
    published: Callable[[Setting], Built] | None = None
    exported: Callable[[Setting, str], Built] | None = None
    computes: bool = True
    compiles: bool = False
    images: int = 1
    summary: tuple[str, Mapping[str, float]] | None = None


_MODES = ("no aging", "interpolation", "extrapolation")

# A further piece of work is one line here.
WORKS = {
    "sam": Work("SAM step", sam_training, Batches(6, 2, 8), published_sam, compiles=True),
    "mytimemachine": Work(
        "MyTimeMachine step",
        mytimemachine_training,
        Batches(4, 1, 4),
        published_mytimemachine,
        compiles=True,
        summary=("mean of the modes", {mode: 1 / len(_MODES) for mode in _MODES}),
    ),
    "psp": Work("pSp step", psp_training, Batches(8, 2, 8), published_psp_training, compiles=True),
    "stylegan2": Work(
        "StyleGAN2 step",
        stylegan2_training,
        Batches(8, 4, 16),
        grouped_training,
        compiles=True,
        summary=("with penalties", {PLAIN: 1, R1: 1 / R1_EVERY, PATH: 1 / PATH_EVERY}),
    ),
    "generator": Work("generator", generator_forward, Batches(8, 4, 16), grouped_forward, compiles=True),
    "ages": Work(
        "one face, 11 ages",
        ages_of_a_face,
        Batches(1, 1, 1),
        published_ages,
        exported_ages,
        images=len(AGES),
        compiles=True,
    ),
    "folder": Work(
        "folder of faces, 4 ages",
        folder_of_faces,
        Batches(4, 2, 4),
        published_folder,
        compiles=True,
        images=BATCHES * len(FOLDER_AGES),
    ),
    "data": Work("training data", reading, Batches(8, 8, 32), computes=False),
}
