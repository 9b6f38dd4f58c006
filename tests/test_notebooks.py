"""The notebooks run on the demo stack from start to end, from an empty folder too, and hold no outputs."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import skimage.data
import torch
from notebook_runner import run_notebook, translated, with_parameters
from PIL import Image
from toy_networks import directed_checkpoint

from configs.paths_config import model_paths
from utils.files.checkpoints import save_checkpoint

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> dict[str, Any]:
    """Reads a notebook."""
    return json.loads(path.read_text(encoding="utf-8"))


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
def test_inference_playground_with_a_model_without_styles(tmp_path: Path) -> None:
    checkpoint = model_paths["demo_reaging_gan"]
    shown = run("inference_playground.ipynb", tmp_path, TARGET_AGES="20,70", CHECKPOINT=checkpoint)
    assert [Image.open(path).size for path in shown][2:] == [(3 * 512, 512), (4 * 66 + 2, 68)]


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


GROUPS = "0-20,21-50,51-90"


@pytest.fixture
def pair(tmp_path: Path) -> str:
    """A conditional generator of 16 pixels with its encoder."""
    torch.manual_seed(0)
    return str(save_checkpoint(directed_checkpoint(groups=GROUPS), tmp_path / "pair.pt"))


@pytest.mark.slow
def test_directed_image_generation(tmp_path: Path, pair: str) -> None:
    shown = run("directed_image_generation.ipynb", tmp_path, CHECKPOINT=pair, ROWS=2, REFINE_STEPS=1)
    assert len(shown) == 4  # the faces; the grid; the ages between; before and after the optimisation
    strips = sorted((tmp_path / "results" / "example" / "inference_side_by_side").iterdir())
    assert len(strips) == 2
    with Image.open(strips[0]) as strip, Image.open(shown[3]) as both:
        assert strip.size == (4 * 16, 16)  # the input and three groups
        assert both.size == (1200 + 4, 4 * (300 + 2) + 2)


@pytest.mark.slow
def test_directed_image_generation_of_photos_by_a_model_without_groups(tmp_path: Path) -> None:
    own = tmp_path / "own photos"
    own.mkdir()
    Image.fromarray(skimage.data.astronaut()[:300, 50:450]).save(own / "me.jpg")
    settings = {"PHOTOS": str(own), "CHECKPOINT": "pretrained_models/demo/sam.pt", "REFINE_STEPS": 1}
    shown = run("directed_image_generation.ipynb", tmp_path, **settings)
    assert len(shown) == 4
    (strip,) = (tmp_path / "results" / "own photos" / "inference_side_by_side").iterdir()
    assert Image.open(strip).size == (11 * 128, 128)  # the input and ten decades


@pytest.mark.slow
def test_train_sg2_ada(tmp_path: Path) -> None:
    network = "--style_dim=128 --n_mlp=4 --channels=4:128,8:128,16:128"  # that of START
    settings = {"STEPS": 4, "SIZE": 16, "NETWORK": network, "TRAINING": "--batch_size=4 --path_regularize=0"}
    shown = run("train_sg2_ada.ipynb", tmp_path, **settings)
    assert len(shown) == 4  # the photos; the sheet of samples; the curves; the ages between
    results = tmp_path / "results" / "example"
    labels = json.loads((results / "faces" / "dataset.json").read_text(encoding="utf-8"))
    assert labels["age_groups"] == "20-29,30-39,40-49,50-60" and len(labels["labels"]) == 38
    assert (results / "training" / "checkpoints" / "iteration_4.pt").is_file()
    assert not (results / "original").exists()  # a dry run
    assert not (ROOT / "assets" / "demo_person" / "train" / "dataset.json").exists()


@pytest.mark.slow
def test_train_inception_resnet_v1(tmp_path: Path, pair: str) -> None:
    sizes = "--encoder_size=80 --encoder_width=0.125 --encoder_repeats=1,1,1"
    settings = {"STEPS": 2, "SIZES": sizes, "MORE": "--batch_size=4", "LATENT_SPACE": "z", "PAIRS": 10}
    shown = run("train_inception_resnet_v1.ipynb", tmp_path, GENERATOR=pair, AGE_GROUPS=GROUPS, **settings)
    assert len(shown) == 3  # pairs; the sheet of the training; photos at other ages
    results = tmp_path / "results" / "pair"
    assert (results / "corrected_z" / "checkpoints" / "iteration_2.pt").is_file()
    assert len(list((results / "inference_side_by_side").iterdir())) == 4


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
    assert len(NOTEBOOKS) == 6
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
    assert (checkout / "found").read_text(encoding="utf-8") == os.fspath(checkout / "utils" / "errors.py")


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
