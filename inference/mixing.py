"""Aged faces with styles of other faces: invented ones (style mixing), or those of reference photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor

from datasets.photos import Photos
from inference.aged_photo import AgedPhoto
from inference.results import write_strip
from inference.run import InferenceRun
from models.aging_model import StyleModel
from models.stylegan2.styles import mix_styles
from options.ageing_options import MIXTURES, REFERENCE_GUIDED
from options.inference_options import ReferenceOptions, StyleMixingOptions
from utils.pictures.sheets import tile
from utils.pictures.tensors import to_pil
from utils.pictures.writing import save_pil


@dataclass(frozen=True)
class Reference:
    """A reference photo at the size of the results and its code ``(n_styles, style_dim)``."""

    picture: Image.Image
    code: Tensor


def write_random_mixtures(run: InferenceRun[StyleModel], opts: StyleMixingOptions) -> None:
    """Writes ``style_mixing/AGE/NAME`` below ``exp_dir``: the input, then its mixtures with invented faces.

    Raises:
        InputError: there is no such style, not one photo can be used, or a file cannot be written.
    """
    folder = Path(opts.exp_dir) / MIXTURES / run.labels[0]
    run.will_write(lambda name, *_: [folder / name])

    def draw(faces: int) -> list[Tensor]:
        return [run.model.random_codes(opts.n_outputs_to_generate, run.generator) for _ in range(faces)]

    with run.background:
        for batch, ages, invented in run.batches_with(draw):
            codes = run.model.codes(batch.images.to(run.device), ages.to(run.device))[:, 0]
            for index, rows in enumerate(batch.faces):
                mixed = [
                    mixtures(run.model, code, others, opts)
                    for code, others in zip(codes[rows], invented[rows], strict=True)
                ]
                photo = run.show(batch, index, ages[rows], torch.stack(mixed))
                run.write(photo.path, partial(write_strip, photo, folder / photo.name), photo.results.nbytes)
    run.report(folder)


def write_reference_mixtures(
    run: InferenceRun[StyleModel], opts: ReferenceOptions, paths: Sequence[Path]
) -> None:
    """Writes ``reference_guided_inference/AGE/NAME`` below ``exp_dir``, a sheet for each photo and age.

    Args:
        run: the photos and their target ages.
        opts: which styles are taken.
        paths: the reference photos.

    Raises:
        InputError: there is no such style, no photo or no reference can be used, or a file cannot be written.
    """
    root = Path(opts.exp_dir) / REFERENCE_GUIDED
    run.will_write(
        lambda name, *_: [root / label / name for label in run.labels],
        reads=[opts.ref_images_paths_file, *paths],
    )
    references = read_references(run, paths)
    wanted = torch.stack([reference.code for reference in references])

    def write(photo: AgedPhoto, path: Path) -> None:
        save_pil(reference_sheet(photo.for_sheet(), references), path)

    with run.background:
        for batch, ages in run.batches():
            codes = run.model.codes(batch.images.to(run.device), ages.to(run.device))
            for index, rows in enumerate(batch.faces):
                for column, label in enumerate(run.labels):
                    mixed = [mixtures(run.model, code, wanted, opts) for code in codes[rows, column]]
                    photo = run.show(batch, index, ages[rows, column : column + 1], torch.stack(mixed))
                    path = root / label / photo.name
                    run.write(photo.path, partial(write, photo, path), photo.results.nbytes)
    run.report(root)


def mixtures(
    model: StyleModel, code: Tensor, others: Tensor, opts: StyleMixingOptions | ReferenceOptions
) -> Tensor:
    """Renders one code ``(n_styles, style_dim)`` with styles of N others: ``(N, 3, R, R)``.

    Raises:
        InputError: there is no such style.
    """
    with torch.inference_mode():
        mixed = mix_styles(code.expand_as(others), opts.latent_mask or (), others, opts.mix_alpha)
        return model.render(mixed)


def read_references(run: InferenceRun[StyleModel], paths: Sequence[Path]) -> list[Reference]:
    """Reads and encodes the reference photos; unreadable ones are named and left out.

    Raises:
        InputError: not one of them can be used.
    """
    references: list[Reference] = []
    for batch in Photos(paths, run.model.input_size, crop=run.crop).batches(1):
        code = run.model.photo_codes(batch.images.to(run.device))[0]
        references.append(Reference(to_pil(run.resized(batch.images)), code))
    return references


def reference_sheet(photo: AgedPhoto, references: Sequence[Reference]) -> Image.Image:
    """The references above, the input and its mixtures below; black borders give all the photo's shape."""
    original = photo.original()
    upper = [ImageOps.pad(reference.picture, original.size) for reference in references]
    return tile([[Image.new("RGB", original.size), *upper], [original, *photo.pictures()]])
