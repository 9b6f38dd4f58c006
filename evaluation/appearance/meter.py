"""What the eye sees of outputs and no judge tells: lost detail, grids, discoloured teeth and eyes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from criteria.distribution_distance import LEAST, frechet_distance
from evaluation.appearance.colours import ColourMeter
from evaluation.appearance.spectrum import MeanSpectrum, distance, peak, power_of
from models.aging_model import AgingModel
from utils.pictures.reading import RESAMPLE, read_pixels
from utils.pictures.tensors import to_float, to_uint8

FEW = 0.05  # share of the photos that may be smaller than what spectra are compared over
NEAR_YEARS, ENOUGH = 10, 30  # photos so near a target age are compared with it where there are so many


class AppearanceMeter:
    """Takes photos and their outputs, then says how the outputs of each age differ from photos.

    Photos are read once more, at the size of the outputs: a model may see smaller ones.

    Args:
        model: what ages the faces.
        target_ages: in years, of the outputs.
    """

    def __init__(self, model: AgingModel, target_ages: Sequence[float]) -> None:
        self._size, self._ages = model.output_size, target_ages
        self._sides: list[int] = []  # the shorter one of each photo
        self._colours = ColourMeter(model.crop)
        self._photos, self._halves = MeanSpectrum(), (MeanSpectrum(), MeanSpectrum())
        self._outputs = [MeanSpectrum() for _ in target_ages]

    def add(self, paths: Sequence[Path], outputs: Tensor) -> None:
        """Measures photos and their outputs (B, A, 3, R, R) in [-1, 1]."""
        for spectrum, power in zip(self._outputs, power_of(outputs).unbind(1), strict=True):
            spectrum.add(power)
        for path, made in zip(paths, to_uint8(outputs).movedim(-3, -1).cpu().numpy(), strict=True):
            photo = self._photo(path)
            power = power_of(to_float(torch.from_numpy(photo).permute(2, 0, 1)[None]))
            self._halves[self._photos.count % 2].add(power)
            self._photos.add(power)
            self._colours.add(photo, made)

    def _photo(self, path: Path) -> np.ndarray:
        """A photo at the size of the outputs, uint8 (R, R, 3)."""
        pixels = read_pixels(path)
        self._sides.append(min(pixels.shape[:2]))
        size = (self._size, self._size)
        return np.array(Image.fromarray(pixels).resize(size, RESAMPLE["lanczos"]))

    def figures(self, labels: Tensor, photos: Tensor, outputs: Tensor) -> dict[str, Any]:
        """Every figure as plain numbers.

        Args:
            labels: (N,) years of the photos in the order in which they were added, NaN where unknown.
            photos: (N, D) features of them.
            outputs: (N, A, D) features of the outputs.
        """
        all_photos = torch.ones(len(labels), dtype=torch.bool)
        first, second = self._halves
        return {
            "photos": len(labels),
            "size": self._size,
            "halves_of_photos": {
                "spectrum": distance(first.profile, second.profile, self._share),
                "peak": peak(first.plane, second.plane),
                "frechet": _between_halves(photos, all_photos),
            },
            "per_age": [
                self._at_age(number, near if near.sum() >= ENOUGH else all_photos, photos, outputs[:, number])
                for number, near in enumerate((labels - age).abs() <= NEAR_YEARS for age in self._ages)
            ],
        }

    @property
    def _share(self) -> float:
        """The part of the frequencies that all but a few photos have."""
        return sorted(self._sides)[int(FEW * len(self._sides))] / self._size

    def _at_age(self, number: int, members: Tensor, photos: Tensor, outputs: Tensor) -> dict[str, Any]:
        """The figures of one target age, against the photos (N,) that are members."""
        own, compared = self._outputs[number], torch.stack(self._photos.profiles)[members].mean(0)
        return {
            "target_age": float(self._ages[number]),
            "compared_photos": int(members.sum()),
            "near_age": not bool(members.all()),
            "spectrum": distance(own.profile, compared, self._share),
            "peak": peak(own.plane, self._photos.plane),
            "frechet": _frechet(photos[members], outputs, photos),
            "frechet_halves_of_photos": _between_halves(photos, members),
            "colours": self._colours.figures(number),
        }


def _frechet(first: Tensor, second: Tensor, photos: Tensor) -> float | None:
    """Frechet distance of features (N, D) and (M, D) in units of their spread over all photos."""
    if min(len(first), len(second)) < LEAST:
        return None
    scale = photos.double().var(0).sum().clamp_min(1e-12).rsqrt()
    return frechet_distance(first * scale, second * scale)


def _between_halves(photos: Tensor, members: Tensor) -> float | None:
    own = photos[members]
    return _frechet(own[::2], own[1::2], photos)
