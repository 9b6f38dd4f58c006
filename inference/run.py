"""The run that every inference command shares: photos in, the same faces at the target ages out."""

import contextlib
import errno
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from datasets.photos import PhotoBatch, Photos, result_stems
from inference.aged_photo import AgedPhoto
from inference.target_years import TargetYears, input_ages
from models.aging_model import AgingModel
from options.ageing_options import AUTO, AgeingOptions
from utils.device import select_device
from utils.errors import InputError, explained, naming
from utils.faces.alignment import CROPS
from utils.faces.paste import FacePhoto
from utils.files.outputs import distinct, refuse_overwriting, require_writable
from utils.notes import note
from utils.pictures.originals import read_original
from utils.pictures.reading import read_pixels

Model = TypeVar("Model", bound=AgingModel)

# What keeps every further file from being written, too.
_NO_MORE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM),
}


class InferenceRun(Generic[Model]):
    """A model, the photos to age, and their target ages; nothing is written.

    Args:
        opts: of the command.
        model: as ``inference.loading`` loads it.

    Attributes:
        targets: the target ages.
        crop: how faces are cut out of the photos; None where the photos are aligned faces.
        generator: draws ages, and styles.
        seconds: time that :meth:`age` spent on each batch, divided by the number of ages.

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
        with naming(opts.photos_flag):
            self.photos = Photos(
                opts.photos, model.input_size, opts.n_images, self.crop, opts.faces, opts.own_output
            )
        self.size = model.input_size if opts.resize_outputs else model.output_size
        self.generator = torch.Generator().manual_seed(opts.seed)
        self.target_years = TargetYears(self.targets, input_ages(opts, crop, self.device), self.generator)
        self.seconds: list[float] = []
        self.done = 0
        self.without_result: list[Path] = []
        self._stems: dict[Path, Path] = {}

    @property
    def labels(self) -> list[str]:
        """The target ages as typed: the names of their folders."""
        return [target.label for target in self.targets]

    def will_write(
        self,
        files: Callable[[Path, Path, Path], Iterable[Path]],
        further: Sequence[Path] = (),
        reads: Iterable[str | Path | None] = (),
        official_stems: bool = False,
    ) -> None:
        """Checks before anything is computed that results land on no input and on no other result.

        Photos whose results would have one name get distinct ones.

        Args:
            files: what is written for a photo, by its name, stem and path; see :class:`AgedPhoto`.
            further: what is written once.
            reads: what this command reads besides photos and model.
            official_stems: see :func:`datasets.photos.result_stems`.

        Raises:
            InputError: a result would replace an input, or its folder cannot be written.
        """
        names = self.photos.names
        stems = result_stems(names, official_stems)

        def stem(index: int, name: Path) -> Path:
            tail = name.stem.removeprefix(names[index].stem)
            return stems[index].with_name(stems[index].name + tail)

        def of_photo(index: int, name: Path) -> Iterable[Path]:
            return files(name, stem(index, name), self.photos.paths[index])

        chosen = distinct(names, of_photo)
        self._stems = {name: stem(index, name) for index, name in enumerate(chosen)}
        writes = [*further, *(file for index, name in enumerate(chosen) for file in of_photo(index, name))]
        opts = self.opts
        models = (opts.checkpoint, opts.global_checkpoint, opts.age_classifier)
        refuse_overwriting(writes, [*self.photos.paths, *models, *reads])
        require_writable({file.parent for file in files(Path("a.png"), Path("a"), Path("a.png"))})
        self.photos.names = chosen

    def batches(self) -> Iterator[tuple[PhotoBatch, Tensor]]:
        """Yields every usable photo and the target ages ``(B, A)`` in years of its faces."""
        with tqdm(total=len(self.photos), desc="ageing", unit="photo") as bar:
            for batch in self.photos.batches(self.opts.test_batch_size, self.opts.test_workers):
                yield batch, self.target_years(batch)
                self.done += len(batch.names)
                bar.update(len(batch.names))

    def age(self, write: Callable[[AgedPhoto], None]) -> None:
        """Ages every usable photo and writes its results; what does not depend on the age is computed once.

        Args:
            write: writes the results of one photo; where that fails the next one comes.

        Raises:
            InputError: not one photo can be used, or nothing more can be written.
        """
        for batch, ages in self.batches():
            begin = _clock(self.device)
            with torch.inference_mode():
                results = self.model.age_path(batch.images.to(self.device), ages.to(self.device))
            self.seconds.append((_clock(self.device) - begin) / len(self.targets))
            for index in range(len(batch.names)):
                rows = batch.faces[index]
                with self.writing(batch.paths[index]):
                    write(self.show(batch, index, ages[rows], results[rows]))

    @contextlib.contextmanager
    def writing(self, path: Path) -> Iterator[None]:
        """Goes on with the next photo where the results of one cannot be written; it is named and counted.

        Raises:
            InputError: nothing more can be written, as on a full disk.
        """
        try:
            yield
        except (InputError, OSError) as error:
            trouble: BaseException | None = error
            while trouble is not None and not isinstance(trouble, OSError):
                trouble = trouble.__cause__
            if isinstance(error, UnusableModelError) or getattr(trouble, "errno", None) in _NO_MORE:
                raise
            reason = str(error) if isinstance(error, InputError) else explained(error) or str(error)
            note(f"{path}: {reason}", kind="no result")
            self.without_result.append(path)

    def show(self, batch: PhotoBatch, index: int, ages: Tensor, results: Tensor) -> AgedPhoto:
        """Makes the results ``(F, A, 3, R, R)`` of the photo with this index in a batch ready to be shown.

        Raises:
            InputError: the model makes no pictures, or the photo cannot be read any more.
        """
        self._require_finite(results)
        images, path, name = batch.images[batch.faces[index]], batch.paths[index], batch.names[index]
        photo = None
        if self.crop is not None:
            squares = [square for square in batch.squares[batch.faces[index]] if square is not None]
            original = read_original(path)
            pixels = original.values if original.is_plain else read_pixels(path)
            photo = FacePhoto(pixels, squares, original)
        return AgedPhoto(
            name=name,
            stem=self._stems.get(name, name.with_suffix("")),
            path=path,
            number=batch.first + index,
            images=images,
            faces=self.resized(images),
            ages=ages,
            results=self.resized(results.flatten(0, 1)).unflatten(0, results.shape[:2]).float().cpu(),
            photo=photo,
        )

    def faces(self, image: Tensor, ages: Sequence[float], at_once: int = 4) -> Iterator[Tensor]:
        """Renders one face ``(3, S, S)`` at many ages, a few at a time: pictures ``(3, R, R)`` on the CPU."""
        for start in range(0, len(ages), at_once):
            years = torch.tensor(ages[start : start + at_once], device=self.device)
            with torch.inference_mode():
                results = self.resized(self.model.age_path(image[None].to(self.device), years)[0])
            self._require_finite(results)
            yield from results.float().cpu()

    def resized(self, images: Tensor) -> Tensor:
        """Brings ``(N, 3, H, W)`` to the results' size: averaged down (as officially), bicubic up."""
        size = self.size
        if images.shape[-1] == size:
            return images
        if images.shape[-1] > size:
            return F.adaptive_avg_pool2d(images, size)
        return F.interpolate(images, size=(size, size), mode="bicubic", align_corners=False).clamp(-1, 1)

    def _require_finite(self, results: Tensor) -> None:
        if not results.isfinite().all():
            raise UnusableModelError(
                f"{self.opts.checkpoint} makes pictures of values that are no numbers (NaN or infinity); "
                "use another checkpoint"
            )

    def report(self, folder: Path) -> None:
        """Prints how many photos were done and how many files were skipped.

        Raises:
            InputError: results of photos could not be written.
        """
        reason = "unreadable or without a face" if self.crop else "unreadable"
        skipped = f", {len(self.photos.skipped)} {reason} skipped" if self.photos.skipped else ""
        missing = len(self.without_result)
        print(f"{self.done - missing} photos aged{skipped}; results in {folder}")
        if missing:
            raise InputError(f"{missing} of {self.done} photos lack results; see the lines above")


class UnusableModelError(InputError):
    """The model gives no pictures: no photo can be aged."""


def _clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
