"""Shapes the fixed noise of a generator until its pictures have the spectrum of photos.

A generator writes fine detail with noise, and an ageing model takes the same planes for every picture. Where
its last convolutions answer to one frequency more than to others, such noise is a grid over all skin. The
planes are no weights: here they are given the detail that is missing, and no network is touched.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from criteria.spectrum_loss import SpectrumLoss
from datasets.faces import FaceFolder
from models.kinds import checkpoint_kind, what_is
from models.psp_aging import load_psp_aging
from models.stylegan2.model import Generator
from options.weights_options import ShapeNoiseOptions
from utils.ages import OLDEST
from utils.device import select_device
from utils.errors import InputError
from utils.files.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from utils.files.outputs import refuse_overwriting, require_writable
from utils.spacing import evenly

LEVELS = 2  # of the finest sides; coarser noise moves features, not grain
PLANE = "noises.noise_"
SHOWN = 0.1  # of the steps whose mean is told as the beginning and the end
KINDS = ("sam", "mytimemachine")


def fine_layers(generator: Generator) -> list[int]:
    """Numbers of the layers whose planes are shaped: those of the two largest sides."""
    return list(range(max(0, generator.num_layers - 2 * LEVELS), generator.num_layers))


def shape_noise(
    generator: Generator,
    codes: Tensor,
    photos: Tensor,
    steps: int,
    batch_size: int = 12,
    learning_rate: float = 0.05,
) -> tuple[dict[int, Tensor], list[float]]:
    """Optimises the planes of the finest layers with Adam, whose rate falls to 0 in the second half.

    Args:
        generator: frozen; it stays as it is.
        codes: W+ (N, n_latent, style_dim) of the pictures that it shall make.
        photos: (M, 3, R, R) in [-1, 1] at its size.
        steps: how many, of `batch_size` codes each.
        batch_size: codes a step.
        learning_rate: at the start.

    Returns:
        Planes (1, 1, side, side) by layer, float32 on the CPU, and the loss of every step.
    """
    loss_of = SpectrumLoss(photos)
    planes = [plane.detach().clone().float() for plane in generator.noise_buffers()]
    shaped = fine_layers(generator)
    for layer in shaped:
        planes[layer].requires_grad_(True)
    optimizer = torch.optim.Adam([planes[layer] for layer in shaped], lr=learning_rate, betas=(0.9, 0.99))
    losses = []
    bar = tqdm(range(steps), "shaping noise", unit="step")
    for step in bar:
        optimizer.param_groups[0]["lr"] = learning_rate * min(1.0, 2 * (1 - step / steps))
        chosen = torch.randint(0, len(codes), (batch_size,)).to(codes.device)
        loss = loss_of(generator.synthesize(codes[chosen], planes))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        bar.set_postfix(decibels=f"{losses[-1] ** 0.5:.2f}")
    return {layer: planes[layer].detach().cpu() for layer in shaped}, losses


def with_planes(checkpoint: Mapping[str, Any], planes: Mapping[int, Tensor]) -> Checkpoint:
    """The content of a file of SAM or MyTimeMachine with these planes, in the precision of the file.

    Args:
        checkpoint: what ``load_checkpoint`` read.
        planes: (1, 1, side, side) by layer.
    """
    state = dict(checkpoint["state_dict"])
    for layer, plane in planes.items():
        name = f"decoder.{PLANE}{layer}"
        state[name] = plane.to(state[name].dtype)
    return {**checkpoint, "state_dict": state}


def shape_file(opts: ShapeNoiseOptions) -> None:
    """Writes the file of a command.

    Raises:
        InputError: the checkpoint is of another kind, or a file cannot be read or written.
    """
    refuse_overwriting([opts.output], [opts.data_path])
    require_writable([Path(opts.output).parent])
    device = select_device(opts.device)
    torch.manual_seed(opts.seed)
    content = load_checkpoint(opts.checkpoint_path)
    if checkpoint_kind(content) not in KINDS:
        kinds = " or ".join(KINDS)
        raise InputError(f"{opts.checkpoint_path} is {what_is(content)}; name a file of kind {kinds}")
    model = load_psp_aging(content, opts.checkpoint_path, torch.float32).to(device)
    faces = FaceFolder(opts.data_path, model.output_size, cache=False)
    photos = faces.batch(evenly(len(faces), opts.n_images))["image"]
    ages = opts.youngest + (OLDEST - opts.youngest) * torch.rand(len(photos), 1)
    pairs = zip(photos.split(16), ages.split(16), strict=True)
    codes = torch.cat([model.codes(part, years).flatten(0, 1) for part, years in pairs])
    generator = model.network.decoder
    planes, losses = shape_noise(generator, codes, photos, opts.steps, opts.batch_size, opts.learning_rate)
    path = save_checkpoint(with_planes(content, planes), opts.output)
    few = max(1, round(SHOWN * len(losses)))
    before, after = (torch.tensor(part).mean().sqrt() for part in (losses[:few], losses[-few:]))
    print(f"distance from the spectrum of photos: {before:.2f} dB, now {after:.2f} dB\nwrote {path}")
