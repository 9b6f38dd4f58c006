"""What `scripts/project.py` does: photos in; their codes, pictures, ages and films out."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datasets.input_age import InputAge, InputAges
from datasets.photos import PhotoBatch, Photos, result_stems
from inference.perceptual import best_at_hand, perceptual_distance
from inference.projector import Projection, Projector
from inference.target_years import ages_of_photos
from models.generator_files import FaceGenerator, load_face_generator
from models.stylegan2.op import choose_ops
from options.projection_options import BEST, RESULTS, ProjectionOptions
from utils.age_groups import AgeGroups
from utils.device import select_device, select_precision
from utils.errors import InputError, naming
from utils.files.outputs import refuse_overwriting, require_writable
from utils.files.writing import written_atomically
from utils.notes import note
from utils.pictures.animation import write_mp4
from utils.pictures.archives import is_archive
from utils.pictures.sheets import image_sheet, tile
from utils.pictures.tensors import to_pil
from utils.pictures.writing import save_pil, write_image

TARGET, PROJECTED, AGES, FILM, CODE = RESULTS


def project_photos(opts: ProjectionOptions) -> None:
    """Projects the photos of a command and writes their results; those that are there already stay.

    Raises:
        InputError: a file cannot be used, not one photo can, or nothing can be written.
    """
    device = select_device(opts.device)
    choose_ops(opts.ops, device)
    generator = opened_generator(opts, device)
    ages = ages_of_photos(generator.crop, device, opts.age_classifier, opts.input_age)
    kind = best_at_hand(opts.lpips_weights) if opts.perceptual == BEST else opts.perceptual
    perceptual = perceptual_distance(kind, ages.classifier, device, opts.lpips_weights, "vgg")
    name = "LPIPS (vgg)" if kind == "lpips" else f"dex, the features of {ages.classifier}"
    print(f"perceptual distance: {name}")
    photos, folders = photos_and_folders(opts, generator.network.size)
    projector = Projector(generator.network, perceptual, opts.num_steps, opts.seed)
    means = projector.class_means() if generator.is_conditional and len(photos) else None
    for batch in photos.batches(opts.test_batch_size) if len(photos) else ():
        known = classes_of(batch, generator.groups, ages)
        numbers = [number for number, _ in known] if known else None
        found = projector.project(batch.images, numbers)
        for index, photo in enumerate(batch.names):
            said = "" if not known else in_words(*known[index], generator.names)
            print(f"{photo}: distance {float(found.distances[index]):.4f}{said}")
            one = OneProjection(projector, found, index, batch.images[index])
            number = None if numbers is None else numbers[index]
            write_projection(
                one, folders[batch.paths[index]], means, number, generator.names, opts.writes_video
            )
    print(f"results in {opts.folder}")


def opened_generator(opts: ProjectionOptions, device: torch.device) -> FaceGenerator:
    """The generator of a command.

    Raises:
        InputError: it cannot be used, or nothing says which ages its classes have.
    """
    generator = load_face_generator(opts.generator, device, opts.groups)
    if generator.is_conditional and generator.groups is None:
        raise InputError(
            f"{opts.generator} does not say which ages its {len(generator.names)} classes have; name them "
            "with --age_groups"
        )
    precision = select_precision(opts.mixed_precision, device)
    generator.network.compute_dtype = None if precision == torch.float32 else precision
    return generator


def photos_and_folders(opts: ProjectionOptions, size: int) -> tuple[Photos, dict[Path, Path]]:
    """The photos that have no results yet, and the folder for the results of each.

    Raises:
        InputError: there are no photos, a result would replace one, or a folder cannot be written.
    """
    root = Path(opts.photos)
    with naming("--target" if opts.target else "--data_path"):
        photos = Photos(root, size, own_output=[opts.folder])
    single = root.is_file() and not is_archive(root)
    stems = [Path()] if single else result_stems(photos.names)
    folders = {path: opts.folder / stem for path, stem in zip(photos.paths, stems, strict=True)}
    writes = [folder / name for folder in folders.values() for name in RESULTS]
    refuse_overwriting(writes, [*photos.paths, opts.generator, opts.age_classifier, opts.lpips_weights])
    require_writable(folders.values())
    left = [index for index, path in enumerate(photos.paths) if not (folders[path] / CODE).exists()]
    if len(left) < len(photos):
        done = len(photos) - len(left)
        note(f"{done} of {len(photos)} photos have results in {opts.folder} already; remove them to repeat")
    photos.names, photos.paths = ([all_[i] for i in left] for all_ in (photos.names, photos.paths))
    return photos, folders


def classes_of(batch: PhotoBatch, groups: AgeGroups | None, ages: InputAges) -> list[tuple[int, InputAge]]:
    """The class of each photo by its age; empty for an unconditional generator."""
    if groups is None:
        return []
    return [(group_of(age.years, groups), age) for age in ages(batch.paths, batch.images)]


def group_of(years: float, groups: AgeGroups) -> int:
    """The number of the group of an age, or of the nearest one where it falls between two."""
    number = groups.index(years)
    shares = groups.weights(years)
    return shares.index(max(shares)) if number is None else number


def in_words(number: int, age: InputAge, names: Sequence[str]) -> str:
    """The class of a photo for its line in the terminal."""
    return f", age group {names[number]} ({age.years:.3g} years by {age.source})"


# ---------------------------------------------------------------- results of one photo


class OneProjection:
    """What was found for one photo of a batch.

    Args:
        projector: renders.
        found: for the whole batch.
        index: of the photo.
        photo: (3, S, S) in [-1, 1].
    """

    def __init__(self, projector: Projector, found: Projection, index: int, photo: Tensor) -> None:
        self.photo, self.path = photo, found.path[:, index]
        self._projector = projector
        self._noise = [plane[index : index + 1] for plane in found.noise]

    def render(self, w: Tensor) -> Tensor:
        """Pictures (B, 3, R, R) of codes (B, style_dim) with the noise that was found, on the CPU."""
        rows = (self._projector.render(row[None], self._noise).cpu() for row in w)
        return torch.cat(list(rows))

    @property
    def code(self) -> Tensor:
        """W+ code (1, n_styles, style_dim), one w for all styles."""
        return self.path[-1].expand(1, self._projector.generator.n_latent, -1)


class Film(Sequence[Image.Image]):
    """The photo beside its projection after every step; frames are rendered when they are asked for."""

    def __init__(self, one: OneProjection) -> None:
        self._one = one

    def __len__(self) -> int:
        return len(self._one.path)

    @overload
    def __getitem__(self, index: int) -> Image.Image: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Image.Image]: ...

    def __getitem__(self, index: int | slice) -> Image.Image | Sequence[Image.Image]:
        if isinstance(index, slice):
            return [self[position] for position in range(len(self))[index]]
        picture = self._one.render(self._one.path[index][None])[0]
        return tile([[to_pil(self._one.photo), to_pil(picture)]])

    def __iter__(self) -> Iterator[Image.Image]:
        return (self[index] for index in range(len(self)))


def write_projection(
    one: OneProjection,
    folder: Path,
    means: Tensor | None,
    number: int | None,
    names: Sequence[str],
    film: bool,
) -> None:
    """Writes the results of a photo; the code, by which a second run knows that all are there, comes last.

    Args:
        one: what was found.
        folder: for the results.
        means: mean w (classes, style_dim) of a conditional generator.
        number: the class of the photo there.
        names: of the classes.
        film: whether one is written.

    Raises:
        InputError: a file cannot be written.
    """
    picture = one.render(one.path[-1:])[0]
    write_image(one.photo, folder / TARGET)
    write_image(picture, folder / PROJECTED)
    if means is not None and number is not None:
        moved = one.path[-1] + (means - means[number]).cpu()
        strip = image_sheet([[one.photo, picture, *one.render(moved)]], None, ["photo", "projected", *names])
        save_pil(strip, folder / AGES)
    if film:
        write_mp4(Film(one), folder / FILM)
    with written_atomically(folder / CODE) as temporary:
        np.savez(temporary, w=one.code.numpy())
