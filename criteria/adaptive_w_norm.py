"""Adaptive W-norm of MyTimeMachine: codes may leave the average less, the further an age is extrapolated."""

from torch import Tensor, nn

from criteria.age_sampling import cosine_weight
from criteria.w_norm import w_norm

PUBLISHED_BATCH = 4  # batch size of the published command line, for which the published weights were chosen


def adaptive_weights(target_ages: Tensor, input_ages: Tensor, scale: float) -> Tensor:
    """``scale * (1 - cosine_weight(target - input))`` for ages ``(B,)`` in years: 0 at no change."""
    return scale * (1 - cosine_weight(target_ages - input_ages))


class AdaptiveWNormLoss(nn.Module):
    """``sum_i v_i ||w_i - average||`` with ``v_i`` from ``adaptive_weights``.

    Args:
        scale: the official ``--adaptive_w_norm_lambda``.
        sum_over_batch: the official sum, whose size grows with the batch; otherwise four times the mean,
            which is the same number for the published batch of 4.
    """

    def __init__(self, scale: float = 7.0, sum_over_batch: bool = False) -> None:
        super().__init__()
        self.scale = scale
        self.sum_over_batch = sum_over_batch

    def forward(
        self, latent: Tensor, latent_avg: Tensor | None, target_ages: Tensor, input_ages: Tensor
    ) -> Tensor:
        """Scalar loss of codes ``(B, n_styles, D)``, average ``(n_styles, D)`` and ages ``(B,)`` in years."""
        each = adaptive_weights(target_ages, input_ages, self.scale).detach() * w_norm(latent, latent_avg)
        return each.sum() if self.sum_over_batch else PUBLISHED_BATCH * each.mean()
