"""The run that every inference command shares: photos in, the same faces at the target ages out."""

import contextlib
import errno
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from datasets.photos import PhotoBatch, Photos, result_stems
from inference.aged_photo import AgedPhoto
from inference.target_years import TargetYears, input_ages
from models.aging_model import AgingModel, KeepsBackground
from options.ageing_options import AUTO, AgeingOptions
from utils.device import select_device
from utils.distributed import everyone, is_main, join, leave, own_device, rank, say
from utils.errors import BAD_INPUT, InputError, explained, naming
from utils.faces.alignment import CROPS
from utils.faces.paste import FacePhoto
from utils.files.outputs import distinct, refuse_overwriting, require_writable
from utils.notes import note
from utils.parallel import Background, once, worker_count
from utils.pictures.originals import read_original
from utils.pictures.reading import read_pixels
from utils.pictures.tensors import to_uint8

Model = TypeVar("Model", bound=AgingModel)
Drawn = TypeVar("Drawn")

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
        background: threads that write results; a context of the work in which :meth:`write` is called.

    Where `torchrun` started several processes they share the photos, and all of them must do the same.

    Raises:
        InputError: device or folder cannot be used.
    """

    def __init__(self, opts: AgeingOptions, model: Model) -> None:
        self.opts = opts
        self.model = model
        self.targets = opts.targets
        self.device = own_device(select_device(opts.device))
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
        self.background = Background(worker_count(opts.write_workers))
        self._naming = Lock()
        self._stems: dict[Path, Path] = {}
        join(self.device)

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
        models = (opts.checkpoint, opts.global_checkpoint, opts.encoder_path, opts.age_classifier)
        refuse_overwriting(writes, [*self.photos.paths, *models, *reads])
        require_writable({file.parent for file in files(Path("a.png"), Path("a"), Path("a.png"))})
        self.photos.names = chosen

    def leave_out(self, done: Callable[[Path], bool], folder: Path) -> None:
        """Leaves out the photos whose results are there; after :meth:`will_write`, before the first batch.

        Args:
            done: tells it by the stem of a photo.
            folder: of the results, for the note.
        """
        photos = self.photos
        left = [index for index, name in enumerate(photos.names) if not done(self._stems[name])]
        if (there := len(photos) - len(left)) and is_main():
            note(f"{there} of {len(photos)} photos have results in {folder} already; remove them to repeat")
        photos.names, photos.paths = ([all_[i] for i in left] for all_ in (photos.names, photos.paths))

    def batches(self) -> Iterator[tuple[PhotoBatch, Tensor]]:
        """Yields every usable photo and the target ages ``(B, A)`` in years of its faces."""
        for batch, ages, _ in self.batches_with(lambda _: None):
            yield batch, ages

    def batches_with(self, draw: Callable[[int], Drawn]) -> Iterator[tuple[PhotoBatch, Tensor, Drawn]]:
        """Yields every usable photo, the target ages ``(B, A)``, and what else is drawn for its faces.

        Args:
            draw: draws for so many faces. Every process draws for the faces of all, in their order, so that
                each gets what it would get in a single process.
        """
        with tqdm(total=len(self.photos), desc="ageing", unit="photo", disable=not is_main()) as bar:
            for batch in self.photos.batches(self.opts.test_batch_size, self.opts.test_workers, shared=True):
                drawn = [(self.target_years.draw(faces), draw(faces)) for _, faces in batch.parts]
                if batch.paths:
                    years, more = drawn[rank()]
                    yield batch, self.target_years(batch, years), more
                photos = sum(photos for photos, _ in batch.parts)
                self.done += photos
                bar.update(photos)

    def age(self, write: Callable[[AgedPhoto], None]) -> None:
        """Ages every usable photo and writes its results; what does not depend on the age is computed once.

        Args:
            write: has the results of a photo written, see :meth:`write`; where that fails the next one comes.

        Raises:
            InputError: not one photo can be used, or nothing more can be written.
        """
        with self.background:
            for batch, ages in self.batches():
                begin = _clock(self.device)
                with torch.inference_mode():
                    results = self.model.age_path(batch.images.to(self.device), ages.to(self.device))
                self.seconds.append((_clock(self.device) - begin) / len(self.targets))
                for index in range(len(batch.names)):
                    rows = batch.faces[index]
                    with self.writing(batch.paths[index]):
                        write(self.show(batch, index, ages[rows], results[rows]))

    def write(self, path: Path, job: Callable[[], None], size: int) -> None:
        """Has some results of a photo written while the next ones are computed; see :meth:`writing`.

        Args:
            path: the photo.
            job: encodes and writes.
            size: bytes of the pictures that it holds.

        Raises:
            InputError: nothing more can be written; what the jobs before this one met.
        """

        def guarded() -> None:
            with self.writing(path):
                job()

        self.background.do(guarded, size)

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
            with self._naming:
                if path not in self.without_result:
                    note(f"{path}: {reason}", kind="no result")
                    self.without_result.append(path)

    def show(self, batch: PhotoBatch, index: int, ages: Tensor, results: Tensor) -> AgedPhoto:
        """Makes the results ``(F, A, 3, R, R)`` of the photo with this index in a batch ready to be shown.

        Raises:
            InputError: the model makes no pictures.
        """
        images, path, name = batch.images[batch.faces[index]], batch.paths[index], batch.names[index]
        squares = [square for square in batch.squares[batch.faces[index]] if square is not None]
        return AgedPhoto(
            name=name,
            stem=self._stems.get(name, name.with_suffix("")),
            path=path,
            number=batch.first + index,
            images=images,
            faces=_as_bytes(self.resized(images)),
            ages=ages,
            results=self.as_shown(results),
            read_photo=None
            if self.crop is None
            else once(partial(_read_photo, path, squares, self._masks(images))),
        )

    def as_shown(self, results: Tensor) -> Tensor:
        """Results ``(F, A, 3, R, R)`` of the model as uint8 on the CPU, at the size that is wanted.

        Raises:
            InputError: the model makes no pictures.
        """
        self._require_finite(results)
        return _as_bytes(self.resized(results.flatten(0, 1))).unflatten(0, results.shape[:2])

    def _masks(self, images: Tensor) -> list[np.ndarray] | None:
        """Where faces (F, 3, S, S) may change, uint8 (R, R) each; None for everywhere."""
        if not isinstance(self.model, KeepsBackground):
            return None
        masks = self.model.face_masks(images)
        return None if masks is None else [mask.numpy() for mask in (255 * masks[:, 0]).round().byte().cpu()]

    def faces(self, image: Tensor, ages: Sequence[float], at_once: int = 4) -> Iterator[Tensor]:
        """Renders one face ``(3, S, S)`` at many ages, a few at a time: ``(3, R, R)`` uint8 on the CPU."""
        for start in range(0, len(ages), at_once):
            years = torch.tensor(ages[start : start + at_once], device=self.device)
            with torch.inference_mode():
                results = self.resized(self.model.age_path(image[None].to(self.device), years)[0])
            self._require_finite(results)
            yield from _as_bytes(results)

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
        """Prints how many photos all processes have done and how many files they skipped.

        Raises:
            InputError: results of photos could not be written.
        """
        outcomes = everyone((len(self.photos.skipped), len(self.without_result)))
        skipped, missing = map(sum, zip(*outcomes, strict=True))
        leave()
        reason = "unreadable or without a face" if self.crop else "unreadable"
        also = f", {skipped} {reason} skipped" if skipped else ""
        say(f"{self.done - missing} photos aged{also}; results in {folder}")
        if missing and not is_main():
            sys.exit(BAD_INPUT)
        if missing:
            raise InputError(f"{missing} of {self.done} photos lack results; see the lines above")


class UnusableModelError(InputError):
    """The model gives no pictures: no photo can be aged."""


def _as_bytes(images: Tensor) -> Tensor:
    """``(N, 3, R, R)`` as uint8 on the CPU, each with its channels last in memory, as pictures have them."""
    return to_uint8(images).contiguous(memory_format=torch.channels_last).cpu()


def _read_photo(path: Path, squares: Sequence[np.ndarray], masks: Sequence[np.ndarray] | None) -> FacePhoto:
    original = read_original(path)
    pixels = original.values if original.is_plain else read_pixels(path)
    return FacePhoto(pixels, squares, original, masks)


def _clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
