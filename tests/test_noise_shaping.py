"""Noise with the spectrum of photos: the loss, the optimisation, the command."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from commands import run, script_main

from criteria.spectrum_loss import SpectrumLoss, is_detail, log_power
from models.stylegan2.model import Generator
from training import demo_recipe
from training.noise_shaping import fine_layers, shape_noise, with_planes
from utils.files.checkpoints import load_checkpoint, save_checkpoint


def grain(count: int, size: int = 64, seed: int = 0) -> torch.Tensor:
    """Pictures (count, 3, size, size) of white noise, the same in all colours."""
    draws = torch.Generator().manual_seed(seed)
    return 0.2 * torch.randn(count, 1, size, size, generator=draws).expand(-1, 3, -1, -1)


def test_the_loss_sees_blur_and_a_grid() -> None:
    torch.manual_seed(0)
    loss = SpectrumLoss(grain(60))
    own = loss(grain(60, seed=1))
    assert own < 2
    assert loss(0.5 * grain(60, seed=1)) == pytest.approx(36, rel=0.2)  # 6 dB less everywhere
    stripes = 0.2 * torch.cos(2.2 * torch.arange(64.0)).expand(60, 3, 64, 64)
    assert loss(grain(60, seed=1) + stripes) > own + 2
    assert loss.sides == [64, 32]


def test_power_is_that_of_levels() -> None:
    power = log_power(torch.full((1, 3, 32, 32), 0.3), 32, [(0, 0)])
    torch.testing.assert_close(power.mean(), torch.tensor(-10.79), atol=1e-2, rtol=0)
    white = 10 ** (log_power(grain(40), 64, [(0, 0)]) / 10)
    assert float(white[..., is_detail(64)].mean()) == pytest.approx((0.2 * 127.5) ** 2, rel=0.05)


def test_planes_learn_what_the_network_lacks() -> None:
    torch.manual_seed(0)
    generator = Generator(16, 12, 2, channels={4: 8, 8: 8, 16: 8}).requires_grad_(False)
    for layer in (generator.conv1, *generator.convs):
        layer.noise.weight.fill_(0.3)
    before = [plane.clone() for plane in generator.noise_buffers()]
    planes, losses = shape_noise(generator, torch.randn(20, 6, 12), grain(30, 16), 60, 6)
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
    assert list(planes) == fine_layers(generator) == [1, 2, 3, 4]
    assert all(torch.equal(old, new) for old, new in zip(before, generator.noise_buffers(), strict=True))


def test_planes_go_into_a_file_in_its_precision() -> None:
    state = {
        "decoder.noises.noise_1": torch.zeros(1, 1, 8, 8).half(),
        "decoder.noises.noise_10": torch.zeros(1),
    }
    made = with_planes({"state_dict": state, "latent_avg": 3}, {1: torch.ones(1, 1, 8, 8)})
    plane = made["state_dict"]["decoder.noises.noise_1"]
    assert plane.dtype == torch.float16 and plane.min() == 1 and made["latent_avg"] == 3
    assert made["state_dict"]["decoder.noises.noise_10"] is state["decoder.noises.noise_10"]
    assert state["decoder.noises.noise_1"].max() == 0


def test_the_command_changes_nothing_but_planes(files: SimpleNamespace, tmp_path: Path) -> None:
    output = tmp_path / "new.pt"
    command = [f"--checkpoint_path={files.sam}", f"--data_path={files.faces}", f"--output={output}"]
    command += ["--steps=3", "--batch_size=2", "--device=cpu"]
    script_main("shape_noise")(command)
    old, new = load_checkpoint(files.sam)["state_dict"], load_checkpoint(output)["state_dict"]
    changed = {name for name, value in old.items() if not torch.equal(value, new[name])}
    assert changed == {f"decoder.noises.noise_{layer}" for layer in range(1, 5)}
    again = run("shape_noise", *command)
    assert again.returncode == 2 and "exists; choose another name or add --overwrite" in again.stderr


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--checkpoint_path={psp}", "is a pSp checkpoint without an ageing encoder; name a file of kind sam"),
        ("--checkpoint_path=/no/such.pt", "/no/such.pt"),
        ("--data_path=/no/such", "/no/such"),
        ("--output={folder}/x.pkl", "must end in .pt"),
        ("--output={psp}/x.pt", "is no folder; choose another one"),
        ("--steps=0", "--steps"),
    ],
)
def test_bad_input_is_one_sentence(files: SimpleNamespace, tmp_path: Path, change: str, message: str) -> None:
    command = [f"--checkpoint_path={files.sam}", f"--data_path={files.faces}", f"--output={tmp_path}/a.pt"]
    more = change.format(**vars(files), folder=tmp_path).split()
    done = run("shape_noise", *command, "--steps=2", "--device=cpu", *more)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and message in done.stderr, done.stderr


def test_the_recipe_starts_quietly_and_gives_the_noise_to_the_generator(
    files: SimpleNamespace, tmp_path: Path
) -> None:
    start = load_checkpoint(files.sam)
    start["state_dict"]["decoder.conv1.noise.weight"].fill_(0.5)
    quiet = demo_recipe.with_noise(start, 0.4)["state_dict"]
    torch.testing.assert_close(quiet["decoder.conv1.noise.weight"], torch.tensor([0.2]))
    same = [name for name, value in quiet.items() if torch.equal(value, start["state_dict"][name])]
    assert "decoder.conv1.conv.weight" in same and "decoder.noises.noise_0" in same
    sam, generator = tmp_path / "sam.pt", tmp_path / "stylegan2.pt"
    save_checkpoint({**start, "state_dict": quiet}, sam)
    save_checkpoint(load_checkpoint(files.stylegan2), generator)
    demo_recipe.give_noise(sam, generator)
    found, old = load_checkpoint(generator), load_checkpoint(files.stylegan2)
    torch.testing.assert_close(found["g_ema"]["conv1.noise.weight"], torch.tensor([0.2]))
    assert torch.equal(found["g"]["noises.noise_2"], start["state_dict"]["decoder.noises.noise_2"])
    assert torch.equal(found["g_ema"]["conv1.conv.weight"], old["g_ema"]["conv1.conv.weight"])
