"""Aged faces with styles of other faces: invented ones (style mixing), or those of reference photos."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageOps
from torch import Tensor

from datasets.photos import Photos
from inference.aged_photo import AgedPhoto
from inference.run import InferenceRun
from models.aging_model import StyleModel
from models.stylegan2.styles import mix_styles
from options.inference_options import ReferenceOptions, StyleMixingOptions
from utils.pictures.sheets import tile
from utils.pictures.tensors import to_pil


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
    folder = Path(opts.exp_dir) / "style_mixing" / run.labels[0]
    for batch, ages in run.batches():
        codes = run.model.codes(batch.images.to(run.device), ages.to(run.device))
        for row in range(len(batch.names)):
            invented = run.model.random_codes(opts.n_outputs_to_generate, run.generator)
            results = mixtures(run.model, codes[row, 0], invented, opts)
            photo = run.show(batch, row, ages[row], results).for_sheet()
            photo.save(tile([[photo.original(), *photo.pictures()]]), folder / photo.name)
    run.report(folder)


def write_reference_mixtures(
    run: InferenceRun[StyleModel], opts: ReferenceOptions, references: Sequence[Reference]
) -> None:
    """Writes ``reference_guided_inference/AGE/NAME`` below ``exp_dir``, a sheet for each photo and age.

    Raises:
        InputError: there is no such style, not one photo can be used, or a file cannot be written.
    """
    root = Path(opts.exp_dir) / "reference_guided_inference"
    wanted = torch.stack([reference.code for reference in references])
    for batch, ages in run.batches():
        codes = run.model.codes(batch.images.to(run.device), ages.to(run.device))
        for row in range(len(batch.names)):
            for column, label in enumerate(run.labels):
                results = mixtures(run.model, codes[row, column], wanted, opts)
                photo = run.show(batch, row, ages[row, column : column + 1], results).for_sheet()
                photo.save(reference_sheet(photo, references), root / label / photo.name)
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
