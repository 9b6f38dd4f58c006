"""Exported folders as checkpoints: every command runs them, no network is built, and bad ones are refused."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from commands import run
from damage import damaged
from exported_toys import spoilt, vouch
from inference_toys import files_below, make_photo, pixels

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from models.aging_model import load_aging_model
from models.exported import session
from options.web_options import WebOptions
from utils.errors import InputError
from webpage.choices import find_choices
from webpage.desk import AgeingDesk


@pytest.fixture
def checkpoint(exported_sam: SimpleNamespace) -> Path:
    return exported_sam.checkpoint


@pytest.fixture
def folder(exported_sam: SimpleNamespace) -> Path:
    return exported_sam.folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for index, age in enumerate((20, 45)):
        make_photo(tmp_path / "photos" / f"{age}_{index}.png", index)
    return tmp_path / "photos"


# ---------------------------------------------------------------- commands


def no_network(*_: Any, **__: Any) -> NoReturn:
    raise AssertionError("a network was built")


def test_inference_runs_it_without_any_network(
    checkpoint: Path, folder: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def results(model: Path, name: str) -> Path:
        flags = (f"--checkpoint_path={model}", f"--data_path={photos}", f"--exp_dir={tmp_path / name}")
        found = run("inference", *flags, "--target_age=10,70", "--sweep=grid", "--device=cpu")
        assert found.returncode == 0, found.stderr
        return tmp_path / name

    expected = results(checkpoint, "torch")
    for network in ("models.psp.pSp", "models.stylegan2.model.Generator"):
        monkeypatch.setattr(f"{network}.__init__", no_network)
    for model, name in ((folder, "folder"), (folder / "model.json", "card")):
        found = results(model, name)
        assert files_below(found) == files_below(expected)
        for age in ("10", "70"):
            for photo in photos.iterdir():
                pictures = [
                    pixels(place / "inference_results" / age / photo.name) for place in (found, expected)
                ]
                assert np.abs(pictures[0] - pictures[1]).max() <= 1


def test_the_page_offers_it(folder: Path, photos: Path, tmp_path: Path) -> None:
    (choice,) = [found for found in find_choices(folder.parent) if found.path == folder]
    assert choice.label == "exported model (sam)" and choice.licence.startswith("not ")
    desk = AgeingDesk(WebOptions(device="cpu"))
    shown = []
    for number, model in enumerate((folder, folder.parent.parent / "sam.pt")):
        page = tmp_path / f"{number}.jpg"
        page.write_bytes(desk.open(photos / "20_0.png", str(model), True, tmp_path).at((0,), 70))
        shown.append(pixels(page))
    assert np.abs(shown[0] - shown[1]).mean() < 0.5  # levels of 255; both are JPEG files


def test_side_by_side_life_spans_and_evaluation(folder: Path, photos: Path, tmp_path: Path) -> None:
    files = (f"--checkpoint_path={folder}", f"--data_path={photos}", f"--exp_dir={tmp_path / 'out'}")
    for script, more in (("inference_side_by_side", []), ("evaluate", ["--n_images=2"])):
        result = run(script, *files, "--target_age=20,60", "--device=cpu", *more)
        assert result.returncode == 0, result.stderr
    assert (tmp_path / "out" / "inference_side_by_side" / "20_0.png").is_file()
    figures = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert (figures["kind"], figures["photos"]) == ("onnx", 2)
    flags = (f"--model_path={folder}", f"--img_dir={photos}", f"--output_dir={tmp_path / 'spans'}")
    result = run("inference_lifespan", *flags, "--target_age=20,60", "--desc=x")
    assert result.returncode == 0, result.stderr
    codes = np.load(next((tmp_path / "spans").rglob("latent_20_0_60.npy")))
    assert codes.shape == (1, 8, 12) and np.isfinite(codes).all()


def test_a_personal_model_keeps_its_adapter(folder: Path, photos: Path, tmp_path: Path) -> None:
    where = spoilt(folder, tmp_path / "exported", lambda card: card["model"].update(adapter=True))
    flags = (f"--model_path={where}", f"--img_dir={photos}", f"--output_dir={tmp_path / 'out'}")
    refused_ = run("inference_lifespan", *flags, "--target_age=60")
    assert refused_.returncode == 2 and "give --blender, or the checkpoint" in refused_.stderr
    assert run("inference_lifespan", *flags, "--target_age=60", "--blender").returncode == 0


@pytest.mark.parametrize(
    ("script", "flags", "sentence"),
    [
        ("style_mixing", ["--latent_mask=1"], "an exported model, whose styles cannot be changed; give the"),
        ("inference", ["--refine_steps=2"], "--refine_steps is for models with W+ codes that can be changed"),
        ("inference", ["--codes=x.npz"], "--codes is for models with W+ codes that can be changed"),
        (
            "inference",
            ["--global_checkpoint=x.pt"],
            "for MyTimeMachine checkpoints only; {0} is an exported model",
        ),
        (
            "inference",
            ["--encoder_path={0}"],
            "--encoder_path is for StyleGAN2 checkpoints; {0} is an exported",
        ),
        ("convert_weights", [], "{0} is an exported model; there is no official file of that kind"),
    ],
)
def test_what_it_lacks_is_one_sentence(
    folder: Path, photos: Path, tmp_path: Path, script: str, flags: list[str], sentence: str
) -> None:
    files = [
        f"--checkpoint_path={folder}",
        f"--data_path={photos}",
        f"--exp_dir={tmp_path / 'out'}",
        "--target_age=50",
    ]
    if script == "convert_weights":
        files = [str(folder), str(tmp_path / "new.pt")]
    result = run(script, *files, *(flag.format(folder) for flag in flags))
    assert result.returncode == 2 and sentence.format(folder) in result.stderr, result.stderr


def test_results_never_land_on_it(folder: Path, tmp_path: Path) -> None:
    where = spoilt(folder, tmp_path / "inference_results" / "20")
    make_photo(tmp_path / "photos" / "encoder.png")
    (where / "encoder.png").symlink_to(where / "encoder.onnx")
    flags = (f"--checkpoint_path={where}", f"--data_path={tmp_path / 'photos'}", f"--exp_dir={tmp_path}")
    result = run("inference", *flags, "--target_age=20")
    assert result.returncode == 2 and "would be overwritten, and this command reads it" in result.stderr


def test_threads_are_those_of_torch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    asked, original = [], onnxruntime.InferenceSession

    def watched(path: str, settings: Any, **more: Any) -> Any:
        asked.append((settings.intra_op_num_threads, more["providers"]))
        return original(path, settings, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", watched)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    load_aging_model(folder)
    assert asked == [(3, ["CPUExecutionProvider"])] * 2


def test_where_it_runs_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    class Runtime:
        @staticmethod
        def get_available_providers() -> list[str]:
            return [session.CUDA, session.CPU]

    gpu = torch.device("cuda", 1)
    assert session._providers(Runtime, gpu) == [(session.CUDA, {"device_id": 1}), session.CPU]
    monkeyless = type("Without", (), {"get_available_providers": staticmethod(lambda: [session.CPU])})
    assert session._providers(monkeyless, gpu) == [session.CPU]
    assert "pip install onnxruntime-gpu" in capsys.readouterr().err
    assert session._providers(Runtime, torch.device("mps")) == [session.CPU]
    assert "nothing for mps" in capsys.readouterr().err


# ---------------------------------------------------------------- damage and malice


def refused(folder: Path) -> str:
    """The one sentence with which a folder is refused."""
    with pytest.raises(InputError) as error:
        load_aging_model(folder)
    return str(error.value)


def changed(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda card: card["model"].update(values)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda card: card.update(kind="sam"), "is not the model.json of an exported model"),
        (lambda card: card.update(layout=2), "was exported by another version of AgeLab"),
        (lambda card: card.pop("model"), "describes no network that can be built (it lacks model)"),
        (changed(input_size=10**9), "input_size cannot be 1000000000"),
        (changed(input_size="64"), "input_size cannot be 64"),
        (changed(output_size=0), "its sizes cannot be"),
        (changed(n_styles=0), "its sizes cannot be"),
        (changed(crop="none"), "the crop 'none'"),
        (changed(precision="int8"), "the precision 'int8' is unknown"),
        (changed(extra=1), "'extra' is no size of it"),
        (changed(style_dim=13), "which is another graph than the card names"),
        (lambda card: card["files"].pop("encoder.onnx"), "lists no encoder.onnx"),
        (lambda card: card["files"].update({"../x": {"size": 1, "sha256": ""}}), "'../x' is no file in its"),
        (lambda card: card["files"]["encoder.onnx"].pop("sha256"), "it lacks sha256"),
        (lambda card: card["files"]["encoder.onnx"].update(sha256=7), "has no size or no checksum"),
        (lambda card: card["files"]["weights.data"].update(sha256="0" * 64), "weights.data is damaged"),
    ],
)
def test_a_wrong_card_is_refused(
    folder: Path, tmp_path: Path, change: Callable[[dict[str, Any]], Any], sentence: str
) -> None:
    assert sentence in refused(spoilt(folder, tmp_path / "out", change))


@pytest.mark.parametrize("text", ["", "{", '{"a": 1}', "[" * 100_000, "{" + '"a":{' * 50_000, "\0{}"])
def test_what_is_no_card_is_refused(folder: Path, tmp_path: Path, text: str) -> None:
    where = spoilt(folder, tmp_path / "out")
    (where / "model.json").write_text(text)
    assert "model.json" in refused(where)


def test_other_files_and_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    assert "is one graph of an exported model; give its folder" in refused(folder / "encoder.onnx")
    assert "is a folder; give the checkpoint file inside it" in refused(tmp_path)
    where = spoilt(folder, tmp_path / "out")
    (where / "generator.onnx").unlink()
    assert "generator.onnx is missing" in refused(where)
    (where / "generator.onnx").symlink_to(folder / "generator.onnx")
    assert "generator.onnx is missing or lies elsewhere" in refused(where)


@pytest.mark.parametrize("name", ["encoder.onnx", "weights.data"])
def test_every_damage_is_found(folder: Path, tmp_path: Path, name: str) -> None:
    where = spoilt(folder, tmp_path / "out")
    content = (where / name).read_bytes()
    for what, broken in damaged(content, 12, seed=1):
        (where / name).write_bytes(broken)
        assert f"{name} is damaged" in refused(where), what


def test_damage_with_a_matching_checksum_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    where = spoilt(folder, tmp_path / "out")
    content = (where / "encoder.onnx").read_bytes()
    for what, broken in damaged(content, 24, seed=2):
        (where / "encoder.onnx").write_bytes(broken)
        try:
            load_aging_model(vouch(where)).age_path(torch.zeros(1, 3, 64, 64), [30])
        except InputError as error:
            assert "encoder.onnx" in str(error), what


def harmful(folder: Path, change: Callable[[Any], Any]) -> str:
    """The sentence for a folder whose encoder was changed, with matching checksums."""
    model = onnx.load(folder / "encoder.onnx", load_external_data=False)
    change(model)
    (folder / "encoder.onnx").write_bytes(model.SerializeToString())
    return refused(vouch(folder))


@pytest.mark.parametrize(
    "location", ["../sam.pt", "/etc/passwd", "model.json", "gone.data", "", "sub/weights.data"]
)
def test_weights_outside_the_folder_are_never_read(folder: Path, tmp_path: Path, location: str) -> None:
    def change(model: Any) -> None:
        tensor = next(entry for entry in model.graph.initializer if entry.external_data)
        next(entry for entry in tensor.external_data if entry.key == "location").value = location

    where = spoilt(folder, tmp_path / "out")
    assert f"in {location!r}, where they are not" in harmful(where, change)


@pytest.mark.parametrize(("key", "value"), [("offset", "99999999999"), ("offset", "-8"), ("length", "1e3")])
def test_weights_beyond_their_file_are_refused(folder: Path, tmp_path: Path, key: str, value: str) -> None:
    def change(model: Any) -> None:
        tensor = next(entry for entry in model.graph.initializer if entry.external_data)
        next(entry for entry in tensor.external_data if entry.key == key).value = value

    assert "where they are not" in harmful(spoilt(folder, tmp_path / "out"), change)


def foreign_operator(model: Any) -> None:
    model.graph.node[0].domain = "com.harm"


def foreign_domain(model: Any) -> None:
    model.opset_import.append(onnx.helper.make_opsetid("com.harm", 1))


def branch(model: Any) -> None:
    inner = onnx.helper.make_graph([], "inner", [], [])
    model.graph.node.append(onnx.helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner))


def outside_in_an_operator(model: Any) -> None:
    tensor = onnx.TensorProto(name="t", data_type=1, dims=[1], data_location=1)
    tensor.external_data.add(key="location", value="../sam.pt")
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["y"], value=tensor))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (foreign_operator, "runs graphs of its own or is of another domain"),
        (foreign_domain, "it has operators of 'com.harm'"),
        (branch, "its operator 'If' runs graphs of its own"),
        (outside_in_an_operator, "in '../sam.pt', where they are not"),
    ],
)
def test_a_graph_of_other_things_is_not_opened(
    folder: Path, tmp_path: Path, change: Callable[[Any], Any], sentence: str
) -> None:
    assert sentence in harmful(spoilt(folder, tmp_path / "out"), change)


def test_a_missing_package_is_one_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "exported models need the Python package onnxruntime" in refused(folder)
