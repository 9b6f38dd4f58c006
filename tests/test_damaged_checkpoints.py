"""Damaged and odd weight files: one sentence that names the file, or the result of the sound file."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import damaged_checkpoints
import nvidia_toys
import pytest
import torch
from damage import damaged
from torch import Tensor, nn
from toy_networks import (
    ADAPTER,
    INVERTER,
    SMALL_FACE,
    SMALL_VGG,
    TAPERED_GENERATOR,
    TINY_ENCODER,
    network_file,
    reaging_content,
    stylegan2_checkpoint,
    tiny_psp,
)

from models.aging_model import load_aging_model
from models.auxiliary import load_age_classifier, load_identity
from models.conversion import convert
from models.psp import pSp
from models.psp_files import psp_checkpoint
from models.psp_start import load_generator
from models.stylegan2.files import load_converted
from models.stylegan2.nvidia import to_nvidia
from training.state import TrainingState, is_training_state
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint, save_checkpoint

SEED = 12
Loader = Callable[[Path], Any]


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {**network.state_dict(), **dict(network.named_buffers())}


def aged(path: Path) -> Any:
    model = load_aging_model(path)
    return weights(model), model.kind, model.crop, model.input_size, model.output_size


def classifier(path: Path) -> Any:
    network = load_age_classifier(path)
    return weights(network), network.input_size


def identity(path: Path) -> Any:
    network = load_identity(path)
    return weights(network), network.input_size, network.crop


def generator(path: Path) -> Any:
    network = pSp(TAPERED_GENERATOR, TINY_ENCODER, **INVERTER)
    load_generator(network, load_converted(path), str(path))
    return weights(network.decoder), network.latent_avg


def conversion(path: Path) -> Any:
    target = path.with_name("converted.pt")
    target.unlink(missing_ok=True)
    content = convert(load_checkpoint(path), path, target, "official")
    return {key: value for key, value in content.items() if key != "opts"}


def training() -> TrainingState:
    torch.manual_seed(0)
    state = TrainingState("CoachToy")
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    network(torch.randn(2, 2, 4, 4)).sum().backward()
    optimizer.step()
    state.register(net=network, main=optimizer)
    state.step, state.best_value = 7, 0.5
    return state


def restored(path: Path) -> Any:
    state = training()
    content = load_checkpoint(path)
    if not is_training_state(content):
        raise InputError(f"{path} is not the resume state of a training")
    state.restore(content, str(path))
    content = state.content()
    (group,) = content["optimizers"]["main"]["param_groups"]
    known = training().optimizers["main"].param_groups[0]
    group = {key: value for key, value in group.items() if key in known}  # torch keeps what it does not know
    content["optimizers"]["main"]["param_groups"] = [group]
    return {key: value for key, value in content.items() if key != "coach"}


CONTENTS: dict[str, tuple[Callable[[], dict[str, Any]], Loader]] = {
    "sam": (lambda: psp_checkpoint(tiny_psp(seed=0), {"learning_rate": 1e-4}), aged),
    "mytimemachine": (lambda: psp_checkpoint(tiny_psp(seed=0, blender=ADAPTER)), aged),
    "reaging": (reaging_content, aged),
    "age": (lambda: network_file("age_classifier", SMALL_VGG), classifier),
    "identity": (lambda: network_file("identity", SMALL_FACE), identity),
    "stylegan2": (stylegan2_checkpoint, generator),
    "nvidia": (lambda: to_nvidia(stylegan2_checkpoint(), "toy"), generator),
    "conversion": (stylegan2_checkpoint, conversion),
    "state": (lambda: training().content(), restored),
}


# Without these it is another sound file: one of fewer networks, or whose mean is yet to be computed.
OPTIONAL = {(entry,) for entry in ("g_ema", "g", "d", "G_ema", "G", "D", "latent_avg")}
# Optimisers remember nothing of a parameter that has had no gradient yet.
OPTIONAL |= {("optimizers", "main", "state", number) for number in range(4)}


def refused(load: Loader, path: Path, sound: Any, what: str) -> bool:
    """Asserts the property of every file and tells whether it was refused."""
    try:
        result = load(path)
    except InputError as error:
        text = str(error)
        assert path.name in text and "\n" not in text and len(text) < 1000, f"{what}: {text}"
        return True
    except Exception as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    assert damaged_checkpoints.same(sound, result), f"{what}: loads as something else"
    return False


def write(content: Any, path: Path, zipped: bool = True) -> Path:
    """Writes what nobody would save."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
    finally:
        sys.setrecursionlimit(limit)
    return path


