"""The terms that several objectives share, as functions of what they measure with and of the pass."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from criteria.age_sampling import cosine_weight
from criteria.id_loss import cosine_similarity, weighted_identity_loss
from criteria.objective import Compute, Measures, Pass
from criteria.w_norm import w_norm

PairWeights = Callable[[Measures, Pass], Tensor | None]


def l1(measures: Measures, this: Pass) -> Tensor:
    """``mean |y - x|`` over all pixels."""
    return F.l1_loss(this.generated, this.looks_like.images)


def l2(measures: Measures, this: Pass) -> Tensor:
    """``mean ||y - x||^2`` over all pixels."""
    return F.mse_loss(this.generated, this.looks_like.images)


def l2_crop(measures: Measures, this: Pass) -> Tensor:
    """The same on the inner face."""
    return F.mse_loss(measures.crop(this.generated), measures.crop(this.looks_like.images))


def lpips(measures: Measures, this: Pass) -> Tensor:
    """Perceptual distance of the whole pictures."""
    assert measures.perceptual is not None
    return measures.perceptual(this.generated, target_features=this.looks_like.perceptual)


def lpips_crop(measures: Measures, this: Pass) -> Tensor:
    """Perceptual distance of the inner faces."""
    assert measures.perceptual is not None
    inner = measures.crop(this.generated)
    return measures.perceptual(inner, target_features=this.looks_like.perceptual_crop)


def equally(measures: Measures, this: Pass) -> None:
    """Every pair of images counts alike."""


def by_age_difference(measures: Measures, this: Pass) -> Tensor:
    """A pair (B,) counts less, the further the face is aged (SAM, section 3.3)."""
    target_ages, input_ages = this.years()
    return cosine_weight(target_ages - input_ages)


def identity(pair_weights: PairWeights = equally) -> Compute:
    """``mean_i w_i (1 - S(y_i) . S(x_i))``, with the weights that a function gives.

    Also logs the gain in similarity over the input. Target and input are the same image, so the official
    ``diff_input`` is ``diff_target`` and ``diff_views`` is 1.
    """

    def compute(measures: Measures, this: Pass) -> Tensor:
        assert measures.identity is not None and this.targets.identity is not None
        similarity = cosine_similarity(this.embedding(measures.identity), this.targets.identity)
        this.losses.log(f"id_improve{this.suffix}", (similarity - 1).mean())
        for name in ("diff_target", "diff_input"):
            this.losses.log_images(name + this.suffix, similarity)
        this.losses.log_images(f"diff_views{this.suffix}", torch.ones_like(similarity))
        return weighted_identity_loss(similarity, pair_weights(measures, this))

    return compute


def distance_from_average(measures: Measures, this: Pass) -> Tensor:
    """``mean_i ||w_i - average||``."""
    return w_norm(this.codes, this.average_code).mean()


def distance_from_photos(measures: Measures, this: Pass) -> Tensor:
    """The same in standard deviations of the photos' own codes (not in the official code)."""
    assert measures.code_spread is not None
    return measures.code_spread(this.codes).mean()


def aging(measures: Measures, this: Pass) -> Tensor:
    """``mean_i ((A(y_i) - target_i) / 100)^2``; also logs the ages of each image."""
    assert measures.aging is not None and this.target_ages is not None
    loss, ages = measures.aging(this.generated, this.target_ages)
    if this.looks_like.ages is not None:
        this.losses.log_images(f"input_age{this.suffix}", this.looks_like.ages)
    this.losses.log_images(f"output_age{this.suffix}", ages)
    this.losses.log_images(f"target_age{this.suffix}", this.target_ages)
    return loss
