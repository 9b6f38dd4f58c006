"""How old the person in an input photo is: as given, by its file name, or by an age classifier."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from datasets.age_parsing import parse_age
from models.auxiliary import AgeClassifier, load_age_classifier
from utils.errors import InputError
from utils.faces.boxes import TIGHT_IN_FFHQ


@dataclass(frozen=True)
class InputAge:
    """Years, and what says so."""

    years: float
    source: str


class InputAges:
    """Tells the ages of photos; the classifier is loaded at the first photo that needs it.

    Args:
        classifier: its file.
        given: the age of everybody, in years, where the user knows it.
        cut_to_tight: the photos are FFHQ crops and the classifier learned from tight ones.
        device: where the classifier computes.
    """

    def __init__(
        self,
        classifier: str | Path,
        given: float | None = None,
        cut_to_tight: bool = False,
        device: str | torch.device = "cpu",
    ) -> None:
        self.classifier = classifier
        self.given = given
        self.cut_to_tight = cut_to_tight
        self.device = device
        self._network: AgeClassifier | None = None

    def __call__(self, paths: Sequence[Path], images: Tensor) -> list[InputAge]:
        """Ages of photos.

        Args:
            paths: the files; only their names count.
            images: (B, 3, S, S) the aligned faces in [-1, 1].

        Raises:
            InputError: the classifier is needed and cannot be loaded.
        """
        return [self._age(path, image) for path, image in zip(paths, images, strict=True)]

    def _age(self, path: Path, image: Tensor) -> InputAge:
        if self.given is not None:
            return InputAge(self.given, "--input_age")
        try:
            return InputAge(parse_age(path), "file name")
        except InputError:
            return InputAge(self._predicted(image), "age classifier")

    @torch.inference_mode()
    def _predicted(self, image: Tensor) -> float:
        if self._network is None:
            self._network = load_age_classifier(self.classifier, self.device)
        if self.cut_to_tight:
            image = TIGHT_IN_FFHQ(image)
        return float(self._network.predict_age(image[None].to(self.device)))
