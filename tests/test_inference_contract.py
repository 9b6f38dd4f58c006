"""The inference commands ask the model for what they need: codes, its crop, its global encoder."""

from pathlib import Path

import pytest
import torch
from commands import run
from inference_toys import files_below, make_photo, save_toy, toy
from toy_aging import TintModel, write_tint
from toy_networks import ADAPTER

from inference.loading import load_model
from inference.run import InferenceRun
from models.kinds import KINDS, Kind
from options.inference_options import InferenceOptions, parse_inference_options
from utils.faces.alignment import CROPS


@pytest.fixture
def tint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a model without styles and adapter."""
    monkeypatch.setitem(KINDS, "tint", Kind("a tinting model", loads="toy_aging:load_tint"))
    return write_tint(tmp_path / "tint.pt")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_photo(tmp_path / "photos" / "20_0.png").parent


@pytest.mark.parametrize("blender", [[], ["--blender"]])
def test_life_spans_need_codes(tint: Path, photos: Path, tmp_path: Path, blender: list[str]) -> None:
    arguments = [f"--model_path={tint}", f"--img_dir={photos}", f"--output_dir={tmp_path / 'out'}", *blender]
    result = run("inference_lifespan", *arguments)
    assert result.returncode == 2
    assert f"error: {tint} is a model without styles; use inference.py" in result.stderr
    assert not (tmp_path / "out").exists()


def test_films_of_a_model_without_styles(tint: Path, photos: Path, tmp_path: Path) -> None:
    arguments = [f"--checkpoint_path={tint}", f"--data_path={photos}", f"--exp_dir={tmp_path / 'out'}"]
    result = run("inference", *arguments, "--target_age=10,+30", "--sweep=gif", "--sweep_frames=3")
    assert result.returncode == 0, result.stderr
    assert "inference_sweep/20_0.gif" in files_below(tmp_path / "out")


@pytest.mark.parametrize("known", ["tight", "ffhq"])
@pytest.mark.parametrize("flag", ["auto", "tight", "ffhq"])
def test_the_model_says_how_faces_are_cut(photos: Path, flag: str, known: str) -> None:
    model = TintModel(torch.zeros(3))
    model.crop = known
    arguments = ["--exp_dir=x", f"--data_path={photos}", "--align", f"--crop={flag}"]
    found = InferenceRun(parse_inference_options(InferenceOptions, arguments, ""), model).crop
    wanted = CROPS[known if flag == "auto" else flag]
    assert found and (found.s, found.k, found.fade) == (wanted.s, wanted.k, False)


def test_a_personalised_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opts = {"recipe": "official", "checkpoint_path": str(tmp_path / "gone.pt")}
    path = save_toy(tmp_path / "mtm.pt", toy(2, ADAPTER), opts)
    reads, load = [], torch.load
    monkeypatch.setattr(
        torch, "load", lambda file, **settings: reads.append(Path(file.name)) or load(file, **settings)
    )
    load_model(parse_inference_options(InferenceOptions, ["--exp_dir=x", f"--checkpoint_path={path}"], ""))
    assert reads == [path]
