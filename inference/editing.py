"""Faces edited at every age: one direction is added to the codes of all ages alike."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from datasets.photos import PhotoBatch
from inference.aged_photo import AgedPhoto
from inference.run import InferenceRun
from models.aging_model import StyleModel
from models.loading import checked_numbers
from models.stylegan2.directions import closed_form_directions, one_deviation
from models.stylegan2.styles import require_styles
from options.edit_options import EditOptions
from utils.errors import InputError, naming
from utils.files.vectors import read_vectors
from utils.files.writing import written_atomically
from utils.pictures.sheets import fit, image_sheet
from utils.pictures.writing import save_pil

RANDOM_CODES = 2000  # whose deviations are the unit of strength
CELL_SIDE = 512  # pixels of the longer side of a picture in a grid


@dataclass(frozen=True)
class Direction:
    """A direction of W+.

    Attributes:
        name: of its folder and its file.
        step: (n_styles, style_dim), what strength 1 adds to every code.
    """

    name: str
    step: Tensor


@dataclass(frozen=True)
class Edited:
    """A batch of photos edited along one direction.

    Attributes:
        batch: the photos.
        ages: (B, A) target ages in years.
        pictures: (B, S, A, 3, R, R) at every strength, 0 among them.
    """

    batch: PhotoBatch
    ages: Tensor
    direction: Direction
    pictures: Tensor


def chosen_directions(model: StyleModel, opts: EditOptions) -> list[Direction]:
    """The directions of a command line: closed-form ones, then those of files.

    Raises:
        InputError: there is no such style, a file holds no direction of this model, or two have one name.
    """
    weights = model.modulations()
    n_styles, style_dim = len(weights), weights[0].shape[1]
    styles = opts.latent_mask or tuple(range(n_styles))
    require_styles(styles, n_styles)
    if opts.n_directions > style_dim:
        raise InputError(f"--n_directions={opts.n_directions}: {opts.checkpoint} has {style_dim}, not more")
    vectors = closed_form_directions([weights[style] for style in styles], opts.n_directions)
    found = {f"closed_form_{index:02d}": vector for index, vector in enumerate(vectors, 1)}
    for path in opts.directions or ():
        with naming("--directions"):
            for name, vector in read_directions(path, n_styles, style_dim).items():
                if name.casefold() in {known.casefold() for known in found}:
                    raise InputError(f"{path}: there is another direction called {name}; rename the file")
                found[name] = vector
    device = weights[0].device
    mask = torch.zeros(n_styles, 1)
    mask[list(styles)] = 1
    codes = model.random_codes(RANDOM_CODES, torch.Generator().manual_seed(0)).to(device)
    whole = {name: (vector.expand(n_styles, style_dim) * mask).to(device) for name, vector in found.items()}
    still = [name for name, vector in whole.items() if not vector.any()]
    if still:
        raise InputError(f"--latent_mask: {still[0]} moves none of these styles")
    return [Direction(name, one_deviation(vector, codes)) for name, vector in whole.items()]


def read_directions(path: str | Path, n_styles: int, style_dim: int) -> dict[str, Tensor]:
    """The directions (1 or n_styles, style_dim) of a file, by names that start with that of the file.

    Raises:
        InputError: it cannot be read, or holds something else; names the file.
    """
    found: dict[str, Tensor] = {}
    for key, value in read_vectors(path).items():
        place = key or "its content"
        vectors = checked_numbers(value, place, str(path)).float()
        shape = list(vectors.shape)
        if shape in ([style_dim], [1, style_dim], [n_styles, style_dim]):
            vectors = vectors.reshape(1, -1, style_dim)
        elif shape[1:] not in ([1, style_dim], [n_styles, style_dim]):
            raise InputError(
                f"{path}: {place} is {shape}, not a direction of this model: [{style_dim}] or [{n_styles}, "
                f"{style_dim}], or several such as [2, 1, {style_dim}]"
            )
        name = re.sub(r"[^\w.-]+", "_", "_".join(filter(None, (Path(path).stem, key))))
        for index, vector in enumerate(vectors, 1):
            if not vector.any():
                raise InputError(f"{path}: {place} is zero, which is no direction; give another file")
            found[name if len(vectors) == 1 else f"{name}_{index:02d}"] = vector
    return found


def edits(
    run: InferenceRun[StyleModel], directions: Sequence[Direction], strengths: Sequence[float]
) -> Iterator[Edited]:
    """Edits every usable photo along one direction after the other.

    Args:
        run: the photos and their target ages.
        directions: at least one.
        strengths: rising, 0 among them.
    """
    for batch, ages in run.batches():
        codes = run.model.codes(batch.images.to(run.device), ages.to(run.device))
        with torch.inference_mode():
            plain = run.model.render(codes)
            for direction in directions:
                rows = [
                    run.model.render(codes + strength * direction.step) if strength else plain
                    for strength in strengths
                ]
                yield Edited(batch, ages, direction, torch.stack(rows, dim=1))


def edited_photos(run: InferenceRun[StyleModel], edited: Edited) -> Iterator[AgedPhoto]:
    """The photos of a batch with their results (F, S * A, 3, R, R), strength by strength."""
    strengths = edited.pictures.shape[1]
    for index, rows in enumerate(edited.batch.faces):
        ages = edited.ages[rows].repeat(1, strengths)
        yield run.show(edited.batch, index, ages, edited.pictures[rows].flatten(1, 2))


def write_grid(photo: AgedPhoto, labels: Sequence[str], strengths: Sequence[float], path: Path) -> None:
    """Writes the results of a photo, strengths from top to bottom and ages from left to right."""
    pictures = [
        torch.from_numpy(np.array(fit(picture, CELL_SIDE))).permute(2, 0, 1)
        for picture in photo.for_sheet(CELL_SIDE).pictures()
    ]
    rows = [pictures[start : start + len(labels)] for start in range(0, len(pictures), len(labels))]
    save_pil(image_sheet(rows, [f"{strength:+g}" for strength in strengths], labels), path)


def direction_file(folder: Path, direction: Direction) -> Path:
    """Where a direction is kept, for ``--directions`` of another run."""
    return folder / "directions" / f"{direction.name}.npy"


def write_direction(direction: Direction, path: Path) -> None:
    """Writes the step of a direction, (n_styles, style_dim).

    Raises:
        InputError: the file cannot be written.
    """
    with written_atomically(path) as temporary:
        np.save(temporary, direction.step.cpu().numpy())
