"""The command line of `scripts/export_onnx.py`."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from configs.paths_config import model_paths
from models.exported.card import PARTS, PRECISIONS
from options.ageing_options import ModelOptions
from utils.errors import InputError
from utils.files.exported_folders import CARD, GRAPH_SUFFIX, WEIGHTS
from utils.typed_options import option, path, some_path

OWN_FILES = (CARD, WEIGHTS, *(f"{name}{GRAPH_SUFFIX}" for name in PARTS))


def parts(text: str) -> tuple[str, ...]:
    """Names of graphs, separated by commas."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is unknown; choose among {', '.join(PARTS)}")
    return names


@dataclass(frozen=True, kw_only=True)
class ExportOptions(ModelOptions):
    """Options of `scripts/export_onnx.py`."""

    title = "export"

    checkpoint_path: str | None = option(
        None, path, "what ages faces, of any method; without it the bundled SAM", metavar="FILE"
    )
    output_dir: str = option(kind=some_path, help=f"folder for the graphs and their {CARD}", metavar="DIR")
    parts: tuple[str, ...] = option(
        PARTS,
        parts,
        f"graphs to write, of those that the model has: {', '.join(PARTS)}; AgeLab runs encoder and "
        "generator, or the whole of a model without these",
        metavar="NAME,...",
    )
    precision: str = option(
        "float32",
        str,
        "of activations with height and width and of the weights that they meet; codes, styles and ages stay "
        "float32",
        choices=PRECISIONS,
    )
    external_data: bool = option(
        False, help=f"write weights into {WEIGHTS} beside the graphs, as is done by itself from 1 GiB on"
    )
    overwrite: bool = option(False, help="replace an exported folder")

    @property
    def checkpoint(self) -> str:
        """The file of the model, the bundled one if none was named."""
        return self.checkpoint_path or model_paths["demo_sam"]

    @property
    def folder(self) -> Path:
        """Where the graphs go."""
        return Path(self.output_dir)

    def check(self) -> None:
        """Raises ``InputError`` if the folder holds anything that must not be replaced."""
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"--output_dir={self.folder} is a file; name a folder for the graphs")
        there = sorted(entry.name for entry in self.folder.iterdir()) if self.folder.exists() else []
        foreign = [name for name in there if name not in OWN_FILES]
        if foreign:
            raise InputError(
                f"--output_dir={self.folder} holds {foreign[0]}, no part of an exported model; name another"
            )
        if there and not self.overwrite:
            raise InputError(
                f"--output_dir={self.folder} holds an exported model; name another folder or add --overwrite"
            )
