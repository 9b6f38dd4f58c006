"""Training objective of SAM: both passes of a step (Alaluf et al. 2021, section 3.3)."""

from typing import Any

from torch import Tensor

from criteria.age_sampling import cosine_weight
from criteria.code_spread import CodeSpread
from criteria.frozen import full_precision
from criteria.objective import Losses, Objective, Pass, Targets
from criteria.w_norm import w_norm


class SAMObjective(Objective):
    """Loss of one generated batch against its input, for the real pass and the cycle pass alike.

    Args:
        code_spread: what the W-norm term measures with instead of the norm, if anything.
        arguments: those of :class:`Objective`.
    """

    def __init__(self, *arguments: Any, code_spread: CodeSpread | None = None, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.code_spread = code_spread

    def forward(
        self,
        generated: Tensor,
        targets: Targets,
        latent: Tensor,
        latent_avg: Tensor | None,
        target_ages: Tensor,
        input_ages: Tensor,
        *,
        no_aging: bool,
        pass_name: Pass,
    ) -> Losses:
        """Computes all terms.

        Args:
            generated: images ``(B, 3, S, S)`` at the size of the targets.
            targets: ``describe`` of the real images, in the cycle pass too.
            latent: W+ codes ``(B, n_styles, D)`` behind the images.
            latent_avg: average code, or None for an encoder that starts from nothing.
            target_ages: years ``(B,)`` asked for in this pass; the input ages in the cycle pass.
            input_ages: years ``(B,)`` of the real images.
            no_aging: whether the batch keeps its ages.
            pass_name: ``real`` or ``cycle``.

        Returns:
            The total (without ``cycle_lambda``) and the terms, named as in the official logs.
        """
        weights = self.weights
        generated, latent = full_precision(generated), full_precision(latent)
        losses = Losses(total=generated.new_zeros(()))
        if weights.id_lambda > 0:
            pair_weights = cosine_weight(target_ages - input_ages) if weights.use_weighted_id_loss else None
            assert self.identity is not None  # a weight without its network was refused
            term, similarity = self.identity(
                generated, target_features=targets.identity, weights=pair_weights
            )
            self.log_identity(losses, term, similarity, pass_name)
            losses.add(weights.id_lambda, term)
        aged = pass_name == "real" and not no_aging
        l2 = weights.l2_lambda_aging if aged else weights.l2_lambda
        lpips = weights.lpips_lambda_aging if aged else weights.lpips_lambda
        self.add_reconstruction(losses, generated, targets, l2, lpips, pass_name)
        if weights.w_norm_lambda > 0:
            measure = self.code_spread
            term = (w_norm(latent, latent_avg) if measure is None else measure(latent)).mean()
            losses.log(f"loss_w_norm_{pass_name}", term)
            losses.add(weights.w_norm_lambda, term)
        self.add_aging(losses, generated, targets, target_ages, weights.aging_lambda, pass_name)
        losses.log(f"loss_{pass_name}", losses.total)
        return losses
