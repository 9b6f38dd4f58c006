"""Identity loss against the most similar real photo of about the target age (MyTimeMachine)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from criteria.age_sampling import neighbour_window


@dataclass(frozen=True)
class ReferenceBank:
    """Unit-length embeddings of the person's training photos.

    ``features`` is ``(R, D)``; ``ages`` holds ``R`` float years in the same order.
    """

    features: Tensor
    ages: tuple[float, ...]

    def __post_init__(self) -> None:
        """Raises ``ValueError`` where features and ages do not belong together."""
        if self.features.ndim != 2 or len(self.features) != len(self.ages) or not self.ages:
            raise ValueError(
                f"{len(self.ages)} ages do not fit features of shape {tuple(self.features.shape)}"
            )

    @classmethod
    def build(cls, features: Sequence[Tensor] | Tensor, ages: Sequence[float] | Tensor) -> "ReferenceBank":
        """One bank from ``(R, D)`` features, or from several views of the same photos (both flips)."""
        views = [features] if isinstance(features, Tensor) else list(features)
        years = [float(age) for age in ages] * len(views)
        return cls(torch.cat([view.detach().float() for view in views]), tuple(years))

    def mask(self, target_ages: Tensor, official: bool = False) -> Tensor:
        """Which references count for which target: bool ``(B, R)`` for target ages ``(B,)`` in years."""
        rows = torch.zeros(len(target_ages), len(self.ages), dtype=torch.bool)
        for row, target in zip(rows, target_ages.tolist(), strict=True):
            row[neighbour_window(target, self.ages, official=official)] = True
        return rows.to(self.features.device)


def nearest_neighbor_id_loss(features: Tensor, references: Tensor, mask: Tensor) -> Tensor:
    """``mean_i (1 - max_r S(image_i) . S(r))`` over the references that ``mask`` allows.

    Shapes: features ``(B, D)``, references ``(R, D)``, both of unit length; mask ``(B, R)`` with at least one
    true entry in each row.
    """
    similarity = (features[:, None, :] * references.detach()[None].to(features.dtype)).sum(dim=2)
    best = similarity.masked_fill(~mask, float("-inf")).amax(dim=1)
    return (1 - best).mean()
