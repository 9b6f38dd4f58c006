"""Losses that look through networks of a few weights, and the official weights of the terms."""

from typing import Any

from torch import Tensor, nn
from toy_networks import tiny_vgg

from criteria.age_feature_loss import AgeFeatureLoss
from criteria.aging_loss import AgingLoss
from criteria.id_loss import IDLoss
from criteria.objective import Measures
from models.auxiliary import AgeClassifier

# Of the published command lines.
SAM_FLAGS: dict[str, Any] = {
    "id_lambda": 0.1,
    "lpips_lambda": 0.1,
    "lpips_lambda_aging": 0.1,
    "lpips_lambda_crop": 0.6,
    "l2_lambda": 0.25,
    "l2_lambda_aging": 0.25,
    "l2_lambda_crop": 1.0,
    "w_norm_lambda": 0.005,
    "aging_lambda": 5.0,
    "cycle_lambda": 1.0,
    "use_weighted_id_loss": True,
}


class TinyIdentity(nn.Module):
    """Embeds a picture as its average over a few squares."""

    def __init__(self, squares: int = 4) -> None:
        super().__init__()
        self.squares = squares

    def embed(self, images: Tensor) -> Tensor:
        averages = nn.functional.adaptive_avg_pool2d(images, self.squares).flatten(1)
        return nn.functional.normalize(averages, dim=1)


def tiny_measures(squares: int = 4, **more: Any) -> Measures:
    """All three losses."""
    network = tiny_vgg()
    return Measures(
        identity=IDLoss(TinyIdentity(squares)),
        perceptual=AgeFeatureLoss(network),
        aging=AgingLoss(AgeClassifier(network)),
        **more,
    )
