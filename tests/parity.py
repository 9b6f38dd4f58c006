"""Holds our results against numbers made by the official implementations (``fixtures/parity/README.md``).

Typical use::

    entry = parity.entry("encoders", "ir_se50_backbone/batch2")
    network = parity.fill(parity.quick(Backbone, input_size=112).eval(), entry)
    parity.check(network(parity.inputs(entry)["x"]), entry, "embedding")
"""

import importlib.util
import json
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch

from models.loading import SkipInit

# AGELAB_PARITY names another folder of this layout, to try further golden numbers.
BUNDLED = Path(__file__).resolve().parent / "fixtures" / "parity"
FOLDER = Path(os.environ.get("AGELAB_PARITY") or BUNDLED).resolve()
Module = TypeVar("Module", bound=torch.nn.Module)
Entry = dict[str, Any]

_spec = importlib.util.spec_from_file_location("parity_fill", FOLDER / "fill.py")
fill_library = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fill_library)


@cache
def document(name: str) -> dict[str, Any]:
    """The golden file ``golden/<name>.json``."""
    return json.loads((FOLDER / "golden" / f"{name}.json").read_text(encoding="utf-8"))


def entries(name: str, prefix: str = "") -> list[Entry]:
    """All entries of a golden file whose name starts with ``prefix``."""
    return [entry for entry in document(name)["entries"] if entry["name"].startswith(prefix)]


def entry(name: str, entry_name: str) -> Entry:
    """One entry of a golden file."""
    return next(entry for entry in document(name)["entries"] if entry["name"] == entry_name)


def tensor(recipe: Mapping[str, Any], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """The input described by one recipe."""
    return torch.from_numpy(fill_library.build(recipe)).to(dtype)


def inputs(entry: Entry, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """All inputs of an entry; made in float32, then converted to ``dtype``."""
    return {name: tensor(recipe, dtype) for name, recipe in entry["inputs"].items()}


def fill(module: Module, entry: Entry, rename: Callable[[str], str] | None = None) -> Module:
    """Gives a module (float32) the weights of an entry, in place, and returns it.

    ``rename`` maps our key to the official key where they differ.
    """
    weights = entry["weights"]
    fill_library.fill_(module.state_dict(), weights["seed"], weights.get("family", "plain"), rename)
    return module


def error(result: torch.Tensor, entry: Entry, output: str, float64: bool = False) -> float:
    """Relative distance of a result to the golden digest (``fill.compare``)."""
    return fill_library.compare(result, entry["outputs_f64" if float64 else "outputs"][output])


def tolerance(entry: Entry, output: str) -> float:
    """What the README accepts in float32: ten times the stated error, at least 1e-5 (else 1e-4)."""
    stated = entry.get("f32_error", {}).get(output)
    return 1e-4 if stated is None else max(1e-5, 10 * stated)


def check(
    result: torch.Tensor, entry: Entry, output: str, float64: bool = False, limit: float | None = None
) -> float:
    """Asserts that a result is the golden one within the README's tolerance and returns the distance."""
    if limit is None:
        limit = 1e-6 if float64 else tolerance(entry, output)
    distance = error(result, entry, output, float64)
    assert distance <= limit, f"{entry['name']} {output}: relative error {distance:.3g} exceeds {limit:.3g}"
    return distance


@cache
def layout(name: str, table: str = "state_dict") -> dict[str, tuple[tuple[int, ...], str]]:
    """Official layout ``keys/<name>.json``: key -> (shape, dtype name), in file order."""
    document = json.loads((FOLDER / "keys" / f"{name}.json").read_text(encoding="utf-8"))
    return {key: (tuple(shape), dtype) for key, shape, dtype in document["tables"][table]}


def layout_of(state: Mapping[str, torch.Tensor]) -> dict[str, tuple[tuple[int, ...], str]]:
    """The same description of a state dict at hand."""
    return {key: (tuple(item.shape), str(item.dtype).removeprefix("torch.")) for key, item in state.items()}


def check_layout(
    state: Mapping[str, torch.Tensor], name: str, table: str = "state_dict", prefix: str = ""
) -> None:
    """Asserts that keys, shapes and dtypes are the official ones (of those starting with ``prefix``)."""
    rows = layout(name, table).items()
    official = {key.removeprefix(prefix): row for key, row in rows if key.startswith(prefix)}
    ours = layout_of(state)
    assert not _first(official.keys() - ours.keys()), f"missing: {_first(official.keys() - ours.keys())}"
    assert not _first(ours.keys() - official.keys()), f"unexpected: {_first(ours.keys() - official.keys())}"
    differing = [f"{key}: {ours[key]}, officially {row}" for key, row in official.items() if ours[key] != row]
    assert not differing, differing[:5]


def _first(keys: Iterable[str]) -> list[str]:
    return sorted(keys)[:5]


def quick(build: Callable[..., Module], *args: Any, **kwargs: Any) -> Module:
    """Builds a module without spending time on random weights; every weight must be filled afterwards."""
    with SkipInit():
        return build(*args, **kwargs)
