"""What is known of the terms of a file of weights."""

import filecmp
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.paths_config import model_paths
from configs.weights import WEIGHTS, Weight
from utils.errors import one_line

UNKNOWN = "not known; the terms of the data and of the weights that it learned from apply"
# Options of a training that name the files it began with.
_BEGINNINGS = ("pretrained_psp_path", "stylegan_weights", "grow_from")
_BUNDLED_PARTS = 2  # of the path of a bundled file tell it: demo/sam.pt


def licence_of(path: str | Path, content: Mapping[str, Any]) -> str:
    """The licence of a file of weights, or what is known instead, in one line.

    A published file is known by its name and size, a bundled one by its bytes, an exported folder tells it.
    Of another file the licences of those are given with which its training began.

    Args:
        path: the file.
        content: what ``load_checkpoint`` read there.
    """
    if isinstance(content.get("licence"), str):
        return one_line(content["licence"])
    own = _published(Path(path))
    if own is not None:
        return own.licence
    opts = content.get("opts") or {}
    # A training that goes on from a checkpoint reads no other file to begin with, whatever its options name.
    named = [opts["checkpoint_path"]] if opts.get("checkpoint_path") else map(opts.get, _BEGINNINGS)
    begun = [weight for name in named if isinstance(name, str) for weight in _called(name)]
    known = "; ".join(dict.fromkeys(f"it began with {weight.name}: {weight.licence}" for weight in begun))
    return f"not stated; {known}" if known else UNKNOWN


def _published(path: Path) -> Weight | None:
    """The entry of the table that a file is."""
    for name, weight in WEIGHTS.items():
        if not path.is_file():
            continue
        if weight.bundled:
            known = Path(model_paths[name])
            if known.is_file() and filecmp.cmp(path, known, shallow=False):
                return weight
        elif path.name == weight.name and weight.size in (None, path.stat().st_size):
            return weight
    return None


def _called(name: str) -> list[Weight]:
    """The entries of the table that a path of some machine means."""
    parts = Path(name.replace("\\", "/")).parts
    return [
        weight
        for weight in WEIGHTS.values()
        if parts[-_BUNDLED_PARTS:] == Path(weight.file).parts[-_BUNDLED_PARTS:]
        or (not weight.bundled and parts[-1:] == (weight.name,))
    ]
