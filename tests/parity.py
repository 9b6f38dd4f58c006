"""Holds our results against numbers made by the official implementations (``fixtures/parity/README.md``).

Typical use::

    @parity.each("encoders", "embedding")
    def test_face_network(entry: parity.Entry) -> None:
        network = parity.network(entry, Backbone, **entry["args"])
        parity.check(network(parity.inputs(entry)["x"]), entry, "embedding")

Tests find their entries by what these hold, whatever their names, and take sizes, counts and flags from them:
the environment variable ``AGELAB_PARITY`` names another folder of the same layout to try, of which any entry
or file may be missing. Tests without an entry are then skipped; ``keys`` and ``fill.py`` are the bundled ones
where it has none. Of the bundled numbers none may be missing.
"""

import importlib.util
import json
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch

from models.loading import SkipInit

BUNDLED = Path(__file__).resolve().parent / "fixtures" / "parity"
FOLDER = Path(os.environ.get("AGELAB_PARITY") or BUNDLED).resolve()
IS_BUNDLED = FOLDER == BUNDLED
Module = TypeVar("Module", bound=torch.nn.Module)
Entry = dict[str, Any]

if not FOLDER.is_dir():
    raise NotADirectoryError(f"AGELAB_PARITY={FOLDER} is not a folder")


def _file(name: str) -> Path:
    """A file of the folder, the bundled one where it has none."""
    return FOLDER / name if (FOLDER / name).is_file() else BUNDLED / name


_spec = importlib.util.spec_from_file_location("parity_fill", _file("fill.py"))
fill_library = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(fill_library)


# ---------------------------------------------------------------- entries


@cache
def document(name: str) -> dict[str, Any]:
    """The golden file ``golden/<name>.json``; without entries where another folder lacks it."""
    path = FOLDER / "golden" / f"{name}.json"
    if not path.is_file() and not IS_BUNDLED:
        return {"entries": []}
    content = json.loads(path.read_text(encoding="utf-8"))
    for entry in content["entries"]:
        for field in ("args", "inputs"):
            entry.setdefault(field, {})
    return content


def entries(name: str, *holding: str) -> list[Entry]:
    """The entries of a golden file that hold all the given fields, arguments, inputs or outputs.

    Raises:
        LookupError: the bundled file has none.
    """
    found = [
        entry
        for entry in document(name)["entries"]
        if {*holding} <= {*entry, *entry["args"], *entry["inputs"], *entry["outputs"]}
    ]
    if IS_BUNDLED and not found:
        raise LookupError(f"no entry of golden/{name}.json holds {', '.join(holding)}")
    return found


def pixels(entry: Entry) -> int:
    """Side of the pictures that the network of an entry renders or judges, 0 where it has no such size."""
    return max(entry["args"].get(name, 0) for name in ("size", "output_size", "img_resolution"))


def is_large(entry: Entry) -> bool:
    """Whether an entry needs a network of the official size."""
    return pixels(entry) > 256


def each(
    name: str,
    *holding: str,
    extra: Callable[[Entry], bool] = lambda entry: False,
    change: Callable[[list[Entry]], list[Entry]] = list,
) -> pytest.MarkDecorator:
    """Runs a test, as its argument ``entry``, with all :func:`entries` of a golden file that hold something.

    Large ones are slow.

    Args:
        name: of the golden file.
        holding: what the entries must hold.
        extra: which of the bundled ones are slow too, since others show nearly the same.
        change: applied to the list of entries.
    """
    found = change(entries(name, *holding))
    slow = [is_large(entry) or (IS_BUNDLED and extra(entry)) for entry in found]
    marks = [pytest.mark.slow if is_slow else () for is_slow in slow]
    cases = [pytest.param(e, id=e["name"], marks=m) for e, m in zip(found, marks, strict=True)]
    return pytest.mark.parametrize("entry", cases)


def first(name: str, *holding: str, size: int | None = None) -> Entry:
    """The first such entry, of a size in pixels if one is given; skips the test where there is none."""
    found = [entry for entry in entries(name, *holding) if size in (None, pixels(entry))]
    if not found:
        pytest.skip(f"golden/{name}.json of {FOLDER} has no entry for this test")
    return found[0]


# ---------------------------------------------------------------- networks and numbers


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


def network(
    entry: Entry, build: Callable[..., Module], dtype: torch.dtype = torch.float32, **kwargs: Any
) -> Module:
    """The network of an entry, built with ``kwargs`` and filled, in eval mode.

    The last one is kept, unless large, for entries in a row that share it: change nothing that a later call
    of the network shows.
    """
    weights = entry["weights"]
    make = _network.__wrapped__ if is_large(entry) else _network
    return make(build, weights["seed"], weights.get("family", "plain"), dtype, **kwargs)


@lru_cache(maxsize=1)
def _network(
    build: Callable[..., Module], seed: int, family: str, dtype: torch.dtype, **kwargs: Any
) -> Module:
    module = quick(build, **kwargs).eval()
    fill_library.fill_(module.state_dict(), seed, family)
    return module.to(dtype)


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


def check_all(
    results: Mapping[str, torch.Tensor], entry: Entry, float64: bool = False, limit: float | None = None
) -> None:
    """Checks all results that the entry has a golden digest of; there must be one."""
    golden = entry["outputs_f64" if float64 else "outputs"]
    known = [name for name in results if name in golden]
    assert known, f"{entry['name']} has none of {', '.join(results)}"
    for name in known:
        check(results[name], entry, name, float64, limit)


# ---------------------------------------------------------------- layouts


@cache
def keys(name: str) -> dict[str, Any]:
    """The file ``keys/<name>.json``."""
    return json.loads(_file(f"keys/{name}.json").read_text(encoding="utf-8"))


@cache
def layout(name: str, table: str = "state_dict") -> dict[str, tuple[tuple[int, ...], str]]:
    """Official layout ``keys/<name>.json``: key -> (shape, dtype name), in file order."""
    tables = keys(name)["tables"]
    if table not in tables and not IS_BUNDLED:
        pytest.skip(f"keys/{name}.json of {FOLDER} has no table {table}")
    return {key: (tuple(shape), dtype) for key, shape, dtype in tables[table]}


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
