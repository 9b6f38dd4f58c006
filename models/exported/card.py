"""What an exported folder says about its model, and the graphs that such a model has."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.architecture import checked_sizes
from models.loading import described_by
from utils.errors import InputError
from utils.faces.alignment import CROPS
from utils.files.exported_folders import KIND

LAYOUT = 1  # of the card; a higher one is of a newer AgeLab
PRECISIONS = ("float32", "float16")
ENCODER, GENERATOR, WHOLE = "encoder", "generator", "whole"
PARTS = (ENCODER, GENERATOR, WHOLE)
BATCH, AGES, COUNT = "batch", "ages", "count"  # numbers that only a running graph knows

Shape = tuple[int | str, ...]


@dataclass(frozen=True)
class ExportedModel:
    """What must be known of a model to run its graphs.

    Attributes:
        method: what it was before, a key of ``models.kinds.KINDS``.
        input_size, output_size, crop, fine_tuned: see :class:`models.aging_model.AgingModel`.
        n_styles, style_dim: of the codes between encoder and generator; 0 where there are none.
        masked: whether the graph is told where a face may change.
        adapter: whether the graphs contain the adapter of one person.
        precision: of activations with height and width, one of :data:`PRECISIONS`.
    """

    method: str
    input_size: int
    output_size: int
    crop: str
    fine_tuned: bool = False
    n_styles: int = 0
    style_dim: int = 0
    masked: bool = False
    adapter: bool = False
    precision: str = "float32"

    def to_dict(self) -> dict[str, Any]:
        """Its attributes, as the card has them."""
        return asdict(self)

    @classmethod
    def from_card(cls, content: Mapping[str, Any], source: str) -> "ExportedModel":
        """Reads a card.

        Raises:
            InputError: it is of a newer AgeLab, or describes no model.
        """
        if content.get("layout") != LAYOUT:
            raise InputError(f"{source} was exported by another version of AgeLab; export it again")
        with described_by(source):
            model = cls(**checked_sizes(cls, content["model"]))
            if min(model.input_size, model.output_size) < 1 or bool(model.n_styles) != bool(model.style_dim):
                raise ValueError("its sizes cannot be")
            if model.crop not in CROPS or model.precision not in PRECISIONS:
                raise ValueError(f"the crop {model.crop!r} or the precision {model.precision!r} is unknown")
        return model

    def signatures(self) -> dict[str, "Signature"]:
        """Inputs and output of each of its graphs."""
        sides = (self.input_size, self.input_size)
        pictures: Shape = (3, self.output_size, self.output_size)
        faces: dict[str, Shape] = {"images": (BATCH, 3, *sides), "ages": (BATCH, AGES)}
        masks: dict[str, Shape] = {"masks": (BATCH, 1, *pictures[1:])} if self.masked else {}
        found = {WHOLE: Signature(faces | masks, "pictures", (BATCH, AGES, *pictures))}
        if self.n_styles:
            code: Shape = (self.n_styles, self.style_dim)
            found[ENCODER] = Signature(faces, "codes", (BATCH, AGES, *code))
            found[GENERATOR] = Signature({"codes": (COUNT, *code)}, "pictures", (COUNT, *pictures))
        return {name: found[name] for name in PARTS if name in found}


@dataclass(frozen=True)
class Signature:
    """What goes into a graph and comes out, float32 all of it.

    Attributes:
        inputs: shapes by name; a word stands for a number that only a running graph knows.
        output: name of the result.
        output_shape: its shape.
    """

    inputs: Mapping[str, Shape]
    output: str
    output_shape: Shape


@dataclass(frozen=True)
class FileEntry:
    """What a card says about one file beside it."""

    size: int
    sha256: str


def files_of(content: Mapping[str, Any], source: str) -> dict[str, FileEntry]:
    """The files that a card lists, by names without folders.

    Raises:
        InputError: it lists something else.
    """
    with described_by(source):
        found = {}
        for name, entry in content["files"].items():
            if not isinstance(name, str) or name != Path(name).name or set(name) & set("\\:\0"):
                raise ValueError(f"{str(name)[:40]!r} is no file in its folder")
            size, digest = entry["size"], entry["sha256"]
            if type(size) is not int or not isinstance(digest, str):
                raise ValueError(f"{name[:40]} has no size or no checksum")
            found[name] = FileEntry(size, digest)
        return found


def card(model: ExportedModel, **more: Any) -> dict[str, Any]:
    """The content of ``model.json``.

    Args:
        model: what it describes.
        more: further entries.
    """
    return {"kind": KIND, "layout": LAYOUT, "model": model.to_dict(), **more}
