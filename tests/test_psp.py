"""The whole pSp network against the official layouts and numbers, and its files in both directions."""

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from coach_parity import STARTS
from toy_networks import ADAPTER, INVERTER, SMALL_GENERATOR, TINY_ENCODER, TINY_GENERATOR, tiny_psp

import parity
from models.blender import BlenderConfig
from models.encoders.psp_encoders import EncoderConfig
from models.psp import append_age, pSp
from models.psp_aging import PSPAgingModel
from models.psp_config import PSPConfig, usual_crop
from models.psp_files import load_psp, psp_checkpoint
from models.psp_start import (
    add_blender,
    load_face_network,
    load_generator,
    load_prior,
    start_encoder_from_prior,
)
from models.stylegan2.model import Generator, StyleGAN2Config
from models.stylegan2.styles import mix_styles
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint, save_checkpoint


@functools.lru_cache(maxsize=1)
def official_network(size: int, input_nc: int, seed: int) -> pSp:
    """The network of an entry, that encodes pictures in a row only once."""
    start = {} if input_nc == 4 else INVERTER
    model = parity.quick(pSp, StyleGAN2Config(size=size), **start).eval()
    parity.fill_library.fill_(model.state_dict(), seed)
    for encoder in filter(None, (model.encoder, model.pretrained_encoder)):
        encoder.forward = remembered(encoder.forward)
    return model


def configured(entry: parity.Entry) -> pSp:
    """The network as the flags and the mean latent of an entry have it."""
    args, weights = entry["args"], entry["weights"]
    build = official_network.__wrapped__ if parity.is_large(entry) else official_network
    model = build(args["output_size"], args.get("input_nc", 4), weights["seed"])
    model.set_latent_avg(parity.tensor(weights["latent_avg"]))
    flags = {name: args[name] for name in STARTS if name in args}
    changed = pSp.__new__(pSp)
    changed.__dict__.update(model.__dict__, _modules=dict(model._modules))
    changed.config = replace(model.config, **flags)
    if not changed.config.start_from_encoded_w_plus:
        changed.pretrained_encoder = None
    return changed


