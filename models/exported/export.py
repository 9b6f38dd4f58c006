"""Writes the folder of an exported model: graphs, compared with the model by ONNX Runtime, and their card."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from models.aging_model import AgingModel
from models.exported.card import AGES, BATCH, COUNT, ENCODER, GENERATOR, WHOLE, Signature, card
from models.exported.comparison import BOUNDS, largest_difference, references
from models.exported.graphs import INLINE_TO, OPSET, graph_file, graph_of, weights_size, write_graphs
from models.exported.joining import join_graphs
from models.exported.packages import required
from models.exported.parts import description_of, example_inputs, functions_of
from models.exported.session import Session
from models.licences import UNKNOWN
from utils.ages import OLDEST, YOUNGEST
from utils.errors import InputError
from utils.exporting import can_export
from utils.files.download import sha256_of
from utils.files.exported_folders import CARD, KIND
from utils.files.writing import folder_written_atomically, write_json

PACKAGES = ("onnx", "onnxscript", "onnx_ir", "onnxruntime")
NORMALISATION = "RGB in [-1, 1], (batch, 3, side, side); masks in [0, 1]; ages in years"
TRACED = {BATCH: 2, AGES: 3, COUNT: 5}  # numbers that no other size of a network has at that place


@dataclass(frozen=True)
class ExportSettings:
    """What is exported, and how.

    Attributes:
        parts: graphs, of those that the model has.
        precision: a key of ``models.exported.comparison.BOUNDS``.
        external: whether weights stand in a file of their own also where they need not.
    """

    parts: Sequence[str]
    precision: str = "float32"
    external: bool = False


def export_model(
    model: AgingModel,
    folder: Path,
    settings: ExportSettings,
    licence: str = UNKNOWN,
    source: str | Path | None = None,
) -> dict[str, Any]:
    """Exports a model; the folder gets its name only after every graph was compared with the model.

    Args:
        model: in float32 on the CPU; its precision is the exported one afterwards.
        folder: takes the place of an older one.
        settings: what is exported.
        licence: of the weights, for the card.
        source: the file that the model was loaded from, likewise.

    Returns:
        The card.

    Raises:
        InputError: a package is missing, it cannot be exported, differs too much, or cannot be written.
    """
    versions = {name: required(name).__version__ for name in PACKAGES} | {"torch": torch.__version__}
    if not can_export():
        raise InputError(f"exporting needs PyTorch 2.7 or newer, and this is {torch.__version__}")
    if model.kind == KIND:
        raise InputError("the model is exported already; give the checkpoint that it was made from")
    description = description_of(model, settings.precision)
    signatures = description.signatures()
    chosen = [name for name in settings.parts if name in signatures]
    if not chosen:
        raise InputError(f"--parts={','.join(settings.parts)}: this model has {', '.join(signatures)}")
    with folder_written_atomically(folder) as new:
        measured = _written(model, new, settings, {name: signatures[name] for name in chosen}, signatures)
        content = card(
            description,
            licence=licence,
            source=None if source is None else {"file": Path(source).name, **_checksum(Path(source))},
            normalisation=NORMALISATION,
            ages=[YOUNGEST, OLDEST],
            opset=OPSET,
            versions=versions,
            graphs={name: _entry(signatures[name], found, settings) for name, found in measured.items()},
            files={path.name: _checksum(path) for path in sorted(new.iterdir())},
        )
        write_json(content, new / CARD)
    return content


def _written(
    model: AgingModel,
    folder: Path,
    settings: ExportSettings,
    chosen: Mapping[str, Signature],
    signatures: Mapping[str, Signature],
) -> dict[str, float]:
    """Writes the chosen graphs and returns how far each is from the model."""
    joined = WHOLE in chosen and GENERATOR in signatures  # made of the others, with their weights
    traced = (ENCODER, GENERATOR) if joined else tuple(chosen)
    with tqdm(total=len(traced) + len(chosen), desc="exporting", unit="graph") as bar:
        wanted = {name: references(model, name, signature) for name, signature in chosen.items()}
        model.compute_in(getattr(torch, settings.precision))
        graphs = {name: _graph(model, name, signatures[name], bar) for name in traced}
        write_graphs(graphs, folder, settings.external or weights_size(graphs) > INLINE_TO)
        graphs.clear()
        if joined:
            encoder, generator, whole = (graph_file(folder, name) for name in (*traced, WHOLE))
            join_graphs(encoder, generator, whole, chosen[WHOLE])
        for name in set(traced) - set(chosen):
            graph_file(folder, name).unlink()
        measured = {}
        for name, signature in chosen.items():
            session = Session(graph_file(folder, name), signature, torch.device("cpu"))
            measured[name] = largest_difference(session, wanted[name], settings.precision)
            bar.update()
    return measured


def _graph(model: AgingModel, name: str, signature: Signature, bar: tqdm) -> Any:
    example = example_inputs(model, signature.inputs, TRACED)
    try:
        return graph_of(functions_of(model)[name], model, signature, example)
    except InputError:
        raise
    except Exception as error:  # of torch.export and its converter there are dozens
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise InputError(f"the {name} cannot be exported: {reason}") from error
    finally:
        bar.update()


def _entry(signature: Signature, difference: float, settings: ExportSettings) -> dict[str, Any]:
    return {
        "inputs": dict(signature.inputs),
        "output": {signature.output: signature.output_shape},
        "largest_difference": difference,
        "bound": BOUNDS[settings.precision],
    }


def _checksum(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "sha256": sha256_of(path)}
