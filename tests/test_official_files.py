"""Files laid out as the official ones, at full size: they load, in little memory, and give the numbers."""

import gc
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_networks import INVERTER

import parity
from models.aging_model import load_aging_model
from models.auxiliary import load_age_classifier, load_identity
from models.blender import BlenderConfig
from models.dex_vgg import VGG, file_keys
from models.encoders.model_irse import Backbone
from models.kinds import official_content
from models.psp import append_age, pSp
from models.psp_start import load_generator, load_prior
from models.stylegan2.model import Generator
from utils.files.checkpoints import load_checkpoint, save_checkpoint

ROOT = Path(__file__).resolve().parents[1]


def full_size() -> parity.Entry:
    return parity.first("psp", "x", "latents", "image_full", size=1024)


def write_official(folder: Path, name: str, **arguments: Any) -> Path:
    """Writes a file of the pSp family with the official entries, filled for an entry of ``psp.json``."""
    entry = full_size()
    model = parity.fill(parity.quick(pSp, **arguments).eval(), entry)
    content = {
        "state_dict": model.state_dict(),
        "opts": parity.keys(name)["opts"],
        "latent_avg": parity.tensor(entry["weights"]["latent_avg"]),
    }
    parity.check_layout(content["state_dict"], name)
    assert sorted(content) == sorted(parity.keys(name)["top_level"])
    torch.save(content, folder / f"{name}.pt")
    return folder / f"{name}.pt"


