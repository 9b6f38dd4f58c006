"""The command line of `scripts/demo.py`."""

from dataclasses import dataclass
from pathlib import Path

from configs.paths_config import REPOSITORY, dataset_paths, model_paths
from options.base_options import TrainOptions
from options.machine_options import DeviceOptions
from options.train_options import parse_train_options
from utils.errors import InputError
from utils.typed_options import option, path, positive

PRESET = REPOSITORY / "configs" / "demo" / "mytimemachine.args"


@dataclass(frozen=True, kw_only=True)
class DemoOptions(DeviceOptions):
    """Options of `scripts/demo.py`."""

    title = "demo"

    person: str = option(dataset_paths["demo_person"], path, "with train/ and held_out/", metavar="DIR")
    checkpoint_path: str = option(model_paths["demo_sam"], path, "the global SAM", metavar="FILE")
    exp_dir: str = option(
        str(REPOSITORY / "runs" / "demo_person"), path, "run, tables and picture go here", metavar="DIR"
    )
    max_steps: int | None = option(None, positive, "steps of personalisation; without it the preset's")

    def check(self) -> None:
        """Raises ``InputError`` if the model or the person is not there."""
        for place in (self.checkpoint_path, self.person):
            if not Path(place).exists():
                raise InputError(
                    f"{place} is missing; restore it with `git checkout` or rebuild it with "
                    "`make demo-weights`"
                )

    def training_options(self) -> TrainOptions:
        """Options of the personalisation: the preset, with losses by the bundled networks.

        Raises:
            InputError: a value cannot be used.
        """
        arguments = [
            f"@{PRESET}",
            f"--checkpoint_path={self.checkpoint_path}",
            f"--exp_dir={self.exp_dir}",
            f"--train_dataset={Path(self.person) / 'train'}",
            f"--device={self.device}",
            f"--age_classifier={model_paths['demo_age_classifier']}",
            f"--identity_network={model_paths['demo_identity']}",
        ]
        if self.max_steps is not None:
            arguments.append(f"--max_steps={self.max_steps}")
        return parse_train_options(arguments)
