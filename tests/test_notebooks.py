"""The notebooks run on the demo stack from start to end, from an empty folder too, and hold no outputs."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import skimage.data
from notebook_runner import run_notebook, translated, with_parameters
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> dict[str, Any]:
    """Reads a notebook."""
    return json.loads(path.read_text())


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The code cells of a notebook."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(name: str, tmp_path: Path, **parameters: Any) -> list[Path]:
    """Runs a notebook with other parameters, where it lies, and returns the pictures shown."""
    notebook = with_parameters(
        read(ROOT / "notebooks" / name), {"RESULTS": str(tmp_path / "results"), **parameters}
    )
    return run_notebook(notebook, ROOT / "notebooks", tmp_path / "shown")


def test_inference_playground(tmp_path: Path) -> None:
    shown = run("inference_playground.ipynb", tmp_path, TARGET_AGES="20,70")
    sizes = [Image.open(path).size for path in shown]
    assert sizes[0] == (400, 400) and sizes[2] == (3 * 512, 512)  # the photo; the photo younger and older
    assert sizes[3] == (4 * 130 + 2, 132)  # from Python: the face and three ages
    assert len(sizes) == 5
    aged = [
        tmp_path / "results" / "example" / "inference_results" / age / "astronaut.jpg" for age in ("20", "70")
    ]
    young, old = (Image.open(path) for path in aged)
    assert young.size == old.size == (512, 512) and young.tobytes() != old.tobytes()


@pytest.mark.slow
def test_animation_playground(tmp_path: Path) -> None:
    own = tmp_path / "own photos"
    own.mkdir()
    Image.fromarray(skimage.data.astronaut()[:300, 50:450]).save(own / "me.jpg")
    settings = {"PHOTOS": str(own), "TARGET_AGES": "20,70", "FRAMES": 3}
    shown = run("animation_inference_playground.ipynb", tmp_path, **settings)
    assert [path.suffix for path in shown] == [".png", ".gif", ".png"]
    with Image.open(shown[1]) as film:
        assert film.n_frames == 4 and film.size == (400, 300)  # three ages there, one on the way back


@pytest.mark.slow
def test_personalize(tmp_path: Path) -> None:
    shown = run("personalize.ipynb", tmp_path, STEPS=2, TARGET_AGES="20,70")
    assert len(shown) == 3  # the album, the contact sheet, the life spans
    results = tmp_path / "results" / "example"
    train, held_out = (list((results / "data" / part).iterdir()) for part in ("train", "test"))
    assert (len(train), len(held_out)) == (30, 8)  # one in five of the 38 photos is kept aside
    for kind in ("personalised", "global"):
        assert {path.name for path in held_out} <= {
            path.name for path in (results / "lifespan" / kind).iterdir()
        }
    assert (results / "evaluation" / "personalization.md").is_file()


# ---------------------------------------------------------------- the files themselves


@each_notebook
def test_no_outputs_are_stored(path: Path) -> None:
    for cell in code_cells(read(path)):
        assert cell["outputs"] == [] and cell["execution_count"] is None


@each_notebook
def test_every_cell_is_code(path: Path) -> None:
    for cell in code_cells(read(path)):
        compile(translated("".join(cell["source"])), f"{path.name}:{cell['id']}", "exec")


def setup_cell(path: Path) -> dict[str, Any]:
    """The first code cell of a notebook."""
    return code_cells(read(path))[0]


def test_all_notebooks_begin_alike() -> None:
    assert len(NOTEBOOKS) == 3
    assert len({"".join(setup_cell(path)["source"]) for path in NOTEBOOKS}) == 1


# ---------------------------------------------------------------- from an empty runtime


def test_setup_clones_into_an_empty_folder(tmp_path: Path) -> None:
    git = shutil.which("git")
    source, empty = tmp_path / "source", tmp_path / "runtime"
    if git is None:
        pytest.skip("needs git")
    for name in ("scripts", "utils"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "--quiet"], ["add", "."], [*identity, "commit", "--quiet", "-m", "source"]):
        subprocess.run([git, *words], cwd=source, check=True)
    empty.mkdir()
    notebook = read(NOTEBOOKS[0])
    cell = setup_cell(NOTEBOOKS[0])
    text = "".join(cell["source"]).replace('REPOSITORY_URL = ""', f'REPOSITORY_URL = "{source.as_uri()}"')
    ask = "import utils.errors; from pathlib import Path; Path('found').write_text(utils.errors.__file__)"
    cells = [{**cell, "source": text}, {**cell, "id": "ask", "source": ask}]
    run_notebook({**notebook, "cells": cells}, empty, tmp_path / "shown")
    checkout = empty / "agelab"
    assert (checkout / "found").read_text() == os.fspath(checkout / "utils" / "errors.py")


def test_setup_without_an_address_says_what_to_do(tmp_path: Path) -> None:
    empty = tmp_path / "runtime"
    empty.mkdir()
    notebook = {**read(NOTEBOOKS[0]), "cells": [setup_cell(NOTEBOOKS[0])]}
    with pytest.raises(AssertionError, match="write the address of its repository into REPOSITORY_URL"):
        run_notebook(notebook, empty, tmp_path / "shown")


def test_a_failed_command_fails_the_notebook(tmp_path: Path) -> None:
    notebook = read(NOTEBOOKS[0])
    cell = {**setup_cell(NOTEBOOKS[0]), "source": "code = 3\n!exit {code}"}
    with pytest.raises(AssertionError, match="3"):
        run_notebook({**notebook, "cells": [cell]}, tmp_path, tmp_path / "shown")
