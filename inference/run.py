"""What the inference scripts share: model, photos, target ages, and how results are shown."""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from configs.paths_config import model_paths
from datasets.input_age import InputAges
from datasets.photos import PhotoBatch, Photos
from models.aging_model import AgingModel, PSPAgingModel, has_drifted_encoder, load_aging_model
from models.stylegan2.op import choose_ops
from options.target_ages import OLDEST, YOUNGEST, TargetAge
from utils.device import select_device
from utils.errors import InputError
from utils.faces.alignment import CROPS, predictor_path
from utils.faces.paste import FacePhoto
from utils.files.checkpoints import load_checkpoint
from utils.pictures.reading import open_photo
from utils.pictures.tensors import to_pil
from utils.pictures.writing import save_pil

OFFICIAL_INPUT = 256  # pixels; models that see so many learned from FFHQ crops
SHEET_SIDE = 1024  # of whole photos on sheets and strips, which hold many of them


@dataclass(frozen=True)
class AgedPhoto:
    """One photo and its aged versions, on the CPU.

    Attributes:
        name: path of its results below their folder.
        number: counted over the usable photos of the whole run.
        image: ``(3, S, S)``, the face as the model saw it.
        face: ``(3, R, R)``, the same at the size of the results.
        ages: ``(A,)`` target ages in years.
        results: ``(A, 3, R, R)`` in [-1, 1].
        photo: what the face was cut from, None where the input was an aligned face.
    """

    name: Path
    number: int
    image: Tensor
    face: Tensor
    ages: Tensor
    results: Tensor
    photo: FacePhoto | None

    def original(self) -> Image.Image:
        """The input: the whole photo, or the aligned face."""
        return to_pil(self.face) if self.photo is None else Image.fromarray(self.photo.pixels)

    def picture(self, face: Tensor) -> Image.Image:
        """A face of the model, ``(3, R, R)``, put back into the photo where there is one."""
        picture = to_pil(face)
        return picture if self.photo is None else self.photo.with_face(np.asarray(picture))

    def pictures(self) -> list[Image.Image]:
        """The results at all target ages."""
        return [self.picture(result) for result in self.results]

    def for_sheet(self, side: int = SHEET_SIDE) -> "AgedPhoto":
        """The same with a whole photo reduced to ``side`` pixels; an aligned face stays as it is."""
        return self if self.photo is None else replace(self, photo=self.photo.reduced(side))

    def save(self, picture: Image.Image, path: Path) -> None:
        """Writes a picture with the colour profile of the photo, and with its EXIF data where it is one."""
        kept = {} if self.photo is None else dict(self.photo.metadata)
        if self.photo is not None and picture.size != self.photo.size:
            kept.pop("exif", None)  # of a sheet it would be wrong
        save_pil(picture, path, kept)


