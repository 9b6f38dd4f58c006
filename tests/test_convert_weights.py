"""scripts/convert_weights.py and the official layouts: both directions, its checks, its refusals."""

import sys
from pathlib import Path
from typing import Any

import nvidia_toys
import pytest
import torch
from PIL import Image
from toy_networks import INVERTER, TAPERED_GENERATOR, stylegan2_checkpoint, tiny_psp

import parity
from models import conversion
from models.auxiliary import OFFICIAL_IDENTITY, load_identity, network_checkpoint
from models.blender import BlenderConfig
from models.dex_vgg import VGG, file_keys, official_keys
from models.encoders.model_irse import Backbone
from models.kinds import official_content
from models.psp import pSp
from models.psp_files import load_psp, psp_checkpoint
from models.stylegan2.model import StyleGAN2Config
from models.stylegan2.nvidia import to_nvidia
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint, save_checkpoint

sys.path.append(str(Path(__file__).resolve().parents[1] / "scripts"))
import convert_weights


@pytest.mark.parametrize("c_dim", [0, 3])
def test_pickle_to_rosinality_and_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], c_dim: int
) -> None:
    ours = stylegan2_checkpoint(c_dim)
    theirs = to_nvidia(ours, "ours.pt")
    networks = {name: nvidia_toys.module(state, name) for name, state in theirs.items()}
    pickled = nvidia_toys.write_pickle(tmp_path / "network.pkl", **networks)
    official, picture = tmp_path / "stylegan2.pt", tmp_path / "samples.png"
    convert_weights.main([str(pickled), str(official), f"--samples={picture}"])
    content = torch.load(official, weights_only=True)
    assert set(content) == {"g_ema", "g", "d", "latent_avg"}
    for entry in ("g_ema", "g", "d"):
        assert content[entry].keys() == ours[entry].keys()
        assert all(torch.equal(value, ours[entry][key]) for key, value in content[entry].items())
    with Image.open(picture) as sheet:
        assert sheet.width >= 4 * TAPERED_GENERATOR.size and sheet.getextrema()[0][1] > 0
    back = tmp_path / "nvidia.safetensors"
    convert_weights.main([str(official), str(back), "--to=nvidia"])
    found = load_checkpoint(back)
    for name, state in theirs.items():
        assert all(torch.equal(found[name][key], v) for key, v in state.items())
    assert capsys.readouterr().out.count("converted back: ") == 2


def test_pickle_of_one_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = stylegan2_checkpoint()
    network = nvidia_toys.module(to_nvidia(ours, "ours.pt")["G_ema"], "Generator")
    pickled = nvidia_toys.write_bare_pickle(tmp_path / "network.pkl", network)
    convert_weights.main([str(pickled), str(tmp_path / "ours.pt")])
    content = load_checkpoint(tmp_path / "ours.pt")
    assert all(torch.equal(value, ours["g_ema"][key]) for key, value in content["g_ema"].items())
    convert_weights.main([str(pickled), str(tmp_path / "theirs.pt"), "--to=nvidia"])
    assert set(load_checkpoint(tmp_path / "theirs.pt")) == {"G_ema"}
    assert capsys.readouterr().out.count("converted back: ") == 1