RENDER = """
import sys, torch
sys.path[:0] = [{root!r}, {tests!r}]
import parity
from models.aging_model import load_aging_model
def peak():  # of this process alone, unlike getrusage, which begins with that of the parent
    status = open("/proc/self/status").read()
    return status.split("VmHWM:")[1].split()[0]
torch.set_num_threads(1)
before = peak()
model = load_aging_model({path!r})
loaded = peak()
inputs = parity.inputs(parity.first("psp", "x", "latents", "image_full", size=1024))
image = model.transform(inputs["x"], 100 * inputs["ages"])
torch.save(image, {output!r})
print(before, loaded, peak())
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from /proc")
def test_sam_file_of_full_size(tmp_path: Path) -> None:
    """Loads, renders the golden picture, needs the memory of two copies at most, and is saved as it was."""
    path = write_official(tmp_path, "sam_ffhq_aging")
    gc.collect()
    output = tmp_path / "image.pt"
    code = RENDER.format(root=str(ROOT), tests=str(ROOT / "tests"), path=str(path), output=str(output))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    image = torch.load(output, weights_only=True)
    entry = full_size()
    parity.check(image, entry, "image_full")
    before, loaded, rendered = (1024 * int(number) for number in result.stdout.split()[-3:])
    print(f"GB resident: {before / 1e9:.2f} before, {loaded / 1e9:.2f} loaded, {rendered / 1e9:.2f} rendered")
    # The file is mapped: its pages count as resident while they are copied, and can be dropped at any time.
    assert loaded - before < 2.1 * path.stat().st_size
    assert rendered < 8e9

    content = load_checkpoint(path)
    saved = official_content(content, str(path))
    assert set(saved) == {"state_dict", "opts", "latent_avg"}
    parity.check_layout(saved["state_dict"], "sam_ffhq_aging")
    assert list(saved["state_dict"]) == list(parity.layout("sam_ffhq_aging"))
    assert saved["opts"] == content["opts"]
    for key, value in content["state_dict"].items():
        assert torch.equal(saved["state_dict"][key], value), key


@pytest.mark.slow
def test_personalised_file_of_full_size(tmp_path: Path) -> None:
    path = write_official(tmp_path, "mytimemachine_personalised", blender=BlenderConfig())
    model = load_aging_model(path)
    assert model.kind == "mytimemachine"
    entry = full_size()
    network = model.network
    inputs = parity.inputs(entry)
    with torch.no_grad():
        codes = network.encode(append_age(inputs["x"], 100 * inputs["ages"]))
    parity.check(codes, entry, "latents")  # the global part is that of the SAM file
    personal = model.codes(inputs["x"], 100 * inputs["ages"][:, None])[:, 0]
    assert not torch.allclose(personal, codes, atol=1e-2)
    torch.testing.assert_close(personal, network.blender(codes, inputs["ages"]))
    saved = official_content(load_checkpoint(path), str(path))
    parity.check_layout(saved["state_dict"], "mytimemachine_personalised")


@pytest.mark.slow
def test_psp_file_of_full_size_is_the_prior(tmp_path: Path) -> None:
    path = write_official(tmp_path, "psp_ffhq_encode", **INVERTER)
    content = load_checkpoint(path)
    saved = official_content(content, str(path))
    parity.check_layout(saved["state_dict"], "psp_ffhq_encode")
    assert saved["opts"].items() >= content["opts"].items()
    sam = parity.quick(pSp)
    load_prior(sam, content, str(path))
    state = sam.pretrained_encoder.state_dict()
    assert all(torch.equal(value, content["state_dict"][f"encoder.{key}"]) for key, value in state.items())


@pytest.mark.slow
@pytest.mark.parametrize("zipped", [True, False])
def test_stylegan2_file_of_full_size(tmp_path: Path, zipped: bool) -> None:
    entry = parity.first("stylegan2_generator", "image", "wplus", size=1024)
    generator = parity.fill(parity.quick(Generator, 1024, 512, 8).eval(), entry)
    parity.check_layout(generator.state_dict(), "stylegan2-ffhq-config-f", "g_ema")
    path = tmp_path / "stylegan2-ffhq-config-f.pt"
    content = {"g_ema": generator.state_dict(), "latent_avg": torch.randn(512)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    del generator
    model = parity.quick(pSp, **INVERTER).eval()
    load_generator(model, load_checkpoint(path), str(path))
    inputs = parity.inputs(entry)
    with torch.no_grad():
        image, _ = model.decoder([inputs["wplus"]], input_is_latent=True, randomize_noise=False)
    parity.check(image, entry, "image")
    assert torch.equal(model.latent_avg, content["latent_avg"].expand(18, -1))
    saved = official_content(load_checkpoint(path), str(path))
    assert set(saved) == set(content) and torch.equal(saved["latent_avg"], content["latent_avg"])
    parity.check_layout(saved["g_ema"], "stylegan2-ffhq-config-f", "g_ema")


@pytest.mark.parametrize("zipped", [True, False])
def test_identity_file(tmp_path: Path, zipped: bool) -> None:
    """The released file is of the format before zip archives, without counters of its norms."""
    entry = parity.first("encoders", "embedding")
    network = parity.fill(parity.quick(Backbone, **entry["args"]).eval(), entry)
    parity.check_layout(network.state_dict(), "model_ir_se50")
    state = {key: v for key, v in network.state_dict().items() if zipped or "num_batches" not in key}
    path = tmp_path / "model_ir_se50.pth"
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    loaded = load_identity(path)
    with torch.no_grad():
        parity.check(loaded.network(parity.inputs(entry)["x"]), entry, "embedding")
    parity.check_layout(official_content(load_checkpoint(path), str(path)), "model_ir_se50")


@pytest.mark.slow
def test_age_classifier_file(tmp_path: Path) -> None:
    entry = parity.first("age", "fc8")
    state = parity.fill(parity.quick(VGG).eval(), entry).state_dict()
    path = save_checkpoint({"state_dict": file_keys(state)}, tmp_path / "dex_age_classifier.pth")
    loaded = load_age_classifier(path)
    with torch.no_grad():
        parity.check(loaded.logits(parity.inputs(entry)["x"]), entry, "fc8")
    saved = official_content(load_checkpoint(path), str(path))["state_dict"]
    parity.check_layout(saved, "dex_age_classifier", "state_dict_in_file")
