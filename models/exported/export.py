"""Writes the folder of an exported model: graphs, compared with the model by ONNX Runtime, and their card."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from models.aging_model import AgingModel
from models.exported.card import AGES, BATCH, COUNT, Signature, card
from models.exported.graphs import INLINE_TO, OPSET, graph_of, weights_size, write_graphs
from models.exported.packages import required
from models.exported.parts import description_of, example_inputs, functions_of
from models.exported.session import Session
from utils.ages import OLDEST, YOUNGEST
from utils.errors import InputError
from utils.exporting import can_export
from utils.files.download import sha256_of
from utils.files.exported_folders import CARD, GRAPH_SUFFIX, KIND
from utils.files.writing import folder_written_atomically, write_json

PACKAGES = ("onnx", "onnxscript", "onnx_ir", "onnxruntime")
NORMALISATION = "RGB in [-1, 1], (batch, 3, side, side); masks in [0, 1]; ages in years"
# Largest difference from the model in float32, in units of its largest number (at least 1).
BOUNDS = {"float32": 1e-3, "float16": 0.1}
TRACED = {BATCH: 2, AGES: 3, COUNT: 5}  # numbers that no other size of a network has at that place
CHECKED = ({BATCH: 1, AGES: 1, COUNT: 1}, {BATCH: 3, AGES: 2, COUNT: 4})


@dataclass(frozen=True)
class ExportSettings:
    """What is exported, and how.

    Attributes:
        parts: graphs, of those that the model has.
        precision: a key of :data:`BOUNDS`.
        external: whether weights stand in a file of their own also where they need not.
    """

    parts: Sequence[str]
    precision: str = "float32"
    external: bool = False


def export_model(
    model: AgingModel, folder: Path, settings: ExportSettings, known: Mapping[str, Any]
) -> dict[str, Any]:
    """Exports a model; the folder gets its name only after every graph was compared with the model.

    Args:
        model: in float32 on the CPU; its precision is the exported one afterwards.
        folder: takes the place of an older one.
        settings: what is exported.
        known: entries of the card that are known beforehand: licence, source.

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
    chosen = {name: signatures[name] for name in settings.parts if name in signatures}
    if not chosen:
        raise InputError(f"--parts={','.join(settings.parts)}: this model has {', '.join(signatures)}")
    with tqdm(total=2 * len(chosen), desc="exporting", unit="graph") as bar:
        wanted = {name: _references(model, name, signature) for name, signature in chosen.items()}
        model.compute_in(getattr(torch, settings.precision))
        graphs = {name: _graph(model, name, signature, bar) for name, signature in chosen.items()}
        external = settings.external or weights_size(graphs) > INLINE_TO
        with folder_written_atomically(folder) as new:
            files = write_graphs(graphs, new, external)
            graphs.clear()
            measured = {}
            for name, signature in chosen.items():
                session = Session(new / f"{name}{GRAPH_SUFFIX}", signature, torch.device("cpu"))
                measured[name] = _difference(session, wanted[name], BOUNDS[settings.precision])
                bar.update()
            content = card(
                description,
                **known,
                normalisation=NORMALISATION,
                ages=[YOUNGEST, OLDEST],
                opset=OPSET,
                versions=versions,
                graphs={name: _entry(chosen[name], found, settings) for name, found in measured.items()},
                files={path.name: _checksum(path) for path in files},
            )
            write_json(content, new / CARD)
    return content


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


# ---------------------------------------------------------------- comparison


@torch.no_grad()
def _references(model: AgingModel, name: str, signature: Signature) -> list[tuple[dict[str, Tensor], Tensor]]:
    """Inputs of a graph and what the model makes of them, for other numbers than the graph is traced with."""
    found = []
    for seed, numbers in enumerate(CHECKED, start=1):
        inputs = example_inputs(model, signature.inputs, numbers, seed)
        found.append((inputs, functions_of(model)[name](*inputs.values()).float()))
    return found


def _difference(
    session: Session, wanted: Sequence[tuple[Mapping[str, Tensor], Tensor]], bound: float
) -> float:
    """The largest difference of a graph from the model, as :data:`BOUNDS` measure it.

    Raises:
        InputError: it is beyond the bound.
    """
    largest = 0.0
    for inputs, expected in wanted:
        difference = (session(inputs) - expected).abs().amax() / expected.abs().amax().clamp(min=1)
        largest = max(largest, float(difference.nan_to_num(float("inf"))))
    if not largest <= bound:
        raise InputError(
            f"{session.path.name} differs from the model by {largest:.2g} of its largest number, more than "
            f"{bound:g}; nothing was written"
        )
    return largest


# ---------------------------------------------------------------- the card


def _entry(signature: Signature, difference: float, settings: ExportSettings) -> dict[str, Any]:
    return {
        "inputs": dict(signature.inputs),
        "output": {signature.output: signature.output_shape},
        "largest_difference": difference,
        "bound": BOUNDS[settings.precision],
    }


def _checksum(path: Path) -> dict[str, Any]:
    return {"size": path.stat().st_size, "sha256": sha256_of(path)}


def source_of(path: str | Path) -> dict[str, Any]:
    """What the card says of the file that a model was loaded from."""
    path = Path(path)
    return {"file": path.name, **_checksum(path)}
