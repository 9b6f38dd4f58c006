"""The timed StyleGAN2 step: its variants compute the same, and are compared in one run."""

import json

import pytest
import torch
from commands import run

from evaluation.benchmark import BASE, TrainingStep, speeds
from models.stylegan2.model import StyleGAN2Config
from options.benchmark_options import BenchmarkOptions
from options.parser import parse_options
from utils.errors import InputError


def test_benchmark_compares_in_one_run() -> None:
    sizes = ["--output_size=8", "--batch_size=2", "--channels=4:8,8:8", "--style_dim=8", "--n_mlp=1"]
    done = run("benchmark", *sizes, "--rounds=1", "--steps=1", "--device=cpu")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])
    assert rows["grouped float32 NCHW"]["ratio"] == 1
    assert "shared float32 NHWC" in rows


def test_grouped_and_shared_steps_agree() -> None:
    config = StyleGAN2Config(8, 8, 1, channels={4: 8, 8: 8})
    steps = [
        TrainingStep(config, 2, torch.device("cpu"), grouped, torch.float32) for grouped in (True, False)
    ]
    noise = steps[0].generator.noise_buffers()
    images = [step.generator([steps[0].z], noise=noise)[0] for step in steps]
    torch.testing.assert_close(images[0], images[1], rtol=1e-4, atol=1e-5)


def test_a_variant_is_compared_round_by_round() -> None:
    rows = speeds({BASE: [1.0, 4.0, 2.0], "other": [0.5, 1.0, 2.0]}, batch=8)
    assert rows[BASE] == {"images_per_second": 4, "ratio": 1}
    assert rows["other"] == {"images_per_second": 8, "ratio": 2}


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--channels=4:8,x", "--channels=4:8,x: give resolution:channels pairs"),
        ("--output_size=48", "--output_size=48 is not a power of two"),
        ("--output_size=256", "has no entry for 256 pixels"),
        ("--batch_size=6", "the discriminator takes 1-4 pictures or a multiple of 4"),
        ("--rounds=0", "--rounds: 0 is less than 1"),
    ],
)
def test_bad_benchmark_options(flag: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        parse_options(BenchmarkOptions, [flag])
