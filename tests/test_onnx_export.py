"""Models as ONNX graphs: the same pictures for any batch, whatever the method is, and a true card."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import run
from exported_toys import export
from inference_toys import official_sam, save_toy, toy
from toy_aging import TintModel
from toy_networks import (
    ADAPTER,
    SMALL_VGG,
    directed_checkpoint,
    network_file,
    reaging_content,
    tiny_psp,
)

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from models.aging_model import AgingModel, HasAdapter, KeepsBackground, LatentModel, load_aging_model
from models.directed import load_directed
from models.exported import export as exporting
from models.exported.card import ExportedModel
from models.exported.session import Session
from models.psp_aging import PersonalizedModel, PSPAgingModel
from models.reaging_gan.aging import load_reaging_gan
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint, save_checkpoint
from utils.files.download import sha256_of

CLOSE = {"rtol": 0, "atol": 1e-4}


def close_to(model: AgingModel, exported: AgingModel, batch: int, ages: int) -> None:
    """Asserts that both make the same pictures."""
    draws = torch.Generator().manual_seed(batch)
    images = torch.rand(batch, 3, model.input_size, model.input_size, generator=draws) * 2 - 1
    years = torch.rand(batch, ages, generator=draws) * 100
    found = exported.age_path(images, years)
    assert found.shape == (batch, ages, 3, model.output_size, model.output_size)
    torch.testing.assert_close(found, model.age_path(images, years), **CLOSE)


# ---------------------------------------------------------------- SAM: three graphs


@pytest.fixture(scope="module")
def sam() -> PSPAgingModel:
    return PSPAgingModel(tiny_psp(seed=1))


@pytest.fixture(scope="module")
def folder(sam: PSPAgingModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(sam, tmp_path_factory.mktemp("sam") / "out")


@pytest.mark.parametrize(("batch", "ages"), [(1, 1), (3, 2), (5, 1)])
def test_the_batch_is_free(sam: PSPAgingModel, folder: Path, batch: int, ages: int) -> None:
    exported = load_aging_model(folder)
    assert isinstance(exported, LatentModel) and not isinstance(exported, HasAdapter)
    assert (exported.kind, exported.input_size, exported.output_size, exported.crop) == (
        "onnx",
        32,
        16,
        "tight",
    )
    close_to(sam, exported, batch, ages)


def test_the_whole_is_encoder_and_generator(sam: PSPAgingModel, folder: Path) -> None:
    signature = ExportedModel.from_card(load_checkpoint(folder), "it").signatures()["whole"]
    whole = Session(folder / "whole.onnx", signature, torch.device("cpu"))
    for batch in (1, 3, 5):
        images, ages = torch.randn(batch, 3, 32, 32), torch.tensor([[10.0, 45.5]]).expand(batch, -1)
        found = whole({"images": images, "ages": ages})
        torch.testing.assert_close(found, sam.age_path(images, ages), **CLOSE)


def test_operators_are_native_and_constants_folded(folder: Path) -> None:
    for path in folder.glob("*.onnx"):
        graph = onnx.load(path)
        onnx.checker.check_model(graph)
        assert {entry.domain for entry in graph.opset_import} == {""} and not graph.functions
        known = {tensor.name for tensor in graph.graph.initializer}
        assert not [node.name for node in graph.graph.node if set(node.input) <= known]


def test_a_graph_gives_the_same_numbers_again(folder: Path) -> None:
    images = torch.rand(2, 3, 32, 32)
    first, second = (load_aging_model(folder).age_path(images, [20, 70]) for _ in range(2))
    assert torch.equal(first, second)


def test_the_card_says_what_it_is(folder: Path) -> None:
    card = load_checkpoint(folder)
    assert card == load_checkpoint(folder / "model.json")
    assert card["model"] == {
        "method": "sam",
        "input_size": 32,
        "output_size": 16,
        "crop": "tight",
        "fine_tuned": False,
        "n_styles": 6,
        "style_dim": 12,
        "masked": False,
        "adapter": False,
        "precision": "float32",
    }
    assert card["graphs"]["encoder"]["inputs"] == {"images": ["batch", 3, 32, 32], "ages": ["batch", "ages"]}
    assert card["graphs"]["generator"]["output"] == {"pictures": ["count", 3, 16, 16]}
    assert card["ages"] == [0, 100] and "[-1, 1]" in card["normalisation"]
    assert {path.name for path in folder.iterdir()} == {*card["files"], "model.json"}
    for name, entry in card["files"].items():
        assert entry == {"size": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)}
    assert all(0 <= graph["largest_difference"] <= graph["bound"] for graph in card["graphs"].values())


def test_weights_outside_are_written_once(sam: PSPAgingModel, folder: Path, tmp_path: Path) -> None:
    outside = export(sam, tmp_path / "out", external=True)
    inside = sum((folder / f"{name}.onnx").stat().st_size for name in ("encoder", "generator"))
    assert inside / 2 < (outside / "weights.data").stat().st_size < inside
    assert (outside / "whole.onnx").stat().st_size < (folder / "whole.onnx").stat().st_size / 2
    close_to(sam, load_aging_model(outside / "model.json"), 3, 2)


def test_half_precision(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = PSPAgingModel(tiny_psp(seed=1))
    half = export(model, tmp_path / "half", "encoder", "generator", precision="float16")
    model.compute_in(torch.float32)
    for name in ("encoder.onnx", "generator.onnx"):
        assert (half / name).stat().st_size < 0.8 * (folder / name).stat().st_size
    exported = load_aging_model(half, mixed_precision="bf16")
    assert "exported to compute in float16; --mixed_precision has no effect" in capsys.readouterr().err
    images = torch.rand(2, 3, 32, 32)
    found, exact = exported.age_path(images, [10, 80]), model.age_path(images, [10, 80])
    assert found.dtype == torch.float32 and not torch.equal(found, exact)
    assert float((found - exact).abs().max() / exact.abs().max()) < exporting.BOUNDS["float16"]


def test_one_that_differs_too_much_is_not_kept(
    sam: PSPAgingModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(exporting.BOUNDS, "float32", 1e-12)
    with pytest.raises(InputError, match=r"encoder.onnx differs from the model by .*nothing was written"):
        export(sam, tmp_path / "out", "encoder")
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- other methods


def personal() -> AgingModel:
    return PersonalizedModel(tiny_psp(seed=2, blender=ADAPTER))


def directed(space: str) -> Callable[[], AgingModel]:
    return lambda: load_directed(directed_checkpoint(space), "toy", torch.float32)


def reaging(masked: bool) -> Callable[[], AgingModel]:
    return lambda: load_reaging_gan(reaging_content(masked=masked), "toy", torch.float32)


def tint() -> AgingModel:
    return TintModel(torch.tensor([1.0, -1.0, 0.5]))


@pytest.mark.parametrize(
    ("make", "parts", "interface"),
    [
        (personal, ("encoder", "generator"), HasAdapter),
        (directed("z"), ("encoder", "generator"), LatentModel),
        (directed("w+"), ("encoder", "generator"), LatentModel),
        (reaging(True), ("whole",), KeepsBackground),
        (reaging(False), ("whole",), AgingModel),
        (tint, ("whole",), AgingModel),
    ],
    ids=["mytimemachine", "directed z", "directed w+", "reaging", "reaging everywhere", "a toy"],
)
def test_every_method(make: Any, parts: tuple[str, ...], interface: type, tmp_path: Path) -> None:
    model = make()
    exported = load_aging_model(export(model, tmp_path / "out", *parts))
    assert isinstance(exported, interface)
    for batch in (1, 3, 5):
        close_to(model, exported, batch, 2)


def test_an_exported_adapter_stays(tmp_path: Path) -> None:
    exported = load_aging_model(export(personal(), tmp_path / "out", "encoder", "generator"))
    assert isinstance(exported, HasAdapter)
    with pytest.raises(InputError, match="cannot be without the adapter that it was exported with"):
        exported.switch_off_adapter()


# ---------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy(tmp_path_factory.mktemp("files") / "sam.pt", toy(3))


def test_the_command_writes_one_graph(checkpoint: Path, tmp_path: Path) -> None:
    flags = (f"--checkpoint_path={checkpoint}", f"--output_dir={tmp_path / 'out'}", "--parts=encoder,whole")
    first = run("export_onnx", *flags[:2], "--parts=generator")
    assert first.returncode == 0, first.stderr
    assert "generator: largest difference" in first.stdout and "licence: not known" in first.stdout
    card = json.loads((tmp_path / "out" / "model.json").read_text())
    assert card["source"] == {
        "file": "sam.pt",
        "size": checkpoint.stat().st_size,
        "sha256": sha256_of(checkpoint),
    }
    assert card["opset"] == 18 and card["versions"]["torch"] == torch.__version__
    again = run("export_onnx", *flags)
    assert again.returncode == 2 and "holds an exported model; name another folder or add" in again.stderr
    (tmp_path / "out" / "mine.pt").write_text("precious")
    foreign = run("export_onnx", *flags, "--overwrite")
    assert foreign.returncode == 2 and "holds mine.pt, no part of an exported model" in foreign.stderr
    (tmp_path / "out" / "mine.pt").unlink()
    replaced = run("export_onnx", *flags[:2], "--overwrite", "--parts=encoder")
    assert replaced.returncode == 0, replaced.stderr
    assert sorted(path.name for path in tmp_path.glob("*/*")) == ["encoder.onnx", "model.json"]
    twice = run("export_onnx", f"--checkpoint_path={tmp_path / 'out'}", f"--output_dir={tmp_path / 'two'}")
    assert twice.returncode == 2 and "lists no generator.onnx" in twice.stderr


def test_what_cannot_be_exported_is_one_sentence(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age = save_checkpoint(network_file("age_classifier", SMALL_VGG), tmp_path / "age.pt")
    reaging_file = save_checkpoint(reaging_content(), tmp_path / "reaging.pt")
    for source, more, sentence in (
        (age, [], "age.pt is an age classifier, not an ageing model"),
        (tmp_path / "gone.pt", [], "no such checkpoint"),
        (folder, [], "the model is exported already"),
        (reaging_file, ["--parts=encoder"], "--parts=encoder: this model has whole"),
        (reaging_file, ["--parts=middle"], "'middle' is unknown; choose among encoder, generator, whole"),
    ):
        result = run("export_onnx", f"--checkpoint_path={source}", f"--output_dir={tmp_path / 'out'}", *more)
        assert result.returncode == 2 and sentence in result.stderr, result.stderr
    monkeypatch.setattr("models.exported.export.can_export", lambda: False)
    result = run("export_onnx", f"--checkpoint_path={reaging_file}", f"--output_dir={tmp_path / 'out'}")
    assert result.returncode == 2 and "exporting needs PyTorch 2.7 or newer" in result.stderr
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    result = run("export_onnx", f"--checkpoint_path={reaging_file}", f"--output_dir={tmp_path / 'out'}")
    assert result.returncode == 2 and "need the Python package onnxscript" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_official_sam_at_1024_pixels(tmp_path: Path) -> None:
    checkpoint = official_sam(tmp_path / "sam_ffhq_aging.pt")
    flags = (
        f"--checkpoint_path={checkpoint}",
        f"--output_dir={tmp_path / 'out'}",
        "--parts=encoder,generator",
    )
    result = run("export_onnx", *flags)
    assert result.returncode == 0, result.stderr
    assert "weights.data" in load_checkpoint(tmp_path / "out")["files"]
    image = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
    expected = load_aging_model(checkpoint).age_path(image, [10, 80])
    found = load_aging_model(tmp_path / "out").age_path(image, [10, 80])
    assert float((found - expected).abs().max() / expected.abs().max()) < exporting.BOUNDS["float32"]