def remembered(encode: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Encodes the same pictures once: golden entries in a row often share their photos and ages."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def forward(x: torch.Tensor) -> torch.Tensor:
        if not (seen and torch.equal(seen[-1][0], x)):
            seen[:] = [(x, encode(x))]
        return seen[-1][1]

    return forward


def run_golden(model: pSp, entry: parity.Entry, resize: bool) -> tuple[torch.Tensor, torch.Tensor]:
    inputs, args = parity.inputs(entry), entry["args"]
    x = append_age(inputs["x"], 100 * inputs["ages"]) if "ages" in inputs else inputs["x"]
    to_zero = "no inject_latent" in entry.get("note", "") or "to_zero" in entry["name"]
    return model(
        x,
        resize=resize,
        latent_mask=args.get("latent_mask"),
        inject_latent=None if to_zero or "latent_mask" not in args else inputs.get("inject"),
        alpha=args.get("alpha"),
        randomize_noise=False,
        return_latents=True,
    )


@parity.each("psp", "x")
def test_forward_is_official(entry: parity.Entry) -> None:
    model = configured(entry)
    with torch.no_grad():
        image, latents = run_golden(model, entry, entry["args"]["resize"])
        results = {"image": image, "latents": latents}
        if "image_full" in entry["outputs"]:
            results["image_full"], _ = run_golden(model, entry, resize=False)
    parity.check_all(results, entry, limit=1e-4)


@parity.each("psp", "input_code", "z")
def test_codes_as_input_are_official(entry: parity.Entry) -> None:
    model, inputs = configured(entry), parity.inputs(entry)
    options = {"input_code": True, "resize": False, "randomize_noise": False, "return_latents": True}
    with torch.no_grad():
        image, latents = model(inputs["z"], **options)
        results = {"image": image, "latents": latents}
        if "wplus" in inputs:
            results["image_from_wplus"], _ = model(inputs["wplus"], input_is_full=True, **options)
    parity.check_all(results, entry, limit=1e-4)


def test_layouts_are_official() -> None:
    with torch.device("meta"):
        sam, mtm = pSp(), pSp(blender=BlenderConfig())
        psp = pSp(**INVERTER)
    names = {"sam_ffhq_aging": sam, "mytimemachine_personalised": mtm, "psp_ffhq_encode": psp}
    for name, model in names.items():
        parity.check_layout(model.state_dict(), name)
        assert list(model.state_dict()) == list(parity.layout(name))
    assert (sam.kind, mtm.kind, psp.kind) == ("sam", "mytimemachine", "psp")


@parity.each("small_losses", "target_age")
def test_age_plane_is_official(entry: parity.Entry) -> None:
    """Of whole years, which is all that the official code knows."""
    image = parity.inputs(entry)["x"][None]
    parity.check(append_age(image, float(int(entry["args"]["target_age"])))[0], entry, "y", limit=1e-7)


def test_age_plane_keeps_decimals_and_differs_by_image() -> None:
    x = append_age(torch.zeros(2, 3, 4, 4), torch.tensor([41.5, 7.0]))
    assert x[:, 3, 0, 0].tolist() == pytest.approx([0.415, 0.07])


def test_parts_make_the_whole() -> None:
    model = tiny_psp(blender=ADAPTER)
    images, years = torch.randn(2, 3, 32, 32), torch.tensor([20.0, 70.0])
    x = append_age(images, years)
    image, latents = model(x, resize=False, randomize_noise=False, return_latents=True)
    codes = model.personalize(model.encode(x, model.encode_photo(images)), years)
    torch.testing.assert_close(codes, latents)
    torch.testing.assert_close(model.decode(codes), image)
    assert model.decode(codes, resize=True).shape == (2, 3, 32, 32)


def test_fresh_adapter_changes_nothing() -> None:
    model = tiny_psp()
    x = append_age(torch.randn(2, 3, 32, 32), 30.0)
    before = model(x, randomize_noise=False)
    add_blender(model, BlenderConfig(hidden=8))
    assert torch.equal(model(x, randomize_noise=False), before)
    assert model.kind == "mytimemachine"


def test_prior_is_frozen_unless_asked() -> None:
    model = tiny_psp().train()
    assert model.encoder.training and not model.pretrained_encoder.training
    model(append_age(torch.randn(2, 3, 32, 32), 30.0)).mean().backward()
    assert all(parameter.grad is None for parameter in model.pretrained_encoder.parameters())
    unused = model.encoder.latlayer2  # a generator of 16 pixels has no fine styles
    trained = set(model.encoder.parameters()) - set(unused.parameters())
    assert all(parameter.grad is not None for parameter in trained)
    model.frozen_prior = False
    assert model.train().pretrained_encoder.training


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("adapter", [False, True])
def test_file_round_trip(tmp_path: Path, suffix: str, adapter: bool) -> None:
    model = tiny_psp(blender=ADAPTER if adapter else None)
    opts = {"learning_rate": 1e-4, "exp_dir": Path("runs/sam"), "device": torch.device("cpu")}
    path = save_checkpoint(psp_checkpoint(model, opts), tmp_path / f"model{suffix}")
    content = load_checkpoint(path)
    assert set(content) == {"state_dict", "opts", "latent_avg"}
    assert content["latent_avg"].shape == (6, 12)
    assert content["opts"]["exp_dir"] == "runs/sam" and content["opts"]["output_size"] == 16
    loaded = load_psp(content, str(path))
    assert loaded.config == model.config
    x = append_age(torch.randn(1, 3, 32, 32), 50.0)
    torch.testing.assert_close(loaded(x, randomize_noise=False), model(x, randomize_noise=False))


def test_half_precision_file_is_close_and_half_the_size(tmp_path: Path) -> None:
    model = tiny_psp()
    whole = save_checkpoint(psp_checkpoint(model), tmp_path / "whole.pt")
    half = save_checkpoint(psp_checkpoint(model, half=True), tmp_path / "half.pt")
    assert half.stat().st_size < 0.7 * whole.stat().st_size
    loaded = load_psp(load_checkpoint(half), str(half))
    assert loaded.encoder.input_layer[0].weight.dtype == torch.float32
    x = append_age(torch.randn(1, 3, 32, 32), 50.0)
    torch.testing.assert_close(
        loaded(x, randomize_noise=False), model(x, randomize_noise=False), atol=2e-2, rtol=2e-2
    )


def official_file(name: str) -> tuple[dict[str, Any], PSPConfig]:
    """A file in the official layout without our ``architecture`` entry, its weights on the meta device."""
    state = {
        key: torch.empty(shape, dtype=getattr(torch, dtype), device="meta")
        for key, (shape, dtype) in parity.layout(name).items()
    }
    opts = {"output_size": 1024, "input_nc": 4, "device": "cuda"}
    content = {"state_dict": state, "opts": opts, "latent_avg": torch.zeros(18, 512)}
    return content, PSPConfig.from_checkpoint(content, name)


def test_official_files_are_recognised() -> None:
    _, sam = official_file("sam_ffhq_aging")
    assert sam == PSPConfig()
    _, mtm = official_file("mytimemachine_personalised")
    assert mtm == PSPConfig(blender=BlenderConfig())
    _, psp = official_file("psp_ffhq_encode")
    assert psp == PSPConfig(**INVERTER)


def test_official_files_know_ffhq_faces() -> None:
    for name in ("sam_ffhq_aging", "mytimemachine_personalised", "psp_ffhq_encode"):
        assert official_file(name)[1].crop == "ffhq"


def test_crop_is_that_of_the_sizes_unless_told() -> None:
    assert usual_crop(EncoderConfig()) == "ffhq" and usual_crop(TINY_ENCODER) == "tight"
    assert tiny_psp().config.crop == "tight" and tiny_psp(crop="ffhq").config.crop == "ffhq"
    with torch.device("meta"):
        assert pSp(StyleGAN2Config(size=64)).config.crop == "ffhq"
        assert pSp(StyleGAN2Config(size=64), crop="tight").config.crop == "tight"


@pytest.mark.parametrize("crop", ["tight", "ffhq"])
def test_crop_travels_with_the_file(tmp_path: Path, crop: str) -> None:
    content = psp_checkpoint(tiny_psp(crop=crop))
    assert content["opts"]["architecture"]["crop"] == crop
    loaded = load_psp(load_checkpoint(save_checkpoint(content, tmp_path / "model.pt")), "model.pt")
    assert loaded.config.crop == crop and PSPAgingModel(loaded).crop == crop
    assert psp_checkpoint(loaded)["opts"]["architecture"] == content["opts"]["architecture"]


def test_file_that_records_no_crop_knows_the_usual_one() -> None:
    content = psp_checkpoint(tiny_psp(crop="ffhq"))
    del content["opts"]["architecture"]["crop"]
    assert load_psp(content, "model.pt").config.crop == "tight"


def test_official_size_is_read_from_the_noise_planes() -> None:
    with torch.device("meta"):
        network = pSp(StyleGAN2Config(size=64))
    content = {"state_dict": network.state_dict(), "opts": {}, "latent_avg": network.latent_avg}
    assert PSPConfig.from_checkpoint(content, "sam64.pt").generator.size == 64


def test_starting_weights_from_other_files() -> None:
    model = tiny_psp()
    generator = Generator.from_config(TINY_GENERATOR)
    load_generator(model, {"g_ema": generator.state_dict(), "latent_avg": torch.ones(12)}, "stylegan2.pt")
    assert torch.equal(model.latent_avg, torch.ones(6, 12))
    load_generator(model, {"g": generator.state_dict()}, "stylegan2.pt")
    assert not torch.equal(model.latent_avg, torch.ones(6, 12))
    inverter = tiny_psp(**INVERTER)
    load_prior(model, psp_checkpoint(inverter), "psp.pt")
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(model.encode_photo(images), inverter.encoder(images) + model.latent_avg)
    with pytest.raises(InputError, match="psp.pt is a pSp checkpoint.*not a StyleGAN2"):
        load_generator(model, psp_checkpoint(inverter), "psp.pt")
    with pytest.raises(InputError, match="sam.pt is a SAM checkpoint"):
        load_prior(model, psp_checkpoint(model), "sam.pt")


def test_encoder_started_from_the_prior_adds_nothing_yet() -> None:
    model = tiny_psp()
    start_encoder_from_prior(model)
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(model.encode(append_age(images, 80.0)), model.encode_photo(images))
    model.encode(append_age(images, 80.0)).sum().backward()
    assert model.encoder.styles[0].linear.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("official", [False, True])
def test_encoder_started_from_a_face_network(official: bool) -> None:
    model, source = tiny_psp(), tiny_psp(input_nc=3).encoder.state_dict()
    load_face_network(model, source, "face.pt", official)
    first = model.encoder.input_layer[0].weight
    assert torch.equal(first[:, :3], source["input_layer.0.weight"])
    assert bool(first[:, 3].abs().sum() > 0) is official
    assert torch.equal(model.encoder.body[2].res_layer[1].weight, source["body.2.res_layer.1.weight"])


def test_style_mixing_refuses_a_missing_style() -> None:
    with pytest.raises(InputError, match="no style 6"):
        mix_styles(torch.zeros(1, 6, 4), [2, 6])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latent_avg": None}, "no latent_avg"),
        ({"latent_avg": torch.zeros(18, 512)}, "mean latent in the file is"),
        ({"state_dict": {"g": torch.zeros(1)}}, "not a pSp, SAM or MyTimeMachine"),
        ({"opts": {"architecture": {"input_nc": 4}}}, "architecture in its options describes no network"),
        ({"opts": {"encoder_type": "BackboneEncoderUsingLastLayerIntoW"}}, "encoder of type"),
    ],
)
def test_unusable_files_are_explained(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_psp({**psp_checkpoint(tiny_psp()), **change}, "model.pt")


def test_another_size_is_explained() -> None:
    content = psp_checkpoint(tiny_psp())
    content["opts"]["architecture"]["generator"] = SMALL_GENERATOR.to_dict()
    with pytest.raises(InputError, match="makes images of 16 pixels, the network makes 32"):
        load_psp(content, "model.pt")
