"""An exported folder of a toy network, and how such folders are spoilt."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from commands import run
from filelock import FileLock
from inference_toys import save_toy, toy

from utils.files.download import sha256_of
from utils.files.exported_folders import CARD


def exported_sam(place: Path) -> SimpleNamespace:
    """A SAM ``checkpoint``, its exported ``folder``, what was ``printed``; the first caller makes them."""
    checkpoint, where, printed = place / "sam.pt", place / "exported" / "sam", place / "printed.txt"
    with FileLock(f"{place}.lock"):
        if not printed.is_file():
            place.mkdir()
            save_toy(checkpoint, toy(3))
            flags = (f"--checkpoint_path={checkpoint}", f"--output_dir={where}", "--external_data")
            result = run("export_onnx", *flags)
            assert result.returncode == 0, result.stderr
            printed.write_text(result.stdout)
    return SimpleNamespace(checkpoint=checkpoint, folder=where, printed=printed.read_text())


def spoilt(folder: Path, target: Path, change: Callable[[dict[str, Any]], Any] = lambda card: None) -> Path:
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
