"""The command line of `scripts/evaluate_generator.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from options.conditional_options import age_groups_of
from options.evaluate_options import ResultFolder, folder
from options.machine_options import MachineOptions
from options.metric_options import MetricOptions, metric_names
from utils.age_groups import AgeGroups
from utils.errors import InputError
from utils.files.outputs import refuse_overwriting
from utils.typed_options import count, option, path, positive, processes

REPORT, SHEET = "generator", "generator.png"  # in exp_dir; the report with .json and .md


@dataclass(frozen=True, kw_only=True)
class GeneratorEvaluationOptions(MachineOptions, ResultFolder, MetricOptions):
    """Options of `scripts/evaluate_generator.py`."""

    title = "files"

    checkpoint_path: str = option(
        kind=path, help="StyleGAN2 of any layout, or a pair for directed generation", metavar="FILE"
    )
    data_path: str = option(
        kind=folder, help="folder or zip archive of the photos to compare with", metavar="DIR"
    )
    cond: bool = option(
        False,
        bool,
        "the class of each photo is its label in dataset.json; else the age group of the age in its name",
    )
    age_groups: str | None = option(
        None, str, "the age groups of a generator whose file does not name them", metavar="0-10,11-20,..."
    )
    metrics: tuple[str, ...] = option(
        ("frechet",),
        metric_names,
        "of: frechet (distance on the features of the two judges), fid and kid (of the Inception network, "
        "with the package torch-fidelity); none: only the sheet",
        metavar="NAME,...",
    )
    n_samples: int = option(8, positive, "pictures of each class on the sheet", metavar="N")
    seed: int = option(0, count, "of latents and noise")
    test_workers: int = option(2, processes, "processes that read photos", metavar="N")

    @property
    def groups(self) -> AgeGroups | None:
        """The age groups that were given."""
        return age_groups_of(self.age_groups)

    @property
    def own_output(self) -> Sequence[Path]:
        """The picture that this command writes: it is no photo."""
        return [Path(self.exp_dir) / SHEET]

    def check(self) -> None:
        """Raises ``InputError`` for wrong groups, and if a result would replace a file that is read."""
        if self.cond and self.age_groups:
            raise InputError("--cond and --age_groups exclude each other: labels or ages make the classes")
        _ = self.groups
        writes = [*self.own_output, *(Path(self.exp_dir) / f"{REPORT}.{kind}" for kind in ("json", "md"))]
        refuse_overwriting(writes, [self.checkpoint_path, self.judge_age, self.judge_identity])