class InferenceRun:
    """A loaded model, the photos to age, and their target ages; nothing is written.

    Args:
        opts: what ``options.inference_options`` parsed.
        targets: the target ages.
        model: loaded from ``opts.checkpoint_path`` if None.

    Attributes:
        seconds: time that :meth:`aged` spent on each batch, divided by the number of ages.

    Raises:
        InputError: device, operators, checkpoint or folder cannot be used.
    """

    def __init__(
        self, opts: argparse.Namespace, targets: Sequence[TargetAge], model: AgingModel | None = None
    ) -> None:
        self.opts = opts
        self.targets = targets
        self.device = chosen_device(opts)
        if opts.align:
            predictor_path()  # its absence is told now, not once a photo
        if model is None:
            model = load_model(opts.checkpoint_path, opts)
        self.model = model
        crop = opts.crop
        if crop == "auto":
            crop = "ffhq" if model.input_size >= OFFICIAL_INPUT else "tight"
        # Without FFHQ's blur towards the border of the photo, which would be pasted back.
        self.crop = replace(CROPS[crop], fade=False) if opts.align else None
        self.photos = Photos(
            opts.data_path, model.input_size, getattr(opts, "n_images", None), crop=self.crop
        )
        self.size = model.input_size if getattr(opts, "resize_outputs", False) else model.output_size
        self.input_ages = make_input_ages(opts, crop, self.device)
        self.generator = torch.Generator().manual_seed(getattr(opts, "seed", 0))
        self.seconds: list[float] = []
        self.done = 0

    @property
    def style_model(self) -> PSPAgingModel:
        """The model as one that has W+ codes.

        Raises:
            InputError: it has none.
        """
        if not isinstance(self.model, PSPAgingModel):
            raise InputError(f"{self.opts.checkpoint_path} is a model without styles; use inference.py")
        return self.model

    def batches(self) -> Iterator[tuple[PhotoBatch, Tensor]]:
        """Yields every usable photo and its target ages ``(B, A)`` in years."""
        with tqdm(total=len(self.photos), desc="ageing", unit="photo") as bar:
            for batch in self.photos.batches(self.opts.test_batch_size, self.opts.test_workers):
                yield batch, self._target_years(batch)
                self.done += len(batch.names)
                bar.update(len(batch.names))

    def aged(self) -> Iterator[AgedPhoto]:
        """Ages every usable photo; each is encoded once."""
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

    def _target_years(self, batch: PhotoBatch) -> Tensor:
        """Years ``(B, A)``; ``uniform_random`` draws a whole year from 0 to 100 for each photo."""
        count = len(batch.names)
        own = [0.0] * count
        if any(target.relative for target in self.targets):
            found = self.input_ages(batch.paths, batch.images)
            own = [age.years for age in found]
            for name, age in zip(batch.names, found, strict=True):
                tqdm.write(f"{name}: {age.years:.3g} years ({age.source})")
        columns = []
        for target in self.targets:
            if target.years is None:
                columns.append(torch.randint(0, 101, (count,), generator=self.generator).float())
            elif not target.relative:
                columns.append(torch.full((count,), target.years))
            else:
                wanted = torch.tensor(own) + target.years
                columns.append(wanted.clamp(YOUNGEST, OLDEST))
                for name, years, age in zip(batch.names, wanted.tolist(), columns[-1].tolist(), strict=True):
                    if years != age:
                        tqdm.write(
                            f"note: {name}: {target.label} gives {years:.3g} years, taken as {age:g}",
                            file=sys.stderr,
                        )
        return torch.stack(columns, dim=1)


def chosen_device(opts: argparse.Namespace) -> torch.device:
    """The device of ``--device``, with the operators of ``--ops``.

    Raises:
        InputError: one of them cannot be had.
    """
    device = select_device(opts.device)
    choose_ops(opts.ops, device)
    return device


def load_model(checkpoint: str, opts: argparse.Namespace) -> AgingModel:
    """Loads what ages faces, with the global encoder that an official personalised file needs.

    Raises:
        InputError: a file cannot be used, or the device does not exist.
    """
    device = chosen_device(opts)
    encoder = opts.global_checkpoint or find_global_checkpoint(checkpoint)
    return load_aging_model(checkpoint, device, encoder, opts.mixed_precision)


def find_global_checkpoint(checkpoint: str) -> str | None:
    """The SAM file for a personalised file whose own encoder has drifted; None where none is needed.

    For an official file that is the configured one, for one of ours the file that it was trained from. If
    it is not at hand, a note says what to do.
    """
    content = load_checkpoint(checkpoint)
    if not has_drifted_encoder(content):
        return None
    own = content.get("opts") or {}
    sam = own.get("checkpoint_path") if own.get("architecture") else model_paths["sam_ffhq_aging"]
    if sam and Path(sam).is_file():
        print(f"the encoder of {checkpoint} has drifted in training; taking that of {sam}")
        return sam
    print(
        f"note: the encoder of {checkpoint} has drifted in training; for the official pictures give "
        "--global_checkpoint=FILE, the SAM file that it was trained from",
        file=sys.stderr,
    )
    return None


def make_input_ages(opts: argparse.Namespace, crop: str, device: torch.device) -> InputAges:
    """Chooses the age classifier: the given one, else the one that knows the crop."""
    official, bundled = model_paths["age_predictor"], model_paths["demo_age_classifier"]
    classifier = opts.age_classifier
    if classifier is None:
        classifier = official if crop == "ffhq" and Path(official).is_file() else bundled
    cut = crop == "ffhq" and classifier == bundled
    return InputAges(classifier, opts.input_age, cut, device)


def _clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
