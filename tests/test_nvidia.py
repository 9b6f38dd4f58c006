"""StyleGAN2 in NVIDIA's layout: official numbers after conversion, the way back, the safe pickle reader."""

import functools
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import nvidia_toys
import pytest
import torch
from toy_networks import TAPERED_GENERATOR, stylegan2_checkpoint

import parity
from models.aging_model import load_aging_model
from models.kinds import checkpoint_kind
from models.loading import load_into
from models.psp import pSp
from models.psp_start import load_generator
from models.stylegan2.files import load_converted, load_trainable
from models.stylegan2.layout import compact_config
from models.stylegan2.model import Discriminator, Generator, StyleGAN2Config
from models.stylegan2.nvidia import from_nvidia, read_config, to_nvidia
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint, save_checkpoint

KEYS = "stylegan2_ada_conditional"


def official_config(entry: parity.Entry, layers: int) -> StyleGAN2Config:
    """Our description of a pair of networks with the sizes of a golden entry."""
    args = entry["args"]
    size, most = args["img_resolution"], args["channel_max"]
    sides = [2**level for level in range(2, size.bit_length())]
    widths = {side: min(args["channel_base"] // side, most) for side in sides}
    return compact_config(StyleGAN2Config(size, 512, layers, channels=widths, c_dim=args["c_dim"]))


def nvidia_networks(config: StyleGAN2Config) -> dict[str, dict[str, torch.Tensor]]:
    """Empty state dicts in NVIDIA's layout."""
    ours = {
        "g_ema": parity.quick(Generator.from_config, config).state_dict(),
        "d": parity.quick(Discriminator.from_config, config).state_dict(),
        "latent_avg": torch.zeros(512),
    }
    for value in [*ours["g_ema"].values(), *ours["d"].values()]:
        value.zero_()  # what they begin with may be no number at all
    return to_nvidia(ours, "ours.pt")


def converted(config: StyleGAN2Config, seed: int) -> dict[str, Any]:
    """What becomes of a pickle with networks filled by the recipe of the golden numbers."""
    return _converted(json.dumps(config.to_dict()), seed)


@functools.lru_cache(maxsize=1)  # generator and discriminator of a pair come one after the other
def _converted(architecture: str, seed: int) -> dict[str, Any]:
    config = StyleGAN2Config.from_dict(json.loads(architecture))
    content = nvidia_networks(config)
    for state in content.values():
        parity.fill_library.fill_(state, seed, "stylegan")
    with tempfile.TemporaryDirectory() as folder:
        path = nvidia_toys.write_pickle(
            Path(folder) / "network.pkl",
            G_ema=nvidia_toys.module(content["G_ema"], "Generator", z_dim=512, c_dim=config.c_dim),
            D=nvidia_toys.module(content["D"], "Discriminator", c_dim=config.c_dim),
        )
        found = from_nvidia(load_checkpoint(path), str(path))
    assert StyleGAN2Config.from_dict(found["opts"]["architecture"]["generator"]) == config
    return found


def is_wide(entry: parity.Entry) -> bool:
    return entry["args"]["channel_base"] > 16384


@parity.each("stylegan2_ada", "ws", extra=is_wide)
def test_conditional_generator_gives_the_official_numbers(entry: parity.Entry) -> None:
    args, inputs = entry["args"], parity.inputs(entry)
    config = official_config(entry, args["mapping_layers"])
    content = converted(config, entry["weights"]["seed"])
    generator = parity.quick(Generator.from_config, config).eval()
    load_into(generator, content["g_ema"], "converted")
    call = {"labels": inputs.get("c"), "return_latents": True, "randomize_noise": False}
    silent = [torch.zeros_like(plane) for plane in generator.noise_buffers()]
    truncated = {"truncation": args["truncation_psi"], "truncation_latent": content["latent_avg"]}
    results = {}
    with torch.no_grad():
        results["image_no_noise"], results["ws"] = generator([inputs["z"]], **call, noise=silent)
        results["image"], results["ws_truncated"] = generator([inputs["z"]], **call, **truncated)
    parity.check_all(results, entry, limit=1e-4)


@parity.each("stylegan2_ada", "r1_per_image", extra=is_wide)
def test_conditional_discriminator_gives_the_official_numbers(entry: parity.Entry) -> None:
    config = official_config(entry, layers=2)
    discriminator = parity.quick(Discriminator.from_config, config).eval()
    load_into(discriminator, converted(config, entry["weights"]["seed"])["d"], "converted")
    discriminator.stddev_group = entry["args"].get("mbstd_group_size", 4)
    inputs = parity.inputs(entry)
    images, labels = inputs["image"].requires_grad_(), inputs.get("c")
    results = {"logits": discriminator(images, labels)}
    if labels is not None:
        results["cmap"] = discriminator.mapping(labels)
    (gradient,) = torch.autograd.grad(results["logits"].sum(), images)
    parity.check_all(results, entry, limit=1e-4)
    parity.check(gradient.square().sum((1, 2, 3)), entry, "r1_per_image", limit=1e-3)


@pytest.mark.parametrize("table", ["64_auto", "256_auto", "256_paper256"])
def test_layout_is_official(table: str) -> None:
    size, layers = int(table[: table.index("_")]), 8 if table.endswith("paper256") else 2
    config = StyleGAN2Config(size, 512, layers, 1, c_dim=9)
    theirs = nvidia_networks(config)
    parity.check_layout(theirs["G_ema"], KEYS, f"generator_{table}")
    parity.check_layout(theirs["D"], KEYS, f"discriminator_{table}")
    assert read_config(theirs["G_ema"], "theirs") == config


@pytest.mark.parametrize("c_dim", [0, 3])
@pytest.mark.parametrize("container", ["pkl", "safetensors", "pt"])
def test_both_ways_change_no_number(tmp_path: Path, container: str, c_dim: int) -> None:
    ours = stylegan2_checkpoint(c_dim)
    theirs = to_nvidia(ours, "ours.pt")
    path = tmp_path / f"network.{container}"
    if container == "pkl":
        nvidia_toys.write_pickle(
            path, **{name: nvidia_toys.module(state, name) for name, state in theirs.items()}
        )
    else:
        save_checkpoint(theirs, path)
    content = load_checkpoint(path)
    assert checkpoint_kind(content) == "stylegan2_nvidia"
    back = from_nvidia(content, str(path))
    assert torch.equal(back["latent_avg"], ours["latent_avg"])
    for entry in ("g", "d", "g_ema"):
        assert back[entry].keys() == ours[entry].keys()
        assert all(torch.equal(value, ours[entry][key]) for key, value in back[entry].items())


def test_converted_checkpoint_is_used_directly(tmp_path: Path) -> None:
    ours = stylegan2_checkpoint()
    theirs = to_nvidia(ours, "ours.pt")
    path = nvidia_toys.write_pickle(
        tmp_path / "network.pkl", **{name: nvidia_toys.module(state, name) for name, state in theirs.items()}
    )
    model = pSp(TAPERED_GENERATOR, start_from_encoded_w_plus=False)
    load_generator(model, load_converted(path), str(path))
    assert torch.equal(model.decoder.convs[0].conv.weight, ours["g_ema"]["convs.0.conv.weight"])
    assert torch.equal(model.latent_avg[3], ours["latent_avg"])
    assert {"g", "d", "g_ema"} <= load_trainable(path).keys()
    with pytest.raises(InputError, match=r"NVIDIA's layout \(scripts/convert_weights\.py"):
        load_aging_model(path)


def test_pickle_of_one_network_is_its_average(tmp_path: Path) -> None:
    ours = stylegan2_checkpoint()
    state = to_nvidia(ours, "ours.pt")["G_ema"]
    path = nvidia_toys.write_bare_pickle(tmp_path / "network.pkl", nvidia_toys.module(state, "Generator"))
    content = load_checkpoint(path)
    assert set(content) == {"network", "settings"} and checkpoint_kind(content) == "stylegan2_nvidia"
    converted = load_converted(path)
    assert all(torch.equal(value, ours["g_ema"][key]) for key, value in converted["g_ema"].items())
    assert torch.equal(converted["latent_avg"], ours["latent_avg"])


def test_average_latent_is_added_where_a_file_has_none() -> None:
    ours = stylegan2_checkpoint(c_dim=3)
    del ours["latent_avg"]
    theirs = to_nvidia(ours, "ours.pt")
    assert theirs["G_ema"]["mapping.w_avg"].shape == (12,)
    assert not torch.equal(theirs["G_ema"]["mapping.w_avg"], theirs["G"]["mapping.w_avg"])


def test_labels_are_asked_for() -> None:
    config = replace(TAPERED_GENERATOR, c_dim=3)
    with pytest.raises(ValueError, match="labels"):
        Generator.from_config(config)([torch.randn(1, 12)])
    with pytest.raises(ValueError, match="labels"):
        Discriminator.from_config(TAPERED_GENERATOR)(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3))


# ---------------------------------------------------------------- what is refused


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


class Smuggled:
    """Makes a folder through a storage, whose bytes are a checkpoint inside the pickle."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __reduce__(self) -> tuple:
        return torch.storage._load_from_bytes, (self.data,)


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    path = nvidia_toys.write_pickle(tmp_path / "network.pkl", G_ema=Malicious(trap))
    with pytest.raises(InputError, match=r"network\.pkl is not opened: it asks for (posix|nt)\.mkdir"):
        load_checkpoint(path)
    assert not trap.exists()


def test_code_in_a_storage_is_refused_and_not_run(tmp_path: Path) -> None:
    trap, inner = tmp_path / "trap", tmp_path / "inner.pt"
    torch.save(Malicious(trap), inner, _use_new_zipfile_serialization=False)
    path = nvidia_toys.write_pickle(tmp_path / "network.pkl", G_ema=Smuggled(inner.read_bytes()))
    with pytest.raises(InputError, match=r"network\.pkl"):
        load_checkpoint(path)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (b"cbuiltins\neval\n(S'1'\ntR.", r"asks for builtins\.eval"),
        (b"cbuiltins\ngetattr\n.", r"asks for builtins\.getattr"),
        (b"ctorch\nload\n.", r"asks for torch\.load"),
        (b"ctorch.storage\n_load_from_bytes\n(dS'_make'\nI1\nsb.", "change of the reader's own"),
        (b"cdnnlib.tflib.network\nNetwork\n.", "TensorFlow pickle"),
        (b"ctorch._utils\n_rebuild_parameter\n(I1\ntR.", "parameter that is not a tensor"),
        (b"cnumpy\ndtype\n(S'O8'\ntR.", "numpy type 'O8'"),
        (b"no pickle at all", "damaged or is not a checkpoint"),
        (b"(dS'a'\nI1\ns.", "holds no networks"),
    ],
)
def test_other_pickles_are_explained(tmp_path: Path, code: bytes, message: str) -> None:
    path = tmp_path / "network.pkl"
    path.write_bytes(code)
    with pytest.raises(InputError, match=message):
        load_checkpoint(path)


def test_tensor_larger_than_its_storage_is_refused(tmp_path: Path) -> None:
    class Stretched:
        def __reduce__(self) -> tuple:
            storage = torch.zeros(4)._typed_storage()
            return torch._utils._rebuild_tensor_v2, (storage, 0, (1000,), (1,), False, {})

    path = nvidia_toys.write_pickle(tmp_path / "network.pkl", G_ema=Stretched())
    with pytest.raises(InputError, match="tensor larger than its storage"):
        load_checkpoint(path)


def test_pickle_of_a_tensor_view_and_of_half_precision(tmp_path: Path) -> None:
    whole = torch.arange(12.0).view(3, 4)
    weights = {"row": whole[1], "column": whole[:, 1], "half": whole.half()}
    path = nvidia_toys.write_pickle(tmp_path / "n.pkl", D=nvidia_toys.module(weights, "D"))
    content = load_checkpoint(path)
    assert checkpoint_kind(content) == "stylegan2_nvidia"
    assert torch.equal(content["D"]["column"], whole[:, 1]) and torch.equal(content["D"]["half"], whole)
    assert content["settings"]["D"]["weight_gain"] == pytest.approx(512**-0.5)


def changed(**change: Any) -> dict[str, Any]:
    content = to_nvidia(stylegan2_checkpoint(), "ours.pt")
    for key, value in change.pop("add", {}).items():
        content["G_ema"][key] = value
    for key in change.pop("remove", ()):
        del content["G_ema"][key]
    return {**content, **change}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"add": {"synthesis.b8.skip.weight": torch.zeros(1)}}, "residual blocks"),
        ({"add": {"synthesis.b8.torgb.scale": torch.zeros(1)}}, "has synthesis.b8.torgb.scale"),
        ({"remove": ["synthesis.b8.conv0.affine.bias"]}, "lacks synthesis.b8.conv0.affine.bias"),
        ({"remove": ["synthesis.b8.conv1.weight"]}, "lacks synthesis.b8.conv1.weight"),
        ({"add": {"synthesis.b16.resample_filter": torch.ones(4, 4)}}, "not the filter 1-3-3-1"),
        ({"add": {"synthesis.input.freqs": torch.zeros(1)}}, "StyleGAN3"),
        ({"add": {"mapping.fc0.weight": torch.zeros(12, 8)}}, "z of 8, w of 12"),
        ({"settings": {"D": {"b8.conv0.activation": "relu"}}}, "activation is 'relu'"),
        ({"D": {"b8.conv0.weight": torch.zeros(1)}}, "D lacks b16.conv0.bias"),
        ({"G_ema": {"x": torch.zeros(1)}}, "not a StyleGAN2 generator"),
        ({"G_ema": None, "G": None}, "holds no generator"),
    ],
)
def test_other_designs_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_nvidia(changed(**change), "network.pkl")


def test_only_stylegan2_goes_to_nvidia() -> None:
    with pytest.raises(InputError, match="not a StyleGAN2 checkpoint"):
        to_nvidia({"state_dict": {"fc6.weight": torch.zeros(1)}}, "dex.pth")
    content = stylegan2_checkpoint()
    del content["g_ema"]["convs.0.conv.weight"]
    with pytest.raises(InputError, match=r"g_ema does not fit|lacks"):
        to_nvidia(content, "ours.pt")
