"""Exported folders of toy networks, and how they are spoilt."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.aging_model import AgingModel
from models.exported.card import PARTS
from models.exported.export import ExportSettings, export_model
from utils.files.download import sha256_of
from utils.files.exported_folders import CARD


def export(model: AgingModel, folder: Path, *parts: str, **settings: Any) -> Path:
    """Exports some graphs of a model, all of them if none is named."""
    export_model(model, folder, ExportSettings(parts or PARTS, **settings), {"licence": "of a toy"})
    return folder


def spoilt(folder: Path, target: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """A copy of a folder with another card."""
    if target != folder:
        shutil.copytree(folder, target)
    card = json.loads((target / CARD).read_text())
    change(card)
    (target / CARD).write_text(json.dumps(card))
    return target


def vouch(folder: Path) -> Path:
    """Writes the checksums of the files that are there into the card, as somebody who means harm would."""

    def change(card: dict[str, Any]) -> None:
        found = [path for path in folder.iterdir() if path.name != CARD]
        card["files"] = {
            path.name: {"size": path.stat().st_size, "sha256": sha256_of(path)} for path in found
        }

    return spoilt(folder, folder, change)
