"""Where the page has photos aged: models are kept, a photo is encoded once, one piece of work at a time."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from datasets.input_age import InputAge
from datasets.photos import PhotoBatch
from inference.aged_photo import SHEET_SIDE
from inference.loading import load_model
from inference.run import InferenceRun
from models.aging_model import AgingModel
from options.inference_options import InferenceOptions, SamOptions
from options.web_options import WebOptions
from utils.ages import OLDEST, YOUNGEST
from utils.pictures.sheets import tile
from utils.pictures.tensors import to_pil
from webpage.screen import as_jpeg

MODELS_KEPT = 2
Faces = tuple[int, ...]
Command = TypeVar("Command", bound=SamOptions)


class AgeingDesk:
    """Ages photos for all visitors, one after the other.

    Args:
        opts: of the page.

    Attributes:
        lock: whoever computes holds it.
    """

    def __init__(self, opts: WebOptions) -> None:
        self.opts = opts
        self.lock = RLock()
        self._models: OrderedDict[str, AgingModel] = OrderedDict()

    def options(
        self, command: type[Command], checkpoint: str, photo: Path, folder: Path, **more: Any
    ) -> Command:
        """The options with which an inference command would do the same.

        Args:
            command: the options of it.
            checkpoint: file of the model.
            photo: one file.
            folder: of the results.
            more: further options.
        """
        return command(
            checkpoint_path=checkpoint,
            data_path=str(photo),
            exp_dir=str(folder),
            device=self.opts.device,
            mixed_precision=self.opts.mixed_precision,
            ops=self.opts.ops,
            compile="none",
            test_workers=0,
            **more,
        )

    def model(self, opts: InferenceOptions) -> AgingModel:
        """The model of a file, loaded if it is not among the last ones.

        Raises:
            InputError: it cannot be used.
        """
        with self.lock:
            model = self._models.pop(opts.checkpoint, None) or load_model(opts)
            self._models[opts.checkpoint] = model
            while len(self._models) > MODELS_KEPT:
                self._models.popitem(last=False)
            return model

    def open(self, photo: Path, checkpoint: str, aligned: bool, folder: Path) -> "OpenedPhoto":
        """Finds the faces of a photo.

        Args:
            photo: one file.
            checkpoint: file of the model.
            aligned: the photo is an aligned face already.
            folder: of the results.

        Raises:
            InputError: photo or model cannot be used.
        """
        with self.lock:
            faces = "main" if aligned else "all"
            opts = self.options(InferenceOptions, checkpoint, photo, folder, align=not aligned, faces=faces)
            run = InferenceRun(opts, self.model(opts))
            batch = run.photos.alone(0)
            return OpenedPhoto(run, batch, run.target_years.own(batch))


class OpenedPhoto:
    """A photo whose faces were found, and what was made of them for a screen.

    Args:
        run: a run of `scripts/inference.py` over this photo alone.
        batch: its faces, from left to right.
        own_ages: how old they are.
    """

    def __init__(
        self, run: InferenceRun[AgingModel], batch: PhotoBatch, own_ages: Sequence[InputAge]
    ) -> None:
        self.run, self.batch, self.own_ages = run, batch, own_ages
        count = len(batch.images)
        nothing = torch.empty(count, 0, 3, run.size, run.size)
        self._shown = run.show(batch, 0, nothing[..., 0, 0, 0], nothing).for_sheet(SHEET_SIDE)
        self._encoded: dict[Faces, Any] = {}
        self._pictures: dict[tuple[Faces, tuple[float, ...], bool], bytes] = {}

    def __len__(self) -> int:
        return len(self.batch.images)

    @property
    def main(self) -> int:
        """The number of the largest face, counted from 0."""
        sides = [0.0 if square is None else float(np.ptp(square)) for square in self.batch.squares]
        return max(range(len(sides)), key=sides.__getitem__)

    def at(self, faces: Faces, years: float, relative: bool = False, whole: bool = True) -> bytes:
        """Some faces at an age, as a JPEG file for a screen.

        Args:
            faces: their numbers from the left, counted from 0.
            years: the age, or the years from their own age on.
            relative: which of the two.
            whole: in the whole photo, or side by side as the model makes them.

        Raises:
            InputError: the model makes no picture.
        """
        start = [self.own_ages[face].years if relative else YOUNGEST for face in faces]
        ages = (torch.tensor(start) + years).clamp(YOUNGEST, OLDEST)
        key = faces, tuple(ages.tolist()), whole
        if key not in self._pictures:
            self._pictures[key] = as_jpeg(self._shown_as(faces, self._made(faces, ages), whole))
        return self._pictures[key]

    def before(self, faces: Faces, whole: bool = True) -> bytes:
        """The same faces as they are, as a JPEG file; on a whole photo several have frames and numbers."""
        if whole:
            return as_jpeg(self._marked())
        return as_jpeg(self._shown_as(faces, self._shown.faces[list(faces)], whole))

    @torch.inference_mode()
    def _made(self, faces: Faces, ages: Tensor) -> Tensor:
        """Pictures (F, 3, R, R), uint8, of faces at ages (F,) in years."""
        model = self.run.model
        if faces not in self._encoded:
            self._encoded[faces] = model.encode(self.batch.images[list(faces)].to(self.run.device))
        results = model.age_encoded(self._encoded[faces], ages[:, None])
        return self.run.as_shown(results)[:, 0]

    def _shown_as(self, faces: Faces, pictures: Tensor, whole: bool) -> Image.Image:
        if not whole:
            return tile([[to_pil(picture) for picture in pictures]])
        photo = self._shown.photo
        if photo is None:
            return self._shown.picture(pictures)
        masks = None if photo.masks is None else [photo.masks[face] for face in faces]
        fewer = replace(photo, squares=[photo.squares[face] for face in faces], masks=masks)
        return replace(self._shown, read_photo=lambda: fewer).picture(pictures)

    def _marked(self) -> Image.Image:
        picture = self._shown.original()
        photo = self._shown.photo
        if photo is not None and len(self) > 1:
            draw = ImageDraw.Draw(picture)
            font = ImageFont.load_default(size=max(18, picture.width // 24))
            for number, square in enumerate(photo.squares, start=1):
                corners = [(float(x), float(y)) for x, y in square]
                draw.polygon(corners, outline="yellow", width=max(2, picture.width // 300))
                draw.text(corners[0], str(number), "yellow", font, stroke_width=3, stroke_fill="black")
        return picture
