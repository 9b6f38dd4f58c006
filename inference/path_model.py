"""``--codes``: a model whose codes come from files of latent paths instead of its encoder."""

from collections.abc import Sequence

import torch
from torch import Tensor

from datasets.input_age import InputAges
from inference.path_files import LatentPath, in_small, read_paths
from inference.refinement import refined
from inference.wrapped_model import WrappedModel
from models.aging_model import Ages, AgingModel, StyleModel, age_grid
from options.ageing_options import RefineOptions
from utils.errors import InputError
from utils.notes import note

ALIKE = 0.03  # mean difference, of 2, up to which two small pictures show the same face


class PathModel(WrappedModel):
    """Takes the codes of faces that have a path from that; other faces get the codes of the model inside.

    Args:
        model: renders the codes, and encodes faces without a path.
        paths: of faces.
        source: where they are from, for notes.

    Raises:
        InputError: the codes are not such as the model renders.
    """

    def __init__(self, model: StyleModel, paths: Sequence[LatentPath], source: str) -> None:
        super().__init__(model)
        own = tuple(model.random_codes(1, torch.Generator()).shape[1:])
        for path in paths:
            if (found := tuple(path.codes.shape[1:])) != own:
                raise InputError(
                    f"--codes={source}: {found[0]} styles of {found[1]} numbers, and the model renders "
                    f"{own[0]} of {own[1]}; give the model that they were optimised with"
                )
        self.paths, self.source = list(paths), source
        self._faces = torch.stack([path.face for path in paths])
        self._noted: set[str] = set()

    def codes(self, images: Tensor, ages: Ages) -> Tensor:
        years, found = age_grid(ages, images), self._found(images)
        others = self.model.codes(images, ages) if None in found else None
        rows = []
        for index, (path, own) in enumerate(zip(found, years.cpu(), strict=True)):
            if path is not None:
                self._note_ends(path, own)
                rows.append(path.at(own).to(images.device))
            elif others is not None:
                self._note_once("faces without a path there get the codes of the model")
                rows.append(others[index])
        return torch.stack(rows)

    def _found(self, images: Tensor) -> list[LatentPath | None]:
        """The path of each face (B, 3, S, S): that of the most similar picture, if it is the same face."""
        differences = (in_small(images)[:, None] - self._faces).abs().mean((2, 3, 4))
        least, which = differences.min(dim=1)
        pairs = zip(least.tolist(), which.tolist(), strict=True)
        return [self.paths[index] if difference <= ALIKE else None for difference, index in pairs]

    def _note_ends(self, path: LatentPath, ages: Tensor) -> None:
        first, last = float(path.ages[0]), float(path.ages[-1])
        if float(ages.min()) < first or float(ages.max()) > last:
            self._note_once(f"ages outside {first:g} to {last:g} are taken as the nearer end of that path")

    def _note_once(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            note(f"--codes={self.source}: {text}")


def with_given_codes(
    model: AgingModel, opts: RefineOptions, ages: InputAges, device: torch.device
) -> AgingModel:
    """The model with the codes of ``--refine_steps`` or ``--codes``; as it is without both.

    Args:
        model: as loaded.
        opts: of the command.
        ages: tells how old the people in the photos are.
        device: where it computes.

    Raises:
        InputError: the model has no codes, or a file cannot be used.
    """
    if not opts.codes:
        return refined(model, opts, ages, device)
    if not isinstance(model, StyleModel):
        raise InputError("--codes is for models with W+ codes that can be changed; this one has none")
    return PathModel(model, read_paths(opts.codes), opts.codes)
