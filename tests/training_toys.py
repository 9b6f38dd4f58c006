"""Networks of a few thousand weights, a folder of synthetic faces, and the real entry point to train them."""

import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from commands import script_main
from PIL import Image
from skimage.data import astronaut
from toy_networks import (
    ADAPTER,
    INVERTER,
    SMALL_FACE,
    SMALL_VGG,
    TINY_GENERATOR,
    directed_checkpoint,
    network_file,
    reaging_content,
    stylegan2_checkpoint,
    tiny_psp,
)

from models.psp import pSp
from models.psp_files import load_psp, psp_checkpoint
from models.stylegan2.model import StyleGAN2Config
from options.train_options import COACHES, parse_train_options
from training.coach import Coach
from training.start import make_coach
from utils.files.checkpoints import load_checkpoint, save_checkpoint
from utils.lazy import implementation

AGE_GROUPS = "0-39,40-100"  # half of the ages in each
AGES = (20, 25, 31, 38, 44, 52, 60, 67)

COMMON = ["--device=cpu", "--mixed_precision=no", "--threads=1", "--workers=0", "--max_steps=30"]
COMMON += ["--board_interval=1", "--val_interval=10", "--image_interval=0", "--save_minutes=0"]
SIZES = ["--output_size=16", "--style_dim=12", "--n_mlp=2", "--channels=4:8,8:8,16:8"]
ENCODER_SIZES = ["--encoder_size=32", "--encoder_channels=8,8,8,8,16", "--encoder_units=1,1,1,1"]
ENCODER_SIZES += ["--style_channels=8", "--optim_name=adam", "--n_test=4"]
RECONSTRUCTION = ["--l2_lambda=1", "--lpips_lambda=0.1", "--id_lambda=0.1", "--perceptual=dex"]
AGEING = [*RECONSTRUCTION, "--l2_lambda_aging=1", "--lpips_lambda_aging=0.1", "--lpips_lambda_crop=0.1"]
AGEING += ["--l2_lambda_crop=1", "--w_norm_lambda=0.005", "--aging_lambda=1", "--cycle_lambda=1"]
AGEING += ["--target_age=uniform_random", "--use_weighted_id_loss"]


def make_faces(folder: Path, ages: Sequence[float] = AGES, size: int = 40) -> Path:
    """Writes `{age}_{idx}.png`: one public-domain face, moved, lit and coloured; redder with age."""
    folder.mkdir(parents=True, exist_ok=True)
    face = Image.fromarray(astronaut()[:260, 90:350])
    random = np.random.default_rng(7)
    for index, age in enumerate(ages):
        left, top = random.integers(0, 40, 2)
        crop = face.crop((left, top, left + 210, top + 210)).resize((size, size), Image.Resampling.LANCZOS)
        tint = random.uniform(0.6, 1.0, 3) * (1.0, 1 - age / 150, 1 - age / 150)
        pixels = (np.asarray(crop) * tint).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{age:g}_{index}.png")
    return folder


def stylegan2_file(config: StyleGAN2Config = TINY_GENERATOR) -> dict[str, Any]:
    """A file of untrained networks, as the coach writes it."""
    return {**stylegan2_checkpoint(config=config), "opts": {"architecture": {"generator": config.to_dict()}}}


def make_files(folder: Path) -> SimpleNamespace:
    """Writes one checkpoint of every kind and the folders of faces; returns their paths by name."""
    torch.manual_seed(0)
    generator = stylegan2_file()
    psp, sam = tiny_psp(**INVERTER), tiny_psp()
    for net in (psp, sam):
        net.set_latent_avg(0.1 * net.latent_avg[0])
        net.decoder.load_state_dict(generator["g_ema"])
    contents = {
        "stylegan2": generator,
        "age_classifier": network_file("age_classifier", SMALL_VGG),
        "identity": network_file("identity", SMALL_FACE),
        "psp": psp_checkpoint(psp),
        "sam": psp_checkpoint(sam),
        "mytimemachine": psp_checkpoint(tiny_psp(blender=replace(ADAPTER, zero_init=True))),
        "resume": {"networks": {}, "optimizers": {}, "step": 3},
        "conditional": {**stylegan2_checkpoint(2, TINY_GENERATOR), "classes": {"age_groups": AGE_GROUPS}},
        "directed": directed_checkpoint("z", AGE_GROUPS),
        "reaging_gan": reaging_content(AGE_GROUPS),
    }
    paths = {name: str(save_checkpoint(content, folder / f"{name}.pt")) for name, content in contents.items()}
    faces, test = make_faces(folder / "faces"), make_faces(folder / "test", AGES[::2])
    people = folder / "people"
    for person, ages in (("ann", AGES[:3]), ("bob", AGES[3:6])):
        make_faces(people / person, ages)
    return SimpleNamespace(faces=str(faces), test=str(test), people=str(people), **paths)


