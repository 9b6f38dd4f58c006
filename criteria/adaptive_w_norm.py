"""Adaptive W-norm of MyTimeMachine: codes may leave the average less, the further an age is extrapolated."""

from torch import Tensor

from criteria.age_sampling import cosine_weight
from criteria.w_norm import w_norm

PUBLISHED_BATCH = 4  # batch size of the published command line, for which the published weights were chosen


def adaptive_weights(target_ages: Tensor, input_ages: Tensor, scale: float) -> Tensor:
    """``scale * (1 - cosine_weight(target - input))`` for ages ``(B,)`` in years: 0 at no change."""
    return scale * (1 - cosine_weight(target_ages - input_ages))


def adaptive_w_norm(
    codes: Tensor,
    average: Tensor | None,
    target_ages: Tensor,
    input_ages: Tensor,
    scale: float = 7.0,
    sum_over_batch: bool = False,
) -> Tensor:
    """``sum_i v_i ||w_i - average||`` with ``v_i`` from ``adaptive_weights``; a scalar.

    Args:
        codes: W+ codes ``(B, n_styles, D)``.
        average: ``(n_styles, D)``, or None.
        target_ages: years ``(B,)``.
        input_ages: years ``(B,)``.
        scale: the official ``--adaptive_w_norm_lambda``.
        sum_over_batch: the official sum, whose size grows with the batch; otherwise four times the mean,
            which is the same number for the published batch of 4.
    """
    each = adaptive_weights(target_ages, input_ages, scale).detach() * w_norm(codes, average)
    return each.sum() if sum_over_batch else PUBLISHED_BATCH * each.mean()
