"""The run that every inference command shares: photos in, the same faces at the target ages out."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from datasets.photos import PhotoBatch, Photos
from inference.aged_photo import AgedPhoto
from inference.target_years import TargetYears, input_ages
from models.aging_model import AgingModel
from options.ageing_options import AUTO, AgeingOptions
from utils.device import select_device
from utils.faces.alignment import CROPS
from utils.faces.paste import FacePhoto
from utils.pictures.reading import open_photo

Model = TypeVar("Model", bound=AgingModel)


class InferenceRun(Generic[Model]):
    """A model, the photos to age, and their target ages; nothing is written.

    Args:
        opts: of the command.
        model: as ``inference.loading`` loads it.

    Attributes:
        targets: the target ages.
        crop: how faces are cut out of the photos; None where the photos are aligned faces.
        generator: draws ages, and styles.
        seconds: time that :meth:`aged` spent on each batch, divided by the number of ages.

    Raises:
        InputError: device or folder cannot be used.
    """

    def __init__(self, opts: AgeingOptions, model: Model) -> None:
        self.opts = opts
        self.model = model
        self.targets = opts.targets
        self.device = select_device(opts.device)
        crop = model.crop if opts.crop == AUTO else opts.crop
        # Without FFHQ's blur towards the border of the photo, which would be pasted back.
        self.crop = replace(CROPS[crop], fade=False) if opts.align else None
        self.photos = Photos(opts.photos, model.input_size, opts.n_images, crop=self.crop)
        self.size = model.input_size if opts.resize_outputs else model.output_size
        self.generator = torch.Generator().manual_seed(opts.seed)
        self.target_years = TargetYears(self.targets, input_ages(opts, crop, self.device), self.generator)
        self.seconds: list[float] = []
        self.done = 0

    @property
    def labels(self) -> list[str]:
        """The target ages as typed: the names of their folders."""
        return [target.label for target in self.targets]

    def batches(self) -> Iterator[tuple[PhotoBatch, Tensor]]:
        """Yields every usable photo and its target ages ``(B, A)`` in years."""
        with tqdm(total=len(self.photos), desc="ageing", unit="photo") as bar:
            for batch in self.photos.batches(self.opts.test_batch_size, self.opts.test_workers):
                yield batch, self.target_years(batch)
                self.done += len(batch.names)
                bar.update(len(batch.names))

    def aged(self) -> Iterator[AgedPhoto]:
        """Ages every usable photo; what does not depend on the age is computed once."""
        for batch, ages in self.batches():
            begin = _clock(self.device)
            with torch.inference_mode():
                results = self.model.age_path(batch.images.to(self.device), ages.to(self.device))
            self.seconds.append((_clock(self.device) - begin) / len(self.targets))
            for row in range(len(batch.names)):
                yield self.show(batch, row, ages[row], results[row])

    def show(self, batch: PhotoBatch, row: int, ages: Tensor, results: Tensor) -> AgedPhoto:
        """Makes results ``(A, 3, R, R)`` of one photo of a batch ready to be shown."""
        square, image = batch.squares[row], batch.images[row]
        photo = None
        if square is not None:
            pixels, metadata = open_photo(batch.paths[row])
            photo = FacePhoto(np.asarray(pixels), square, metadata)
        return AgedPhoto(
            name=batch.names[row],
            number=batch.first + row,
            image=image,
            face=self.resized(image[None])[0],
            ages=ages,
            results=self.resized(results).float().cpu(),
            photo=photo,
        )

    def faces(self, image: Tensor, ages: Sequence[float], at_once: int = 4) -> Iterator[Tensor]:
        """Renders one face ``(3, S, S)`` at many ages, a few at a time: pictures ``(3, R, R)`` on the CPU."""
        for start in range(0, len(ages), at_once):
            years = torch.tensor(ages[start : start + at_once], device=self.device)
            with torch.inference_mode():
                results = self.resized(self.model.age_path(image[None].to(self.device), years)[0])
            yield from results.float().cpu()

    def resized(self, images: Tensor) -> Tensor:
        """Brings ``(N, 3, H, W)`` to the results' size: averaged down (as officially), bicubic up."""
        size = self.size
        if images.shape[-1] == size:
            return images
        if images.shape[-1] > size:
            return F.adaptive_avg_pool2d(images, size)
        return F.interpolate(images, size=(size, size), mode="bicubic", align_corners=False).clamp(-1, 1)

    def report(self, folder: Path) -> None:
        """Prints how many photos were done and how many files were skipped."""
        reason = "unreadable or without a face" if self.crop else "unreadable"
        skipped = f", {len(self.photos.skipped)} {reason} skipped" if self.photos.skipped else ""
        print(f"{self.done} photos aged{skipped}; results in {folder}")


def _clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
