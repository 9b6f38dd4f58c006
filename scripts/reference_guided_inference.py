"""Ages photos in the style of reference photos: references above, the input and its mixtures below."""

import _bootstrap  # noqa: F401

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from inference.run import AgedPhoto, InferenceRun
from PIL import Image, ImageOps
from torch import Tensor

from datasets.photos import Photos, read_path_list
from models.psp import mix_styles
from options.inference_options import parse_inference_options
from utils.errors import run_command
from utils.pictures.sheets import tile
from utils.pictures.tensors import to_pil


@dataclass(frozen=True)
class Reference:
    """A reference photo at the size of the results and its code (n_styles, style_dim)."""

    picture: Image.Image
    code: Tensor


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes ``reference_guided_inference/AGE/NAME`` below ``exp_dir``."""
    opts, targets = parse_inference_options(arguments, __doc__ or "", uses=("references", "mixing"))
    paths = read_path_list(opts.ref_images_paths_file)
    run = InferenceRun(opts, targets)
    if opts.latent_mask is None:
        print("note: without --latent_mask nothing is taken from the references")
    references = read_references(run, paths)
    root = Path(opts.exp_dir) / "reference_guided_inference"
    codes_of_references = torch.stack([reference.code for reference in references])
    for batch, ages in run.batches():
        codes = run.style_model.codes(batch.images, ages.to(run.device))
        for row in range(len(batch.names)):
            for column, target in enumerate(targets):
                code = codes[row, column].expand_as(codes_of_references)
                with torch.inference_mode():
                    mixed = mix_styles(code, opts.latent_mask or (), codes_of_references, opts.mix_alpha)
                    results = run.style_model.render(mixed)
                photo = run.show(batch, row, ages[row, column : column + 1], results).for_sheet()
                photo.save(sheet(photo, references), root / target.label / photo.name)
    run.report(root)


def read_references(run: InferenceRun, paths: list[Path]) -> list[Reference]:
    """Reads and encodes the reference photos; unreadable ones are named and left out."""
    references: list[Reference] = []
    for batch in Photos(paths, run.model.input_size, crop=run.crop).batches(1):
        code = run.style_model.photo_codes(batch.images)[0]
        references.append(Reference(to_pil(run.resized(batch.images)), code))
    return references


def sheet(photo: AgedPhoto, references: Sequence[Reference]) -> Image.Image:
    """Lays the two rows out; references take the shape of the photo, with black borders."""
    original = photo.original()
    upper = [ImageOps.pad(reference.picture, original.size) for reference in references]
    return tile([[Image.new("RGB", original.size), *upper], [original, *photo.pictures()]])


if __name__ == "__main__":
    run_command(main)
