"""What is looked at before a graph of an exported folder is run, wherever the folder comes from.

Checksums tell damage. Somebody who means harm writes matching ones; of what such a file could do, the graph
must be made of operators alone, without loops, and may read no file but those of its folder.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from models.exported.card import FileEntry
from models.exported.packages import required
from utils.errors import InputError
from utils.files.download import Expected, difference

DOMAINS = {"", "ai.onnx"}  # of the operators that every runtime has
AGAIN = "copy the folder again, or export the model again"


def check_files(folder: Path, files: Mapping[str, FileEntry]) -> None:
    """Compares files with what the card says.

    Raises:
        InputError: one is missing, lies elsewhere or differs.
    """
    for name, entry in files.items():
        path = folder / name
        if not path.is_file() or path.resolve().parent != folder.resolve():
            raise InputError(f"{path} is missing or lies elsewhere; {AGAIN}")
        if problem := difference(path, Expected(entry.size, entry.sha256)):
            raise InputError(f"{path} is damaged: {problem}; {AGAIN}")


def check_graph(path: Path, files: Mapping[str, FileEntry]) -> None:
    """Looks at a graph without its weights.

    Args:
        path: the file.
        files: that it may read.

    Raises:
        InputError: it is none, or holds what no graph of AgeLab's does.
    """
    onnx = required("onnx")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # of a malformed file, whatever it is
        raise InputError(f"{path} is no ONNX graph ({type(error).__name__}); {AGAIN}") from error
    foreign = {entry.domain for entry in model.opset_import} - DOMAINS
    if foreign or len(model.functions) or model.graph.sparse_initializer:
        what = f"operators of {sorted(foreign)[0][:40]!r}" if foreign else "functions or sparse weights"
        raise InputError(f"{path} is not opened: it has {what}, which no graph of AgeLab's has; {AGAIN}")
    for node in model.graph.node:
        if node.domain not in DOMAINS or any(_is_graph(attribute) for attribute in node.attribute):
            raise InputError(
                f"{path} is not opened: its operator {node.op_type[:40]!r} runs graphs of its own or is of "
                f"another domain; {AGAIN}"
            )
    for tensor in _tensors(model):
        _check_place(tensor, path, files)


def _is_graph(attribute: Any) -> bool:
    return attribute.HasField("g") or bool(attribute.graphs)


def _tensors(model: Any) -> Iterator[Any]:
    """The weights of a graph, also those within its operators."""
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _check_place(tensor: Any, path: Path, files: Mapping[str, FileEntry]) -> None:
    """Raises ``InputError`` for numbers that stand anywhere but in the graph or in a file of its folder."""
    if not tensor.external_data and tensor.data_location == 0:
        return
    place = {entry.key: entry.value for entry in tensor.external_data}
    known = files.get(place.get("location", ""))
    end = _whole(place.get("offset", "0")) + _whole(place.get("length", "-1"))
    if known is None or not 0 <= end <= known.size:
        raise InputError(
            f"{path} is not opened: its weights {tensor.name[:40]!r} are said to be in "
            f"{place.get('location', 'no file')[:80]!r}, where they are not; {AGAIN}"
        )


def _whole(text: str) -> int:
    """A whole number that is no less than 0; else one that no sum makes valid."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -(1 << 62)


def require_parts(names: Iterable[str], files: Mapping[str, FileEntry], source: str) -> None:
    """Raises ``InputError`` if a card does not list files that its model is made of."""
    missing = [name for name in names if name not in files]
    if missing:
        raise InputError(f"{source} lists no {missing[0]}; {AGAIN}")
