"""How methods age a face over time: what is taken from each frame, averaged, and made a picture again."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.aging_model import AgingModel, KeepsBackground, StyleModel

KNOT_YEARS = 5.0  # between two ages at which a direction is computed, where the age changes in a shot
AT_ONCE = 8  # codes that an encoder makes together
Model = TypeVar("Model", bound=AgingModel)


@dataclass(frozen=True)
class Directions:
    """How codes change with the age, the same for all frames of a shot.

    Attributes:
        ages: (A,) rising, in years.
        steps: (A, n_styles, style_dim), what each adds to the code of a frame.
    """

    ages: np.ndarray
    steps: Tensor

    def at(self, years: np.ndarray) -> Tensor:
        """What ages (B,) add: (B, n_styles, style_dim)."""
        places = np.interp(years, self.ages, np.arange(len(self.ages)))
        low = np.floor(places).astype(int)
        high = np.minimum(low + 1, len(self.ages) - 1)
        shares = torch.as_tensor(places - low, dtype=self.steps.dtype, device=self.steps.device)
        return torch.lerp(self.steps[low], self.steps[high], shares[:, None, None])


class TemporalAgeing(ABC, Generic[Model]):
    """Ages a face in a clip by a model.

    Args:
        model: the model.
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    def prepare(self, samples: Tensor, years: np.ndarray) -> Directions | None:
        """What is computed once for a face in a shot.

        Args:
            samples: (K, 3, S, S), the face in some frames.
            years: (N,) its target age in all frames.
        """
        return None

    @abstractmethod
    def features(self, images: Tensor, years: np.ndarray) -> Tensor:
        """What is averaged over time, (B, ...), of pictures (B, 3, S, S) and their target ages (B,)."""

    @abstractmethod
    def pictures(
        self, features: Tensor, images: Tensor, years: np.ndarray, prepared: Directions | None
    ) -> tuple[Tensor, Tensor | None]:
        """The pictures of averaged features.

        Args:
            features: (B, ...), of :meth:`features`, averaged over time.
            images: (B, 3, S, S), the faces as they are.
            years: (B,) their target ages.
            prepared: of :meth:`prepare`.

        Returns:
            (B, 3, R, R), and where each may change, (B, 1, R, R) in [0, 1]; None for everywhere.
        """


class CodeAgeing(TemporalAgeing[StyleModel]):
    """By codes: those of the frames are averaged over time, and all are moved by one direction a shot.

    The direction of an age is the mean, over some frames of the shot, of aged code minus own code.
    """

    def prepare(self, samples: Tensor, years: np.ndarray) -> Directions:
        low, high = float(years.min()), float(years.max())
        ages = np.linspace(low, high, 1 + int(np.ceil((high - low) / KNOT_YEARS)))
        total: Tensor | float = 0.0
        for part in samples.split(max(1, AT_ONCE // len(ages))):
            aged = self.model.codes(part, torch.tensor(ages))
            total = total + (aged - self.model.photo_codes(part)[:, None]).sum(0)
        return Directions(ages, torch.as_tensor(total) / len(samples))

    def features(self, images: Tensor, years: np.ndarray) -> Tensor:
        return self.model.photo_codes(images)

    def pictures(
        self, features: Tensor, images: Tensor, years: np.ndarray, prepared: Directions | None
    ) -> tuple[Tensor, Tensor | None]:
        assert prepared is not None
        return self.model.render(features + prepared.at(years)), None


class ChangeAgeing(TemporalAgeing[AgingModel]):
    """By pictures: what ageing changes of each (aged minus own picture, and the mask) is averaged over time.

    The picture of the frame itself is not, so that it stays as sharp and moves as it does.
    """

    def features(self, images: Tensor, years: np.ndarray) -> Tensor:
        change = self.model.transform(images, torch.tensor(years)) - self._own(images)
        masks = self.model.face_masks(images) if isinstance(self.model, KeepsBackground) else None
        return change if masks is None else torch.cat([change, masks.to(change)], dim=1)

    def pictures(
        self, features: Tensor, images: Tensor, years: np.ndarray, prepared: Directions | None
    ) -> tuple[Tensor, Tensor | None]:
        pictures = self._own(images) + features[:, :3]
        return pictures, features[:, 3:] if features.shape[1] > 3 else None

    def _own(self, images: Tensor) -> Tensor:
        size = self.model.output_size
        if images.shape[-1] == size:
            return images
        return F.interpolate(images, size=(size, size), mode="bicubic", align_corners=False, antialias=True)


def temporal_ageing(model: AgingModel, by_codes: bool) -> TemporalAgeing:
    """How a model ages clips: by codes where it has some and that is wanted, else by pictures."""
    return CodeAgeing(model) if by_codes and isinstance(model, StyleModel) else ChangeAgeing(model)
