"""The command lines that download, convert and train files of weights."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.demo_stages import STAGES
from configs.paths_config import REPOSITORY, WEIGHTS_FOLDER, WEIGHTS_VARIABLE
from options.conditional_options import age_groups_of
from options.machine_options import DeviceOptions
from utils.age_groups import AgeGroups
from utils.errors import InputError
from utils.typed_options import Options, at_least, count, option, path, positive, rate, years

WRITTEN_SUFFIXES = (".pt", ".pth", ".safetensors")


def require_new_weights(target: Path, overwrite: bool) -> None:
    """Raises ``InputError`` if a file of weights has another suffix or is there and must not be replaced."""
    if target.suffix.lower() not in WRITTEN_SUFFIXES:
        suffixes = ", ".join(WRITTEN_SUFFIXES)
        raise InputError(f"{target}: the output must end in {suffixes} (.pkl cannot be written)")
    if target.exists() and not overwrite:
        raise InputError(f"{target} exists; choose another name or add --overwrite")


@dataclass(frozen=True, kw_only=True)
class DownloadOptions(Options):
    """Options of `scripts/download_weights.py`."""

    title = "download"

    names: Sequence[str] = option(
        (), str, "what to download (names: see below)", metavar="NAME", nargs="*", positional=True
    )
    all: bool = option(False, help="download every file of the table")
    list: bool = option(False, help="show the table and which files are there")
    root: str = option(
        str(WEIGHTS_FOLDER),
        path,
        f"folder of the weights; set {WEIGHTS_VARIABLE} to it so that all commands look there",
        metavar="DIR",
    )
    mirror: str | None = option(
        None, str, "take every file from URL/FILE instead of its source", metavar="URL"
    )
    force: bool = option(False, help="download again what is there")
    no_check: bool = option(False, help="accept a file of another size or checksum than in the table")


@dataclass(frozen=True, kw_only=True)
class ConvertOptions(Options):
    """Options of `scripts/convert_weights.py`."""

    title = "conversion"

    input: str = option(
        kind=path, help="weights: .pt, .pth, .safetensors or NVIDIA's .pkl", metavar="FILE", positional=True
    )
    output: str = option(
        kind=path, help="the new file: .pt, .pth or .safetensors", metavar="FILE", positional=True
    )
    to: str = option(
        "official",
        str,
        "layout: official is what SAM, MyTimeMachine, pSp and rosinality's code read; nvidia is state dicts "
        "for the StyleGAN2 networks of stylegan2-ada-pytorch",
        choices=("official", "nvidia"),
    )
    age_groups: str | None = option(
        None,
        str,
        "note in the file of a conditional StyleGAN2 which ages its classes are",
        metavar="0-10,11-20,...",
    )
    samples: str | None = option(None, path, "also draw pictures with a converted StyleGAN2", metavar="PNG")
    overwrite: bool = option(False, help="replace the output file")

    @property
    def groups(self) -> AgeGroups | None:
        """The age groups, where they are given.

        Raises:
            InputError: they are none, or the layout has no place for them.
        """
        if self.age_groups is not None and self.to != "official":
            raise InputError("--age_groups is for --to=official: NVIDIA's layout has no place for them")
        return age_groups_of(self.age_groups)

    def check(self) -> None:
        """Raises ``InputError`` if the output cannot be written."""
        _ = self.groups
        require_new_weights(Path(self.output), self.overwrite)


@dataclass(frozen=True, kw_only=True)
class ShapeNoiseOptions(DeviceOptions):
    """Options of `scripts/shape_noise.py`."""

    title = "noise"

    checkpoint_path: str = option(
        kind=path, help="a SAM or a personalised one, whose generator's noise is shaped", metavar="FILE"
    )
    data_path: str = option(kind=path, help="folder or zip archive of aligned photos", metavar="DIR")
    output: str = option(kind=path, help="the new file: .pt, .pth or .safetensors", metavar="FILE")
    youngest: float = option(
        60.0,
        years,
        "photos are aged to this and more: the old have the most grain, and noise is the same for all",
    )
    n_images: int = option(240, at_least(2, 10_000), "photos, evenly over the folder")
    steps: int = option(200, positive, "steps of the optimisation")
    batch_size: int = option(12, positive, "pictures a step")
    learning_rate: float = option(0.05, rate, "at the start")
    seed: int = option(0, count, "of ages and order")
    overwrite: bool = option(False, help="replace the output file")

    def check(self) -> None:
        """Raises ``InputError`` if the output cannot be written."""
        require_new_weights(Path(self.output), self.overwrite)


@dataclass(frozen=True, kw_only=True)
class DemoWeightsOptions(Options):
    """Options of `scripts/make_demo_weights.py`."""

    title = "training of the bundled networks"

    data: str = option(kind=path, help="faces, or a folder with train/ and val/ in it", metavar="DIR")
    runs: str = option(str(REPOSITORY / "runs" / "demo"), path, "run folders", metavar="DIR")
    output_dir: str = option(
        str(REPOSITORY / "pretrained_models" / "demo"), path, "the bundled files go here", metavar="DIR"
    )
    only: str | None = option(None, str, f"some of {', '.join(STAGES)}", metavar="NAME,NAME")
    processes: int = option(1, at_least(1, 512), "processes a training, e.g. one for each CPU core")
    steps_scale: float = option(1.0, rate, "factor on the steps of every preset")
    export_only: bool = option(False, help="store what the runs hold now, without training")

    def check(self) -> None:
        """Raises ``InputError`` if there are no faces, or a stage has a name that is not known."""
        if not Path(self.data).is_dir():
            raise InputError(
                f"--data={self.data}: no such folder; give a folder of faces named {{age}}_{{idx}}"
            )
        unknown = [name for name in self._chosen if name not in STAGES]
        if unknown:
            known = ", ".join(STAGES)
            raise InputError(f"--only={self.only}: there is no stage {unknown[0]}; choose from {known}")

    @property
    def _chosen(self) -> Sequence[str]:
        return self.only.split(",") if self.only else tuple(STAGES)

    @property
    def stages(self) -> Sequence[str]:
        """Names of the stages to run, in order."""
        return tuple(name for name in STAGES if name in self._chosen)

    @property
    def training_faces(self) -> Path:
        """The folder of training faces: `train` in the data folder, or that itself."""
        inside = Path(self.data) / "train"
        return inside if inside.is_dir() else Path(self.data)

    @property
    def test_faces(self) -> Path | None:
        """The folder of test faces, `val` in the data folder, if it is there."""
        inside = Path(self.data) / "val"
        return inside if inside.is_dir() else None
