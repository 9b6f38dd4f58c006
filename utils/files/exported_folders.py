"""The card of a folder of exported graphs, by which it is known: ``model.json``."""

import json
from pathlib import Path
from typing import Any

from utils.errors import InputError
from utils.files.text import read_text

CARD, GRAPH_SUFFIX, WEIGHTS = "model.json", ".onnx", "weights.data"
KIND = "onnx"  # what the card calls itself, see `models.kinds`
_WHAT = "the folder that `scripts/export_onnx.py` wrote"


def folder_of(path: str | Path) -> Path:
    """The folder that is meant by its own name or by that of its card."""
    path = Path(path)
    return path if path.is_dir() else path.parent


def read_card(path: Path) -> dict[str, Any]:
    """What a card says, as it stands there.

    Raises:
        InputError: the file is something else.
    """
    try:
        content = json.loads(read_text(path, _WHAT))
    except ValueError as error:
        raise InputError(
            f"{path} is no {CARD} ({str(error)[:80]}); give a file of weights or {_WHAT}"
        ) from error
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise InputError(f"{path} is not the {CARD} of an exported model; give a file of weights or {_WHAT}")
    return content