def test_command_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    path = save_checkpoint(stylegan2_checkpoint(), tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"\.pkl cannot be written"):
        convert_weights.main([str(path), str(tmp_path / "b.pkl"), "--to=nvidia"])
    with pytest.raises(InputError, match="add --overwrite"):
        convert_weights.main([str(path), str(path)])
    other = save_checkpoint({"fc.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(InputError, match="no official file of that kind"):
        convert_weights.main([str(other), str(tmp_path / "b.pt")])
    weights = {f"{part}.weight": torch.zeros(1) for part in ("conv2d_1a", "block8")}
    identity = save_checkpoint(weights, tmp_path / "identity.pt")
    with pytest.raises(InputError, match="--samples is for StyleGAN2 files; .*identity.pt is a face recog"):
        convert_weights.main([str(identity), str(tmp_path / "b.pt"), "--samples=a.png"])
    assert not (tmp_path / "b.pt").exists()


def test_failed_check_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, target = save_checkpoint(stylegan2_checkpoint(), tmp_path / "a.pt"), tmp_path / "b.pt"

    def wrong(content: Any, target: Path) -> Path:
        content["latent_avg"] = content["latent_avg"] + 0
        changed = {**content, "latent_avg": content["latent_avg"] + 1e-3}
        return save_checkpoint(changed, target)

    monkeypatch.setattr(conversion, "save_checkpoint", wrong)
    with pytest.raises(InputError, match="latent_avg did not survive"):
        convert_weights.main([str(path), str(target)])
    assert [file.name for file in tmp_path.iterdir()] == ["a.pt"]
    target.write_bytes(b"an older conversion")
    with pytest.raises(InputError, match="latent_avg did not survive"):
        convert_weights.main([str(path), str(target), "--overwrite"])
    assert target.read_bytes() == b"an older conversion"


# ---------------------------------------------------------------- the official files


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("kind", ["sam", "psp", "mytimemachine"])
def test_psp_family_keeps_weights_and_entries(tmp_path: Path, kind: str, suffix: str) -> None:
    model = tiny_psp(**{"sam": {}, "psp": INVERTER, "mytimemachine": {"blender": BlenderConfig()}}[kind])
    path = save_checkpoint(psp_checkpoint(model, {"learning_rate": 1e-4}, half=True), tmp_path / "ours.pt")
    convert_weights.main([str(path), str(tmp_path / f"official{suffix}")])
    content = load_checkpoint(tmp_path / f"official{suffix}")
    assert set(content) == {"state_dict", "opts", "latent_avg"}
    assert {value.dtype for value in content["state_dict"].values()} == {torch.float32, torch.int64}
    assert load_psp(content, "official").kind == kind
    assert content["opts"]["learning_rate"] == 1e-4 and "architecture" in content["opts"]


def test_architecture_is_written_only_where_the_official_code_cannot_tell() -> None:
    model = parity.quick(pSp, StyleGAN2Config(size=64))
    for value in model.state_dict().values():
        value.zero_()
    content = psp_checkpoint(model)
    told = official_content(content, "sam.pt")["opts"]
    assert told == {key: value for key, value in content["opts"].items() if key != "architecture"}
    content["opts"]["architecture"]["crop"] = "tight"
    assert official_content(content, "sam.pt")["opts"] == content["opts"]
    small = psp_checkpoint(tiny_psp())
    assert official_content(small, "small.pt")["opts"] == small["opts"]


def test_age_classifier_gets_the_official_names() -> None:
    with torch.device("meta"):
        ours = VGG().state_dict()
    renamed = file_keys(ours)
    parity.check_layout(renamed, "dex_age_classifier", "state_dict_in_file")
    assert official_keys(renamed).keys() == ours.keys()


def test_identity_network_becomes_a_bare_state_dict(tmp_path: Path) -> None:
    network = Backbone(112, 50, "ir_se")
    content = network_checkpoint("identity", OFFICIAL_IDENTITY, network, opts={"seed": 1})
    path = save_checkpoint(content, tmp_path / "identity.pt")
    convert_weights.main([str(path), str(tmp_path / "model_ir_se50.pth")])
    state = torch.load(tmp_path / "model_ir_se50.pth", weights_only=True)
    parity.check_layout(state, "model_ir_se50")
    loaded = load_identity(tmp_path / "model_ir_se50.pth")
    assert torch.equal(loaded.network.output_layer[3].weight, network.output_layer[3].weight)


def test_network_of_other_sizes_has_no_official_file() -> None:
    architecture = {**OFFICIAL_IDENTITY, "units": [1, 1, 1, 1], "channels": [8, 8, 8, 8, 8]}
    network = Backbone(112, 50, "ir_se", units=[1, 1, 1, 1], channels=[8] * 5)
    content = network_checkpoint("identity", architecture, network)
    with pytest.raises(InputError, match="no official file .*it has 4 residual units, the network has 24"):
        official_content(content, "identity.pt")
