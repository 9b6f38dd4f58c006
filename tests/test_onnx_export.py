"""Models as ONNX graphs: the same numbers for any batch, whatever the method is, and a true card."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from commands import run
from inference_toys import official_sam, toy
from toy_aging import TintModel, write_tint
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
from models.exported import export
from models.exported.card import ExportedModel
from models.exported.export import BOUNDS, ExportSettings, export_model
from models.exported.graphs import graph_of, write_graphs
from models.exported.parts import description_of, example_inputs, functions_of
from models.exported.session import Session
from models.kinds import KINDS, Kind
from models.psp_aging import PersonalizedModel, PSPAgingModel
from models.reaging_gan.aging import load_reaging_gan
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint, save_checkpoint
from utils.files.download import sha256_of

TRACED = {"batch": 2, "ages": 3, "count": 5}
CPU = torch.device("cpu")


def differences(model: AgingModel, session: Session, name: str) -> list[float]:
    """Of a graph from the model, for one, three and five faces; by the largest number."""
    found = []
    for batch, ages in ((1, 1), (3, 2), (5, 1)):
        inputs = example_inputs(
            model, session.signature.inputs, {"batch": batch, "ages": ages, "count": batch}, seed=9
        )
        wanted = functions_of(model)[name](*inputs.values())
        found.append(float((session(inputs) - wanted).abs().max() / wanted.abs().max().clamp(min=1)))
    return found


def session_of(model: AgingModel, name: str, folder: Path, precision: str = "float32") -> Session:
    """One graph of a model, written and opened."""
    signature = description_of(model, precision).signatures()[name]
    example = example_inputs(model, signature.inputs, TRACED)
    model.compute_in(getattr(torch, precision))
    graph = graph_of(functions_of(model)[name], model, signature, example)
    model.compute_in(torch.float32)
    write_graphs({name: graph}, folder, external=False)
    return Session(folder / f"{name}.onnx", signature, CPU)


# ---------------------------------------------------------------- SAM: three graphs


@pytest.mark.parametrize("name", ["encoder", "generator", "whole"])
def test_the_batch_is_free(exported_sam: SimpleNamespace, name: str) -> None:
    signature = ExportedModel.from_card(load_checkpoint(exported_sam.folder), "it").signatures()[name]
    session = Session(exported_sam.folder / f"{name}.onnx", signature, CPU)
    assert max(differences(PSPAgingModel(toy(3)), session, name)) < 1e-4


def test_a_folder_ages_faces_like_its_checkpoint(exported_sam: SimpleNamespace) -> None:
    model, exported = load_aging_model(exported_sam.checkpoint), load_aging_model(exported_sam.folder)
    assert isinstance(exported, LatentModel) and not isinstance(exported, HasAdapter)
    sizes = (exported.kind, exported.input_size, exported.output_size, exported.crop)
    assert sizes == ("onnx", 64, 32, "tight")
    images = torch.rand(2, 3, 80, 80) * 2 - 1  # of another size
    for ages in (30, [10, 50.5, 90], torch.tensor([[20.0, 80.0], [5.0, 5.0]])):
        torch.testing.assert_close(
            exported.age_path(images, ages), model.age_path(images, ages), atol=1e-4, rtol=0
        )
    assert torch.equal(
        exported.transform(images, 40), load_aging_model(exported_sam.folder).transform(images, 40)
    )


def test_operators_are_native_and_constants_folded(exported_sam: SimpleNamespace) -> None:
    for path in exported_sam.folder.glob("*.onnx"):
        graph = onnx.load(path)
        onnx.checker.check_model(graph)
        assert {entry.domain for entry in graph.opset_import} == {""} and not graph.functions
        known = {tensor.name for tensor in graph.graph.initializer}
        assert not [node.name for node in graph.graph.node if set(node.input) <= known]


def test_weights_outside_are_written_once(exported_sam: SimpleNamespace) -> None:
    sizes: dict[str, int] = {}
    for path in exported_sam.folder.glob("*.onnx"):
        model = onnx.load(path, load_external_data=False)
        places = [
            {entry.key: entry.value for entry in tensor.external_data} for tensor in model.graph.initializer
        ]
        assert {place["location"] for place in places if place} == {"weights.data"}
        sizes[path.stem] = sum(int(place["length"]) for place in places if place)
    written = (exported_sam.folder / "weights.data").stat().st_size
    assert sizes["whole"] <= written <= sizes["encoder"] + sizes["generator"] < sum(sizes.values())


def test_the_card_says_what_it_is(exported_sam: SimpleNamespace) -> None:
    folder, checkpoint = exported_sam.folder, exported_sam.checkpoint
    card = load_checkpoint(folder)
    assert card == load_checkpoint(folder / "model.json")
    assert card["model"] == {
        "method": "sam",
        "input_size": 64,
        "output_size": 32,
        "crop": "tight",
        "fine_tuned": False,
        "n_styles": 8,
        "style_dim": 12,
        "masked": False,
        "adapter": False,
        "precision": "float32",
    }
    source = {"file": "sam.pt", "size": checkpoint.stat().st_size, "sha256": sha256_of(checkpoint)}
    assert card["source"] == source and card["licence"].startswith("not known")
    assert card["graphs"]["encoder"]["inputs"] == {"images": ["batch", 3, 64, 64], "ages": ["batch", "ages"]}
    assert card["graphs"]["generator"]["output"] == {"pictures": ["count", 3, 32, 32]}
    assert card["ages"] == [0, 100] and "[-1, 1]" in card["normalisation"]
    assert card["opset"] == 18 and card["versions"]["torch"] == torch.__version__
    assert {path.name for path in folder.iterdir()} == {*card["files"], "model.json"}
    for name, entry in card["files"].items():
        assert entry == {"size": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)}
    for name, graph in card["graphs"].items():
        assert 0 <= graph["largest_difference"] <= graph["bound"] == BOUNDS["float32"]
        assert (
            f"{name}: largest difference {graph['largest_difference']:.2g}, bound 0.001"
            in exported_sam.printed
        )


# ---------------------------------------------------------------- other methods, half precision


def personal() -> AgingModel:
    return PersonalizedModel(tiny_psp(seed=2, blender=ADAPTER))


def directed(space: str) -> Callable[[], AgingModel]:
    return lambda: load_directed(directed_checkpoint(space), "toy", torch.float32)


def reaging(masked: bool) -> Callable[[], AgingModel]:
    return lambda: load_reaging_gan(reaging_content(masked=masked), "toy", torch.float32)


def tint() -> AgingModel:
    return TintModel(torch.tensor([1.0, -1.0, 0.5]))


@pytest.mark.parametrize(
    ("make", "name"),
    [
        pytest.param(personal, "encoder", marks=pytest.mark.slow),
        pytest.param(directed("w+"), "encoder", marks=pytest.mark.slow),
        pytest.param(directed("z"), "encoder", marks=pytest.mark.slow),
        pytest.param(directed("w"), "whole", marks=pytest.mark.slow),
        pytest.param(reaging(True), "whole", marks=pytest.mark.slow),
        pytest.param(reaging(False), "whole", marks=pytest.mark.slow),
        (tint, "whole"),
    ],
    ids=[
        "mytimemachine",
        "directed w+",
        "directed z",
        "directed w",
        "reaging",
        "reaging everywhere",
        "a toy",
    ],
)
def test_every_method(make: Callable[[], AgingModel], name: str, tmp_path: Path) -> None:
    model = make()
    assert max(differences(model, session_of(model, name, tmp_path), name)) < 1e-4


@pytest.mark.parametrize(
    ("make", "name"),
    [
        pytest.param(lambda: PSPAgingModel(toy(3)), "generator", marks=pytest.mark.slow),
        pytest.param(personal, "encoder", marks=pytest.mark.slow),
        pytest.param(directed("w+"), "encoder", marks=pytest.mark.slow),
        pytest.param(reaging(True), "whole", marks=pytest.mark.slow),
    ],
    ids=["sam generator", "mytimemachine", "directed", "reaging"],
)
def test_half_precision(make: Callable[[], AgingModel], name: str, tmp_path: Path) -> None:
    model = make()
    session = session_of(model, name, tmp_path, "float16")
    assert 1e-6 < max(differences(model, session, name)) < 0.01
    graph = onnx.load(session.path).graph
    sizes = {kind: 0 for kind in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)}
    for tensor in graph.initializer:
        if len(tensor.dims) == 4 and tensor.data_type in sizes:
            sizes[tensor.data_type] += 1
    assert sizes[onnx.TensorProto.FLOAT16] > sizes[onnx.TensorProto.FLOAT]


def test_a_model_that_keeps_the_background_gets_its_masks(tmp_path: Path) -> None:
    model = reaging(True)()
    export_model(model, tmp_path / "out", ExportSettings(("whole",)))
    exported = load_aging_model(tmp_path / "out")
    assert isinstance(exported, KeepsBackground)
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    found = exported.age_path(images, [10, 70])
    torch.testing.assert_close(found, model.age_path(images, [10, 70]), atol=1e-4, rtol=0)
    beside = (exported.face_masks(images) == 0)[:, None].expand_as(found)
    assert beside.any() and torch.equal(found[beside], images[:, None].expand_as(found)[beside])


def test_a_gaussian_process_is_exported(tmp_path: Path) -> None:
    pytest.importorskip("gpytorch")
    from models.blender import BlenderConfig

    network = tiny_psp(seed=2, blender=BlenderConfig(type="gaussian_process", ages=3))
    torch.nn.init.normal_(network.blender.whitened)
    model = PersonalizedModel(network)
    assert max(differences(model, session_of(model, "encoder", tmp_path), "encoder")) < 1e-4


# ---------------------------------------------------------------- the command


@pytest.fixture
def tint_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setitem(KINDS, "tint", Kind("a tinting model", loads="toy_aging:load_tint"))
    return write_tint(tmp_path / "tint.pt")


def test_a_folder_is_replaced_only_where_that_is_asked_for(tint_file: Path, tmp_path: Path) -> None:
    flags = (f"--checkpoint_path={tint_file}", f"--output_dir={tmp_path / 'out'}")
    assert run("export_onnx", *flags).returncode == 0
    before = (tmp_path / "out" / "model.json").read_bytes()
    again = run("export_onnx", *flags)
    assert again.returncode == 2 and "holds an exported model; name another folder or add" in again.stderr
    (tmp_path / "out" / "mine.pt").write_text("precious")
    foreign = run("export_onnx", *flags, "--overwrite")
    assert foreign.returncode == 2 and "holds mine.pt, no part of an exported model" in foreign.stderr
    assert (tmp_path / "out" / "model.json").read_bytes() == before
    (tmp_path / "out" / "mine.pt").unlink()
    replaced = run("export_onnx", *flags, "--overwrite", "--external_data")
    assert replaced.returncode == 0, replaced.stderr
    assert sorted(path.name for path in tmp_path.glob("out/*")) == [
        "model.json",
        "weights.data",
        "whole.onnx",
    ]
    assert json.loads((tmp_path / "out" / "model.json").read_text())["model"]["method"] == "tint"


def test_one_that_differs_too_much_is_not_kept(
    tint_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BOUNDS, "float32", -1.0)
    result = run("export_onnx", f"--checkpoint_path={tint_file}", f"--output_dir={tmp_path / 'new' / 'out'}")
    assert result.returncode == 2 and "whole.onnx differs from the model by" in result.stderr
    assert not list((tmp_path / "new").iterdir())


def test_what_cannot_be_exported_is_one_sentence(
    exported_sam: SimpleNamespace, tint_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age = save_checkpoint(network_file("age_classifier", SMALL_VGG), tmp_path / "age.pt")

    def refused(source: Path, *flags: str) -> str:
        result = run("export_onnx", f"--checkpoint_path={source}", f"--output_dir={tmp_path / 'out'}", *flags)
        assert result.returncode == 2 and not (tmp_path / "out").exists()
        return result.stderr

    assert "age.pt is an age classifier, not an ageing model" in refused(age)
    assert "no such checkpoint" in refused(tmp_path / "gone.pt")
    assert "the model is exported already" in refused(exported_sam.folder)
    assert "--parts=encoder: this model has whole" in refused(tint_file, "--parts=encoder")
    assert "'middle' is unknown; choose among encoder, generator, whole" in refused(
        tint_file, "--parts=middle"
    )
    with monkeypatch.context() as patch:
        patch.setattr(TintModel, "age_path", lambda self, images, ages: images[: int(ages.sum()), None])
        assert "the whole cannot be exported: " in refused(tint_file)
    with monkeypatch.context() as patch:
        patch.setattr(export, "can_export", lambda: False)
        assert "exporting needs PyTorch 2.7 or newer" in refused(tint_file)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert "need the Python package onnxscript" in refused(tint_file)


def test_output_dir_must_be_a_folder(tint_file: Path) -> None:
    result = run("export_onnx", f"--checkpoint_path={tint_file}", f"--output_dir={tint_file}")
    assert result.returncode == 2 and f"--output_dir={tint_file} is a file" in result.stderr
    with pytest.raises(InputError, match="another version of AgeLab"):
        ExportedModel.from_card({"layout": 99}, "it")


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
    assert float((found - expected).abs().max() / expected.abs().max()) < BOUNDS["float32"]