def arguments(coach: str, files: SimpleNamespace, exp_dir: Path, *more: str) -> list[str]:
    """A command line that trains a toy of each kind; later flags win."""
    data = [f"--train_dataset={files.faces}", f"--test_dataset={files.test}"]
    networks = [f"--age_classifier={files.age_classifier}", f"--identity_network={files.identity}"]
    generator = [f"--stylegan_weights={files.stylegan2}"]
    auxiliary = ["--batch_size=4", "--learning_rate=1e-2", "--input_size=32", "--ema_steps=5"]
    own = {
        "stylegan2": [*SIZES, "--batch_size=4", "--d_reg_every=4", "--g_reg_every=4", "--augment_p=0.2"],
        "latent_encoder": [
            f"--stylegan_weights={files.conditional}",
            *("--encoder_size=80", "--encoder_width=0.125", "--encoder_repeats=1,1,1", "--batch_size=4"),
            *("--l2_lambda=1", "--lpips_lambda=0.1", "--perceptual=dex", *networks, "--n_test=4"),
        ],
        "reaging_gan": [
            *("--output_size=16", "--base_channels=4", "--style_dim=8", "--residual_blocks=1"),
            *(f"--age_groups={AGE_GROUPS}", "--masks=none", "--batch_size=4", "--learning_rate=1e-2"),
            *("--n_test=4", "--d_reg_every=4", "--adversarial_form=nonsaturating"),
        ],
        "age_classifier": [*auxiliary, "--network_channels=8,8,8,8,8", "--network_depths=1,1,1,1,1"],
        "identity": [*auxiliary, "--network=ir_se", "--network_channels=8,8,8,8,8", "--teacher=folders"],
        "psp": [*ENCODER_SIZES, *RECONSTRUCTION, *networks, *generator, "--start_from_latent_avg"],
        "sam": [*ENCODER_SIZES, *AGEING, *networks, *generator, "--start_from_encoded_w_plus"],
        "mytimemachine": [*AGEING, *networks, f"--checkpoint_path={files.sam}", "--optim_name=ranger"],
    }[coach]
    if coach == "stylegan2":
        data = data[:1]
    elif coach == "identity":
        data = [f"--train_dataset={files.people}", f"--test_dataset={files.people}"]
        own += ["--network_depths=1,1,1,1", "--embedding_dim=8", "--scale=8", "--margin=0.1"]
    elif coach in ("psp", "sam", "mytimemachine"):
        rate = 3e-2 if coach == "mytimemachine" else 3e-3
        own += [f"--learning_rate={rate}", "--batch_size=2"]
    if coach == "mytimemachine":
        own += [f"--judge_age={files.age_classifier}", f"--judge_identity={files.identity}"]
    if coach == "sam":
        own += [f"--pretrained_psp_path={files.psp}", "--encoder_start=prior"]
    return [f"--coach={coach}", f"--exp_dir={exp_dir}", *COMMON, *data, *own, *more]


def train(command: Sequence[str]) -> None:
    """Runs `scripts/train.py` in this process."""
    script_main("train")(command)


def coach_class(name: str) -> type[Coach[Any]]:
    """The class behind `--coach=name`."""
    return implementation(COACHES[name].coach)


def coach(command: Sequence[str]) -> Coach[Any]:
    """What a command line would train, before its first step."""
    return make_coach(parse_train_options(command))


def network(path: str | Path) -> pSp:
    """The network of a pSp, SAM or MyTimeMachine file."""
    return load_psp(load_checkpoint(path), str(path))


def terminate_at(monkeypatch: pytest.MonkeyPatch, coach: str, step: int) -> None:
    """Sends SIGTERM to this process while the coach makes step number `step`."""
    kind = coach_class(coach)
    original = kind.training_step

    def step_and_signal(self: Coach) -> Any:
        figures = original(self)
        if self.step + 1 == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return figures

    monkeypatch.setattr(kind, "training_step", step_and_signal)


def spoil_at(monkeypatch: pytest.MonkeyPatch, coach: str, step: int) -> None:
    """Makes the first figure of step number `step` not a number."""
    kind = coach_class(coach)
    original = kind.training_step

    def step_and_spoil(self: Coach) -> Any:
        figures = original(self)
        if self.step + 1 == step:
            name = next(iter(figures))
            figures[name] = torch.full_like(figures[name], float("nan"))
        return figures

    monkeypatch.setattr(kind, "training_step", step_and_spoil)


def run_folder(coach: str, exp_dir: Path) -> Path:
    """Where the first run of a coach lands."""
    return exp_dir / "00000" if coach == "mytimemachine" else exp_dir


def scalars(run: Path, name: str) -> list[float]:
    """One figure of a run by step, from its TensorBoard log."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(run / "logs"))
    log.Reload()
    return [event.value for event in log.Scalars(name)]
