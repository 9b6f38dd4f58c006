"""Memory of a training: activations that are computed again, and the forecast of what a step needs."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
import training_toys as toys
from commands import ROOT
from torch import nn

from models.recomputation import recomputed
from models.stylegan2.model import Discriminator, Generator, StyleGAN2Config
from training.forecast import Forecast, forecast, sentence
from training.guard import tensors_of
from training.rehearsal import MemoryTracker, Rehearsal
from utils import memory

WIDE = StyleGAN2Config(size=64, style_dim=8, n_mlp=1, channels={4: 8, 8: 8, 16: 8, 32: 8, 64: 8})

# ---------------------------------------------------------------- activations computed again


@pytest.mark.parametrize(
    ("coach", "flags"),
    [
        ("sam", ("--adversarial_lambda=0.1", "--recipe=official")),
        ("psp", ("--train_decoder",)),
        ("mytimemachine", ()),
        ("stylegan2", ("--d_reg_every=2", "--g_reg_every=2")),
    ],
)
def test_activations_computed_again_change_no_bit(
    coach: str, flags: tuple[str, ...], files: SimpleNamespace, tmp_path: Path
) -> None:
    """Weights, statistics of norms, moments and random numbers after some steps."""
    ends = []
    for more in ((), ("--activation_checkpointing",)):
        trainer = toys.coach(toys.arguments(coach, files, tmp_path / f"{len(more)}", *flags, *more))
        figures = []
        for _ in range(3):
            figures.append(trainer.training_step())
            trainer.state.step += 1
        ends.append((figures, trainer.state.content()))
        trainer.run.close()
    assert ends[0][0] == ends[1][0]
    plain, again = (list(tensors_of(end[1])) for end in ends)
    assert len(plain) > 10 and all(torch.equal(one, other) for one, other in zip(plain, again, strict=True))


def test_norms_count_a_batch_once() -> None:
    torch.manual_seed(0)
    unit = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    x = torch.randn(2, 3, 8, 8, requires_grad=True)
    recomputed(unit, x).square().sum().backward()
    assert int(unit[1].num_batches_tracked) == 1
    assert float(unit[1].running_mean.abs().max()) > 0
    with torch.no_grad():
        assert not recomputed(unit, x).requires_grad


def test_levels_computed_again_hold_less() -> None:
    def peak(again: bool) -> int:
        torch.manual_seed(0)
        generator, discriminator = Generator.from_config(WIDE), Discriminator.from_config(WIDE)
        if again:
            generator.recompute_activations()
            discriminator.recompute_activations()
        latent = torch.randn(4, WIDE.n_styles, 8, requires_grad=True)
        with MemoryTracker() as tracker:
            discriminator(generator([latent], input_is_latent=True)[0]).sum().backward()
        return tracker.peak

    assert peak(True) < 0.75 * peak(False)


# ---------------------------------------------------------------- the forecast


@pytest.mark.parametrize(
    ("coach", "flags"),
    [
        ("age_classifier", ("--gradient_accumulation_steps=2",)),
        pytest.param(
            "psp",
            ("--adversarial_lambda=0.1", "--r1=1", "--activation_checkpointing"),
            marks=pytest.mark.slow,
        ),
        pytest.param("sam", ("--aging_augment",), marks=pytest.mark.slow),
        pytest.param("mytimemachine", ("--gradient_accumulation_steps=2",), marks=pytest.mark.slow),
        pytest.param("stylegan2", ("--augment_p=0.2",), marks=pytest.mark.slow),
        pytest.param("reaging_gan", ("--output_size=32", "--base_channels=8"), marks=pytest.mark.slow),
    ],
)
def test_a_rehearsal_needs_what_a_step_needs_and_leaves_no_trace(
    coach: str,
    flags: tuple[str, ...],
    files: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("training.rehearsal.CONVOLUTIONS", set())  # whose own memory nobody tracks
    made: list[MemoryTracker] = []
    monkeypatch.setattr("training.forecast.Rehearsal", lambda kind: made.append(Rehearsal(kind)) or made[-1])
    ends, peaks = [], []
    for rehearsed in (True, False):
        trainer = toys.coach(
            toys.arguments(coach, files, tmp_path / str(rehearsed), "--batch_size=8", *flags)
        )
        trainer.training_step()  # so that there are moments
        trainer.state.step += 1
        if rehearsed:
            expected = forecast(trainer)
            assert expected.there is not None and expected.needed > made[0].peak
        with MemoryTracker() as tracker:
            figures = trainer.training_step()
        peaks.append(tracker.peak)
        trainer.state.step += 1
        ends.append([*figures.values(), *tensors_of(trainer.state.content())])
        trainer.run.close()
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))
    assert peaks[0] == peaks[1]
    if coach != "stylegan2":  # whose penalties are not due in the second step
        assert peaks[0] == pytest.approx(made[0].peak, rel=0.15)


def test_what_is_said(files: SimpleNamespace, tmp_path: Path) -> None:
    trainer = toys.coach(toys.arguments("psp", files, tmp_path / "a"))
    assert sentence(Forecast(1, 2_000_000_000), trainer).endswith("0.0 GB of memory, 2.0 GB are there")
    said = sentence(Forecast(3_000_000_000, 2_000_000_000), trainer)
    for flag in ("--activation_checkpointing", "--gradient_accumulation_steps", "--batch_size", "=bf16"):
        assert flag in said
    trainer.run.close()
    trainer = toys.coach(toys.arguments("psp", files, tmp_path / "b", "--activation_checkpointing"))
    assert "--activation" not in sentence(Forecast(3, 2), trainer)
    trainer.run.close()


def test_a_training_says_it_where_it_is_asked_for(
    files: SimpleNamespace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = toys.arguments("age_classifier", files, tmp_path, "--max_steps=1")
    toys.train(command)
    assert "memory" not in capsys.readouterr().err  # of so small a network nobody wants to know
    more = ("--memory_forecast=yes", "--val_interval=0")
    monkeypatch.setattr(memory, "free", lambda device: -memory.held(device))
    toys.train([*command, *more, "--max_steps=2"])
    assert "warning: a step needs about " in capsys.readouterr().err
    monkeypatch.setattr("training.forecast.forecast", lambda coach: torch.ones(2) @ torch.ones(3))
    toys.train([*command, *more, "--max_steps=3"])
    said = capsys.readouterr().err
    assert "note: no forecast of memory: RuntimeError: " in said and "Traceback" not in said


def test_the_memory_that_containers_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    device = torch.device("cpu")
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "GROUP", tmp_path / "cgroup")
    assert memory.free(device) > 0 < memory.held(device)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=8000 * 1024))
    write("proc/self/cgroup", "0::/pods/one\n")
    assert memory.free(device) == 8000 * 1024
    write("cgroup/pods/one/memory.max", "max\n")
    write("cgroup/pods/one/memory.current", "5\n")
    write("cgroup/pods/memory.max", "3000000\n")
    write("cgroup/pods/memory.current", "2000000\n")
    write("cgroup/pods/memory.stat", "anon 5\ninactive_file 500000\n")
    assert memory.free(device) == 1_500_000
    write("cgroup/memory/memory.limit_in_bytes", "700\n")
    write("cgroup/memory/memory.usage_in_bytes", "900\n")
    assert memory.free(device) == 0


MEASURE = """
import sys
sys.path[:0] = ["{root}", "{root}/tests"]
from training.forecast import forecast
from options.train_options import parse_train_options
from training.start import make_coach
trainer = make_coach(parse_train_options({command}))
expected = forecast(trainer).needed
open("/proc/self/clear_refs", "w").write("5")  # the peak counts from now
for _ in range(3):
    trainer.training_step()
    trainer.state.step += 1
(peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(expected, 1024 * int(peak))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak cannot be set back")
@pytest.mark.parametrize("more", [(), ("--activation_checkpointing",), ("--gradient_accumulation_steps=4",)])
def test_a_forecast_is_near_what_a_process_takes(
    more: tuple[str, ...], files: SimpleNamespace, tmp_path: Path
) -> None:
    flags = (
        "--output_size=256",
        "--channels=" + ",".join(f"{4 << n}:24" for n in range(7)),
        "--batch_size=8",
    )
    command = toys.arguments("stylegan2", files, tmp_path, *flags, *more)
    program = MEASURE.format(root=ROOT, command=command)
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr
    expected, peak = map(int, result.stdout.split())
    assert expected == pytest.approx(peak, rel=0.15)
