"""Training objective of MyTimeMachine: both passes of a step, in all three modes (Qi et al. 2024)."""

from dataclasses import dataclass

from torch import Tensor

from criteria.adaptive_w_norm import AdaptiveWNormLoss
from criteria.age_sampling import AgeRange, Mode, cosine_weight, distance_to_range
from criteria.aging_loss import AgingLoss
from criteria.frozen import full_precision
from criteria.id_loss import IDLoss, cosine_similarity, weighted_identity_loss
from criteria.mytimemachine_recipe import CORRECTED, MyTimeMachineRecipe
from criteria.nearest_neighbor_id_loss import ReferenceBank, nearest_neighbor_id_loss
from criteria.objective import Losses, LossWeights, Objective, Pass, Targets
from criteria.perceptual_loss import PerceptualLoss
from criteria.w_norm import w_norm
from utils.faces.boxes import FACE_CROP, FractionalCrop


@dataclass(frozen=True)
class MyTimeMachineWeights(LossWeights):
    """Weights of SAM and of the terms that MyTimeMachine adds; values of the official command."""

    adaptive_w_norm_lambda: float = 7.0
    nearest_neighbor_id_loss_lambda: float = 1.0


class MyTimeMachineObjective(Objective):
    """Loss of one generated batch; which terms it has depends on the mode of the batch.

    Args:
        weights: weights of the terms.
        identity: identity loss; always needed where interpolation compares with real photos.
        perceptual: perceptual loss.
        aging: ageing loss.
        references: embeddings of the person's training photos.
        age_range: youngest and oldest training age, years.
        recipe: which faults of the published training are repaired.
        crop: inner part of the face that is compared a second time.
    """

    def __init__(
        self,
        weights: MyTimeMachineWeights,
        identity: IDLoss | None,
        perceptual: PerceptualLoss | None,
        aging: AgingLoss | None,
        references: ReferenceBank,
        age_range: AgeRange,
        recipe: MyTimeMachineRecipe = CORRECTED,
        crop: FractionalCrop = FACE_CROP,
    ) -> None:
        super().__init__(weights, identity, perceptual, aging, crop, recipe.distinct_log_names)
        self.recipe = recipe
        self.references = references
        self.age_range = age_range
        self.adaptive_w_norm = AdaptiveWNormLoss(
            weights.adaptive_w_norm_lambda, sum_over_batch=not recipe.w_norm_independent_of_batch
        )
        self.neighbour_weight = (
            weights.nearest_neighbor_id_loss_lambda if recipe.neighbour_weight_respected else 1.0
        )
        if self.neighbour_weight > 0 and identity is None:
            raise ValueError("the nearest-neighbour identity loss has a weight but no network")

    def forward(
        self,
        generated: Tensor,
        targets: Targets,
        latent: Tensor,
        latent_avg: Tensor | None,
        target_ages: Tensor,
        input_ages: Tensor,
        *,
        mode: Mode,
        pass_name: Pass,
        global_targets: Targets | None = None,
    ) -> Losses:
        """Computes all terms of the mode.

        Args:
            generated: personalised images ``(B, 3, S, S)`` at the size of the targets.
            targets: ``describe`` of the real images, in the cycle pass too.
            latent: personalised W+ codes ``(B, n_styles, D)``.
            latent_avg: average code.
            target_ages: years ``(B,)`` asked for in this pass; the input ages in the cycle pass.
            input_ages: years ``(B,)`` of the real images.
            mode: mode of the batch, the same in both passes.
            pass_name: ``real`` or ``cycle``.
            global_targets: ``describe`` of the frozen network's pictures of the same input, in extrapolation.

        Returns:
            The total (without ``cycle_lambda``) and the terms, named as in the official logs.

        Raises:
            ValueError: if extrapolation lacks the pictures of the frozen network.
        """
        generated, latent = full_precision(generated), full_precision(latent)
        losses = Losses(total=generated.new_zeros(()))
        extrapolates = mode == "extrapolation"
        compared = global_targets if extrapolates else targets
        if compared is None:
            raise ValueError(
                "extrapolation compares with the pictures of the global network; none were given"
            )
        self._add_identity(losses, generated, targets, target_ages, input_ages, mode, pass_name)
        l2, lpips = self._reconstruction_weights(mode, pass_name)
        self.add_reconstruction(losses, generated, compared, l2, lpips, pass_name)
        if self.weights.w_norm_lambda > 0:
            if extrapolates:
                term = self.adaptive_w_norm(latent, latent_avg, target_ages, input_ages)
            else:
                term = w_norm(latent, latent_avg).mean()
            losses.log(f"loss_w_norm_{pass_name}", term)
            losses.add(self.weights.w_norm_lambda, term)
        twice = extrapolates and not self.recipe.aging_loss_once
        aging_weight = self.weights.aging_lambda * (2 if twice else 1)
        self.add_aging(losses, generated, compared, target_ages, aging_weight, pass_name)
        losses.log(f"loss_{pass_name}", losses.total)
        return losses

    def _add_identity(
        self,
        losses: Losses,
        generated: Tensor,
        targets: Targets,
        target_ages: Tensor,
        input_ages: Tensor,
        mode: Mode,
        pass_name: Pass,
    ) -> None:
        """Identity with the input, and in interpolation with the nearest photo; one embedding for both."""
        neighbour = mode == "interpolation" and self.neighbour_weight > 0
        if self.weights.id_lambda <= 0 and not neighbour:
            return
        assert self.identity is not None  # a weight without its network was refused
        features = self.identity.features(generated)
        if self.weights.id_lambda > 0:
            similarity = cosine_similarity(features, targets.identity)
            pair_weights = self.identity_weights(target_ages, input_ages, mode)
            term = weighted_identity_loss(similarity, pair_weights)
            self.log_identity(losses, term, similarity, pass_name)
            losses.add(self.weights.id_lambda, term)
        if neighbour:
            mask = self.references.mask(target_ages, official=not self.recipe.window_in_whole_years)
            bank = self.references.features.to(features.device)
            term = nearest_neighbor_id_loss(features, bank, mask.to(features.device))
            losses.log(self.name("nearest_neighbor_id_loss", pass_name), term)
            losses.add(self.neighbour_weight, term)

    def identity_weights(self, target_ages: Tensor, input_ages: Tensor, mode: Mode) -> Tensor | None:
        """Cosine weights ``(B,)`` of the identity term.

        They fall with the distance to the input age, in extrapolation with the distance to the training
        range.
        """
        if not self.weights.use_weighted_id_loss:
            return None
        if mode == "extrapolation":
            return cosine_weight(distance_to_range(target_ages, self.age_range))
        return cosine_weight(target_ages - input_ages)

    def _reconstruction_weights(self, mode: Mode, pass_name: Pass) -> tuple[float, float]:
        """Weights of L2 and LPIPS on the whole picture."""
        weights = self.weights
        aged = mode == "interpolation" or not self.recipe.plain_weights_without_aging
        if pass_name == "real" and mode != "extrapolation" and aged:
            return weights.l2_lambda_aging, weights.lpips_lambda_aging
        return weights.l2_lambda, weights.lpips_lambda
