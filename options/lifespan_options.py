"""The command line of `scripts/inference_lifespan.py`: MyTimeMachine's `helper.py` and a few of ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.paths_config import model_paths
from options import parser
from options.ageing_options import AgeingOptions, earlier_results
from utils.distributed import say
from utils.errors import InputError
from utils.typed_options import Options, option, path


@dataclass(frozen=True, kw_only=True)
class LifespanFileOptions(Options):
    """Model, photos and results."""

    title = "files"

    img_dir: str = option(
        None,
        path,
        "aligned photos (any photos with --align), a folder or zip archive; sub-folders are searched too",
        metavar="DIR",
    )
    model_path: str | None = option(
        None,
        path,
        "personalised or global checkpoint; without it the official SAM file where it is at hand, else "
        "the bundled demonstration model",
        metavar="FILE",
    )
    blender: bool = option(
        False,
        help="use the adapter of a personalised checkpoint; without it the global model inside is used",
    )
    output_dir: str = option("output_helper", path, "results go to a folder below this one", metavar="DIR")
    desc: str = option("", str, "name of that folder; if empty, experiment and iteration of --model_path")

    @property
    def checkpoint(self) -> str:
        """The file of the model: the given one, else the official one if at hand, else the bundled one."""
        if self.model_path:
            return self.model_path
        official = model_paths["sam_ffhq_aging"]
        return official if Path(official).is_file() else model_paths["demo_sam"]

    photos_flag = "--img_dir"
    checkpoint_flag = "--model_path"

    @property
    def photos(self) -> str:
        """A folder of photos, or one photo."""
        return self.img_dir

    @property
    def own_output(self) -> Sequence[Path]:
        """The folder of the results, and those of all inference commands among the photos."""
        return [self.folder, *earlier_results(self.img_dir)]

    @property
    def folder(self) -> Path:
        """Where the results go."""
        named = self.desc or (run_name(self.model_path) if self.model_path else "")
        return Path(self.output_dir) / (named or Path(self.checkpoint).stem)

    def check(self) -> None:
        """Raises ``InputError`` without photos."""
        if not self.img_dir:
            raise InputError("--img_dir=DIR is needed: the folder of photos")


@dataclass(frozen=True, kw_only=True)
class LifespanOptions(LifespanFileOptions, AgeingOptions):
    """Options of `scripts/inference_lifespan.py`."""


def run_name(model_path: str) -> str:
    """The official name of a run's folder: the fourth part of the path from its end, and the file's stem.

    For `EXPERIMENT/00000/checkpoints/iteration_15000.pt` that is `EXPERIMENT_iteration_15000`.
    """
    file = Path(model_path)
    parts = (file if len(file.parts) >= 4 else file.resolve()).parts
    named = [part for part in parts if part != file.anchor][-4:]
    stem = file.name.split(".")[0]
    return f"{named[0]}_{stem}" if len(named) > 1 else stem


def parse_lifespan_options(arguments: Sequence[str] | None, description: str) -> LifespanOptions:
    """Parses and checks a command line before anything is loaded; says which model is used if none is given.

    Raises:
        InputError: a value cannot be used.
    """
    opts = parser.parse_options(LifespanOptions, arguments, description)
    if not opts.model_path:
        say(f"no --model_path: using {opts.checkpoint}")
    return opts