def check_content(tmp_path: Path, kind: str, count: int, seed: int) -> None:
    make, load = CONTENTS[kind]
    torch.manual_seed(0)
    content = make()
    sound = load(write(content, tmp_path / "sound.pt"))
    path = tmp_path / "odd.pt"
    outcomes = []
    for what, changed in damaged_checkpoints.changed(content, count, seed, OPTIONAL):
        write(changed, path)
        outcomes.append(refused(load, path, sound, what))
    assert sum(outcomes) > count // 2


@pytest.mark.parametrize("kind", CONTENTS)
def test_odd_content(tmp_path: Path, kind: str) -> None:
    check_content(tmp_path, kind, 20, SEED)


@pytest.mark.slow
@pytest.mark.parametrize("kind", CONTENTS)
def test_odd_content_at_length(tmp_path: Path, kind: str) -> None:
    """Nine kinds of files, 400 changes each."""
    check_content(tmp_path, kind, 400, SEED + 1)


# ---------------------------------------------------------------- damaged bytes


def small_content() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    state = {f"encoder.{i}.weight": torch.randn(8, 8, generator=generator) for i in range(6)}
    return {"state_dict": state, "latent_avg": torch.ones(4), "opts": {"size": 8, "name": "toy"}}


def check_bytes(tmp_path: Path, suffix: str, count: int, seed: int) -> None:
    sound = save_checkpoint(small_content(), tmp_path / f"sound{suffix}")
    content, data = load_checkpoint(sound), sound.read_bytes()
    path = tmp_path / f"damaged{suffix}"
    outcomes = []
    for what, changed in damaged(data, count, seed):
        path.write_bytes(changed)
        outcomes.append(refused(load_checkpoint, path, content, what))
    assert sum(outcomes) > count // 2


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damaged_bytes_with_checksums(tmp_path: Path, suffix: str) -> None:
    check_bytes(tmp_path, suffix, 120, SEED)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_damaged_bytes_with_checksums_at_length(tmp_path: Path, suffix: str) -> None:
    """Two formats, 2,000 damages each."""
    check_bytes(tmp_path, suffix, 2000, SEED + 1)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_every_bit_of_the_numbers_counts(tmp_path: Path, suffix: str) -> None:
    sound = save_checkpoint(small_content(), tmp_path / f"sound{suffix}")
    data = sound.read_bytes()
    numbers = load_checkpoint(sound)["state_dict"]["encoder.3.weight"].numpy().tobytes()
    start, path = data.index(numbers), tmp_path / f"flipped{suffix}"
    for bit in range(0, 8 * len(numbers), 37):
        flipped = bytearray(data)
        flipped[start + bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(InputError, match=r"flipped.* is damaged .*checksum"):
            load_checkpoint(path)


@pytest.mark.parametrize("mapped", [True, False])
def test_official_archives_are_checked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mapped: bool
) -> None:
    monkeypatch.setattr("utils.files.checkpoints.MMAP_FROM_BYTES", 1 if mapped else 1 << 60)
    path = write({"state_dict": {"w": torch.arange(1_000_000.0)}}, tmp_path / "official.pth")
    assert torch.equal(load_checkpoint(path)["state_dict"]["w"], torch.arange(1_000_000.0))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"official\.pth is damaged .*checksum"):
        load_checkpoint(path)


@pytest.mark.parametrize("kind", ["old", "pickle"])
def test_damaged_bytes_without_checksums(tmp_path: Path, kind: str) -> None:
    """Numbers of such files cannot be checked; whatever else happens to them is a sentence."""
    path = tmp_path / f"damaged.{kind}"
    if kind == "old":
        data = write(small_content(), path, zipped=False).read_bytes()
    else:
        module = nvidia_toys.module({"fc.weight": torch.randn(4, 4), "w_avg": torch.ones(3)}, "G")
        data = nvidia_toys.write_pickle(path, G_ema=module).read_bytes()
    count = 0
    for what, changed in damaged(data, 120, SEED):
        path.write_bytes(changed)
        try:
            load_checkpoint(path)
        except InputError as error:
            assert path.name in str(error) and "\n" not in str(error), what
            count += 1
    assert count > 40
