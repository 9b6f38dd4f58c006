"""Runs the code cells of a notebook: in a Jupyter kernel where there is one, otherwise as plain Python.

As a program (``notebook_runner.py NOTEBOOK FOLDER``) it is the plain way: `!command` lines go to the shell,
and each picture that ends a cell is saved to FOLDER.
"""

import ast
import base64
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

SUFFIXES = {"image/png": ".png", "image/gif": ".gif", "text/html": ".html"}


def has_kernel() -> bool:
    """Whether nbclient and a Python kernel are installed."""
    return all(importlib.util.find_spec(name) for name in ("nbclient", "ipykernel"))


def with_parameters(notebook: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    """The notebook with other values right after its cell tagged ``parameters``; every name must be there."""
    cells = notebook["cells"]
    tags = [cell["metadata"].get("tags", []) for cell in cells]
    place = next(index for index, tagged in enumerate(tags) if "parameters" in tagged)
    defined = set(re.findall(r"^(\w+) =", "".join(cells[place]["source"]), flags=re.MULTILINE))
    assert set(parameters) <= defined, f"not in the parameters cell: {set(parameters) - defined}"
    source = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    added = {**cells[place], "id": "injected", "source": source, "metadata": {"tags": ["injected"]}}
    return {**notebook, "cells": [*cells[: place + 1], added, *cells[place + 1 :]]}


def run_notebook(notebook: dict[str, Any], cwd: Path, folder: Path, kernel: bool | None = None) -> list[Path]:
    """Runs all code cells in a new process and returns the pictures that they showed, saved to ``folder``.

    Args:
        notebook: nbformat 4.
        cwd: where the notebook seems to lie.
        folder: new folder for the pictures.
        kernel: use a Jupyter kernel; None: if there is one.

    Raises:
        AssertionError: a cell or one of its commands failed.
    """
    folder.mkdir()
    settings = {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    settings["PIP_NO_INDEX"] = "1"  # a test installs nothing
    environment = {**os.environ, **settings}
    if has_kernel() if kernel is None else kernel:
        _run_in_kernel(notebook, cwd, folder, environment)
    else:
        copy = folder / "notebook.ipynb"
        copy.write_text(json.dumps(notebook))
        command = [sys.executable, __file__, str(copy), str(folder)]
        result = subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, f"{result.stdout[-3000:]}\n{result.stderr[-3000:]}"
        copy.unlink()
    return sorted(folder.iterdir())


def _run_in_kernel(notebook: dict[str, Any], cwd: Path, folder: Path, environment: dict[str, str]) -> None:
    """Runs the cells with nbclient; a failed `!command` fails, which a kernel by itself lets pass."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    check = "assert not globals().get('_exit_code'), f'a command ended with {_exit_code}'"
    cells = []
    for cell in notebook["cells"]:
        cells.append(cell)
        if cell["cell_type"] == "code" and re.search(r"^\s*!", "".join(cell["source"]), flags=re.MULTILINE):
            cells.append({**cell, "id": f"check-{len(cells)}", "source": check})
    book = nbformat.reads(json.dumps({**notebook, "cells": cells}), as_version=4)
    client = NotebookClient(
        book, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(cwd)}}
    )
    try:
        client.execute(env=environment)
    except CellExecutionError as error:
        raise AssertionError(str(error)) from error
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    shown = [output["data"] for output in outputs if "data" in output]
    for data in shown:
        mime = next((kind for kind in SUFFIXES if kind in data), None)
        if mime:
            content = data[mime].encode() if mime == "text/html" else base64.b64decode(data[mime])
            (folder / f"{len(list(folder.iterdir())):02d}{SUFFIXES[mime]}").write_bytes(content)


# ---------------------------------------------------------------- without a kernel


def _shell(command: str) -> None:
    subprocess.run(command, shell=True, check=True)


def translated(source: str) -> str:
    """Turns each `!command {name}` line into a call of `_shell`, where a failure is an error."""
    pattern = re.compile(r"^([ \t]*)!(.*)$", flags=re.MULTILINE)
    return pattern.sub(lambda match: f"{match[1]}_shell(f{match[2]!r})", source)


class _Shown:
    """Stands for IPython's ``Image`` and ``Video``: a file to show."""

    def __init__(self, path: str, **_: Any) -> None:
        self.path = Path(path)
        assert self.path.is_file(), f"{path} does not exist"


def _show(value: Any, folder: Path) -> None:
    """Saves a Pillow picture or a file as the next picture."""
    path = folder / f"{len(list(folder.glob('[0-9][0-9].*'))):02d}"
    if isinstance(value, _Shown):
        shutil.copyfile(value.path, path.with_suffix(value.path.suffix))
    elif hasattr(value, "save"):
        value.save(path.with_suffix(".png"))


def run_plainly(notebook: dict[str, Any], folder: Path) -> None:
    """Runs the code cells in this process, one namespace for all."""
    display = types.ModuleType("IPython.display")
    display.Image, display.Video = _Shown, _Shown  # type: ignore[attr-defined]
    ipython = types.ModuleType("IPython")
    ipython.version_info = (9, 0)  # type: ignore[attr-defined]  # matplotlib asks for it
    sys.modules |= {"IPython": ipython, "IPython.display": display}
    namespace: dict[str, Any] = {"__name__": "__main__", "_shell": _shell}
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse(translated("".join(cell["source"])))
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, cell["id"], "exec"), namespace)
        if isinstance(last, ast.Expr):
            _show(eval(compile(ast.Expression(last.value), cell["id"], "eval"), namespace), folder)


if __name__ == "__main__":
    sys.path.pop(0)  # a notebook does not see the tests
    run_plainly(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
