"""Sound weight files of every make: told by content, brought into one form, and the same bit for bit."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toy_networks import SMALL_FACE, SMALL_VGG, network_file, stylegan2_checkpoint, tiny_psp

from configs.weights import Weight
from models.aging_model import load_aging_model
from models.auxiliary import load_age_classifier, load_identity
from models.kinds import checkpoint_kind
from models.psp_files import psp_checkpoint
from models.stylegan2.files import load_converted
from models.weights_folder import OFFICIAL
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint, save_checkpoint
from utils.files.download import sha256_of

DEMO = Path(__file__).resolve().parents[1] / "pretrained_models" / "demo"
State = dict[str, Tensor]


def equal(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor):
        return isinstance(second, Tensor) and first.dtype == second.dtype and torch.equal(first, second)
    if isinstance(first, dict):
        return list(first) == list(second) and all(equal(first[key], second[key]) for key in first)
    return first == second


@pytest.mark.parametrize("file", sorted(DEMO.glob("*.pt")), ids=lambda file: file.stem)
def test_bundled_files_load_as_torch_reads_them(file: Path) -> None:
    assert equal(torch.load(file, weights_only=True, map_location="cpu"), load_checkpoint(file))


# ---------------------------------------------------------------- formats and suffixes


@pytest.mark.parametrize(
    "name", ["a.pt", "a.PT", "a.bin", "a.ckpt", "a.safetensors", "a.SafeTensors", "a", "a.pkl"]
)
@pytest.mark.parametrize("format_", [".pt", ".safetensors", ".old"])
def test_the_content_tells_the_format(tmp_path: Path, name: str, format_: str) -> None:
    content = {"state_dict": {"w": torch.arange(5.0)}, "opts": {"size": 3}}
    if format_ == ".old":
        torch.save(content, tmp_path / "written.old", _use_new_zipfile_serialization=False)
    else:
        save_checkpoint(content, tmp_path / f"written{format_}")
    shutil.move(tmp_path / f"written{format_}", tmp_path / name)
    assert equal(load_checkpoint(tmp_path / name), content)


@pytest.mark.parametrize("suffix", [".safetensors", ".SAFETENSORS", ".pt", ".PT", ".pth"])
def test_saving_follows_the_suffix(tmp_path: Path, suffix: str) -> None:
    path = save_checkpoint({"state_dict": {"w": torch.ones(2)}}, tmp_path / f"a{suffix}")
    assert path.read_bytes().startswith(b"PK") == (suffix.lower() != ".safetensors")


def test_safetensors_of_other_programs_need_no_digest(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"model.w": torch.ones(2)}, tmp_path / "plain.safetensors")
    assert list(load_checkpoint(tmp_path / "plain.safetensors")["state_dict"]) == ["model.w"]
    save_file({"w": torch.ones(2)}, tmp_path / "plain.safetensors", {"format": "pt"})
    assert load_checkpoint(tmp_path / "plain.safetensors")["state_dict"]["w"].tolist() == [1, 1]


@pytest.mark.skipif(os.name != "posix", reason="names that are not UTF-8")
@pytest.mark.parametrize("suffix", [b".pt", b".safetensors"])
def test_names_that_are_no_text(tmp_path: Path, suffix: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/gr\xf6\xdfe" + suffix))
    save_checkpoint({"state_dict": {"w": torch.ones(2)}}, path)
    assert load_checkpoint(path)["state_dict"]["w"].tolist() == [1, 1]


@pytest.mark.parametrize("zipped", [True, False])
def test_shared_sliced_and_empty_tensors(tmp_path: Path, zipped: bool) -> None:
    whole = torch.arange(24.0).view(4, 6)
    state = {
        "rows": whole[1:3],
        "columns": whole[:, ::2],
        "turned": whole.t(),
        "tied": whole,
        "empty": torch.zeros(0, 3),
        "one": torch.tensor(7),
        "half": whole.half(),
        "brain": whole.bfloat16(),
        "repeated": torch.ones(1).expand(5),
        "flags": whole > 3,
    }
    parameter = nn.Parameter(whole)
    content = {"state_dict": {**state, "parameter": parameter}, "opts": {"device": torch.device("cpu")}}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    loaded = load_checkpoint(tmp_path / "a.pt")
    assert equal(loaded["state_dict"], {**state, "parameter": whole})
    assert loaded["opts"] == content["opts"]


# ---------------------------------------------------------------- what wrappers add to names


def prefixed(prefix: str) -> Callable[[State], State]:
    return lambda state: {prefix + key: value for key, value in state.items()}


def inside(segment: str, after: int) -> Callable[[State], State]:
    def change(state: State) -> State:
        changed = {}
        for key, value in state.items():
            parts = key.split(".")
            at = min(after, len(parts) - 1)
            changed[".".join([*parts[:at], segment, *parts[at:]])] = value
        return changed

    return change


WRAPPINGS = {
    "module": prefixed("module."),
    "compiled": prefixed("_orig_mod."),
    "both": prefixed("module._orig_mod."),
    "the other way": prefixed("_orig_mod.module."),
    "twice": prefixed("module.module."),
    "part": inside("_orig_mod", 1),
    "parallel part": inside("module", 1),
    "deep": inside("_orig_mod", 2),
}


def wrapped(content: dict[str, Any], change: Callable[[State], State]) -> dict[str, Any]:
    names = ("state_dict", "g_ema", "g", "d")
    return {key: change(value) if key in names else value for key, value in content.items()}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_wrappers_of_every_kind_of_file(tmp_path: Path, wrapping: str) -> None:
    change = WRAPPINGS[wrapping]
    cases: dict[str, tuple[dict[str, Any], Callable[[Path], Any]]] = {
        "sam": (psp_checkpoint(tiny_psp(seed=0)), lambda path: load_aging_model(path).state_dict()),
        "age": (
            network_file("age_classifier", SMALL_VGG),
            lambda path: load_age_classifier(path).state_dict(),
        ),
        "face": (network_file("identity", SMALL_FACE), lambda path: load_identity(path).state_dict()),
        "gan": (stylegan2_checkpoint(), lambda path: load_converted(path)["g_ema"]),
    }
    for name, (content, load) in cases.items():
        plain, odd = tmp_path / f"{name}.pt", tmp_path / f"{name}_odd.pt"
        torch.save(content, plain)
        torch.save(wrapped(content, change), odd)
        assert checkpoint_kind(load_checkpoint(odd)) == checkpoint_kind(load_checkpoint(plain))
        first, second = load(plain), load(odd)
        assert all(torch.equal(value, second[key]) for key, value in first.items()), name


def test_wrappers_in_bare_state_dicts(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    torch.save(prefixed("_orig_mod.")(nn.DataParallel(network).state_dict()), tmp_path / "bare.pt")
    assert list(load_checkpoint(tmp_path / "bare.pt")["state_dict"]) == list(network.state_dict())


def test_a_layer_with_and_without_a_wrapper_is_refused(tmp_path: Path) -> None:
    torch.save({"w.a": torch.ones(1), "module.w.a": torch.zeros(1)}, tmp_path / "both.pt")
    with pytest.raises(InputError, match=r"both\.pt holds w\.a twice"):
        load_checkpoint(tmp_path / "both.pt")


def test_states_of_a_training_keep_their_names(tmp_path: Path) -> None:
    """There the names are those of the very objects that take them back."""
    content = {"networks": {"net": {"module.w": torch.ones(1)}}, "optimizers": {}, "step": 1}
    path = save_checkpoint(content, tmp_path / "resume_state.pt")
    assert list(load_checkpoint(path)["networks"]["net"]) == ["module.w"]


@pytest.mark.parametrize("entry", ["model", "model_state_dict", "net", "weights"])
def test_files_of_other_training_programs(tmp_path: Path, entry: str) -> None:
    state = network_file("identity", SMALL_FACE)["state_dict"]
    content = {
        entry: state,
        "epoch": 3,
        "optimizer": {"state": {0: {"m": torch.ones(1)}}, "param_groups": []},
    }
    torch.save(content, tmp_path / "other.pt")
    assert checkpoint_kind(load_checkpoint(tmp_path / "other.pt")) == "identity"


def test_files_of_lightning(tmp_path: Path) -> None:
    state = {f"model.{key}": value for key, value in stylegan2_checkpoint()["g_ema"].items()}
    torch.save(
        {"state_dict": state, "pytorch-lightning_version": "2.1", "epoch": 1}, tmp_path / "epoch=1.ckpt"
    )
    assert checkpoint_kind(load_checkpoint(tmp_path / "epoch=1.ckpt")) == "stylegan2"
    torch.save(
        {"state_dict": state, "epoch": 1}, tmp_path / "other.ckpt"
    )  # RRDBNet has such names of its own
    assert list(load_checkpoint(tmp_path / "other.ckpt")["state_dict"]) == list(state)


@pytest.mark.parametrize("load", [load_identity, load_converted])
def test_published_files_without_a_checksum_inside_are_compared_with_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, load: Callable[[Path], Any]
) -> None:
    content = network_file("identity", SMALL_FACE)
    path = tmp_path / "face.pth"
    torch.save(content, path, _use_new_zipfile_serialization=False)
    weight = Weight("pretrained_models/face.pth", "", "", 32, "", 1, path.stat().st_size, sha256_of(path))
    monkeypatch.setitem(OFFICIAL, "face", weight)
    load(path)
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"face\.pth is damaged or is not the published file.*SHA-256"):
        load(path)
    load(path.rename(tmp_path / "own.pth"))
