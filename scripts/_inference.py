"""What the inference scripts share: load the model, age every photo once at all target ages, report."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from datasets.photos import PhotoBatch, Photos
from models.aging_model import AgingModel, load_aging_model
from models.stylegan2.op import choose_ops
from options.inference_options import TargetAge, unused_mixing_flags
from utils.device import select_device


@dataclass(frozen=True)
class AgedBatch:
    """Photos and their aged versions, on the CPU.

    Attributes:
        photos: the batch as it was read.
        inputs: ``(B, 3, R, R)``, the photos at the size of the results.
        results: ``(B, A, 3, R, R)`` in [-1, 1], one for each target age.
        seconds: time the network took, divided by the number of ages.
    """

    photos: PhotoBatch
    inputs: Tensor
    results: Tensor
    seconds: float


def load(opts: argparse.Namespace) -> tuple[AgingModel, Photos]:
    """Loads the model and lists the photos; nothing is written yet.

    Raises:
        InputError: device, operators, checkpoint or folder cannot be used.
    """
    for flag in unused_mixing_flags(opts):
        print(f"note: {flag} has no effect here", file=sys.stderr)
    device = select_device(opts.device)
    choose_ops(opts.ops, device)
    model = load_aging_model(opts.checkpoint_path, device, opts.global_checkpoint, opts.mixed_precision)
    return model, Photos(opts.data_path, model.input_size, opts.n_images)


def age_batches(
    model: AgingModel, photos: Photos, targets: Sequence[TargetAge], opts: argparse.Namespace
) -> Iterator[AgedBatch]:
    """Ages every readable photo; each is encoded once."""
    size = model.input_size if opts.resize_outputs else model.output_size
    device = select_device(opts.device)
    generator = torch.Generator().manual_seed(opts.seed)
    with tqdm(total=len(photos), desc="ageing", unit="photo") as bar:
        for batch in photos.batches(opts.test_batch_size, opts.test_workers):
            ages = target_years(targets, len(batch.names), generator).to(device)
            images = batch.images.to(device)
            begin = _clock(device)
            with torch.inference_mode():
                results = _resized(model.age_path(images, ages), size)
            seconds = (_clock(device) - begin) / len(targets)
            yield AgedBatch(batch, _resized(batch.images, size), results.float().cpu(), seconds)
            bar.update(len(batch.names))


def target_years(targets: Sequence[TargetAge], count: int, generator: torch.Generator) -> Tensor:
    """Returns ``(count, A)`` years; ``uniform_random`` draws a whole year from 0 to 100 for each photo."""
    columns = [
        torch.randint(0, 101, (count,), generator=generator).float()
        if target.years is None
        else torch.full((count,), target.years)
        for target in targets
    ]
    return torch.stack(columns, dim=1)


def report(photos: Photos, written: int, folder: object) -> None:
    """Prints how many photos were done and how many files were skipped."""
    skipped = f", {len(photos.skipped)} unreadable skipped" if photos.skipped else ""
    print(f"{written} photos aged{skipped}; results in {folder}")


def _clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _resized(images: Tensor, size: int) -> Tensor:
    """Brings ``(..., 3, H, W)`` to ``size`` pixels: average pooling down (as officially), bicubic up."""
    if images.shape[-1] == size:
        return images
    flat = images.flatten(0, -4)
    if images.shape[-1] > size:
        flat = F.adaptive_avg_pool2d(flat, size)
    else:
        flat = F.interpolate(flat, size=(size, size), mode="bicubic", align_corners=False).clamp(-1, 1)
    return flat.unflatten(0, images.shape[:-3])
