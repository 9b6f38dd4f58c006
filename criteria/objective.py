"""What the objectives of SAM and MyTimeMachine share: weights, targets computed once, common terms."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from criteria.aging_loss import AgingLoss
from criteria.id_loss import IDLoss
from criteria.perceptual_loss import PerceptualLoss
from utils.faces.boxes import FACE_CROP, FractionalCrop

Pass = Literal["real", "cycle"]


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms: names of the official flags, values of the official commands."""

    id_lambda: float = 0.1
    lpips_lambda: float = 0.1
    lpips_lambda_aging: float = 0.1
    lpips_lambda_crop: float = 0.6
    l2_lambda: float = 0.25
    l2_lambda_aging: float = 0.25
    l2_lambda_crop: float = 1.0
    w_norm_lambda: float = 0.005
    aging_lambda: float = 5.0
    cycle_lambda: float = 1.0
    use_weighted_id_loss: bool = True


@dataclass(frozen=True)
class Targets:
    """Everything the terms need to know about target images; nothing in it carries a gradient.

    It depends on the images only, so both passes of a step share it, and a coach may keep it for longer.
    """

    images: Tensor  # (B, 3, S, S)
    identity: Tensor | None = None  # (B, D)
    perceptual: Sequence[Tensor] | None = None
    perceptual_crop: Sequence[Tensor] | None = None
    ages: Tensor | None = None  # years (B,) that the classifier sees


@dataclass
class Losses:
    """Result of one pass: the total to differentiate, and detached tensors to log."""

    total: Tensor
    scalars: dict[str, Tensor] = field(default_factory=dict)
    per_image: dict[str, Tensor] = field(default_factory=dict)

    def add(self, weight: float, term: Tensor) -> None:
        """Adds a weighted term to the total."""
        self.total = self.total + weight * term

    def log(self, name: str, value: Tensor) -> None:
        """Keeps a scalar for the log."""
        self.scalars[name] = value.detach()


class Objective(nn.Module):
    """Terms common to both coaches.

    Args:
        weights: weights of the terms; a term of weight zero is not computed, and its network may be absent.
        identity: identity loss.
        perceptual: perceptual loss.
        aging: ageing loss.
        crop: inner part of the face that is compared a second time.
        distinct_log_names: give the crop terms a name per pass (``loss_l2_crop_real``); officially the cycle
            pass overwrites the real one.

    Raises:
        ValueError: if a term has a weight and no network.
    """

    def __init__(
        self,
        weights: LossWeights,
        identity: IDLoss | None,
        perceptual: PerceptualLoss | None,
        aging: AgingLoss | None,
        crop: FractionalCrop = FACE_CROP,
        distinct_log_names: bool = True,
    ) -> None:
        super().__init__()
        perceptual_weight = max(weights.lpips_lambda, weights.lpips_lambda_aging, weights.lpips_lambda_crop)
        for weight, network, name in (
            (weights.id_lambda, identity, "identity"),
            (perceptual_weight, perceptual, "perceptual"),
            (weights.aging_lambda, aging, "ageing"),
        ):
            if weight > 0 and network is None:
                raise ValueError(f"the {name} loss has a weight of {weight} but no network")
        self.weights = weights
        self.identity = identity
        self.perceptual = perceptual
        self.aging = aging
        self.crop = crop
        self.distinct_log_names = distinct_log_names

    @torch.no_grad()
    def describe(self, images: Tensor, identity: bool = True, ages: bool = True) -> Targets:
        """Computes once what the terms need of target images ``(B, 3, S, S)``.

        Args:
            images: the targets.
            identity: whether they are compared in identity.
            ages: whether the age seen in them is wanted (an input of SAM; only logged by MyTimeMachine).
        """
        weights, perceptual = self.weights, self.perceptual
        whole = inner = None
        if perceptual is not None and max(weights.lpips_lambda, weights.lpips_lambda_aging) > 0:
            whole = perceptual.features(images)
        if perceptual is not None and weights.lpips_lambda_crop > 0:
            inner = perceptual.features(self.crop(images))
        return Targets(
            images=images,
            identity=self.identity.features(images) if identity and self.identity is not None else None,
            perceptual=whole,
            perceptual_crop=inner,
            ages=self.aging.extract_ages(images) if ages and self.aging is not None else None,
        )

    def name(self, term: str, pass_name: Pass) -> str:
        """Log name of a term that officially has no suffix."""
        return f"{term}_{pass_name}" if self.distinct_log_names else term

    def add_reconstruction(
        self, losses: Losses, generated: Tensor, targets: Targets, l2: float, lpips: float, pass_name: Pass
    ) -> None:
        """L2 and perceptual terms: whole picture (weights ``l2`` and ``lpips``) and inner part."""
        weights = self.weights
        if l2 > 0:
            term = F.mse_loss(generated, targets.images)
            losses.log(f"loss_l2_{pass_name}", term)
            losses.add(l2, term)
        if lpips > 0:
            assert self.perceptual is not None  # a weight without its network was refused
            term = self.perceptual(generated, target_features=targets.perceptual)
            losses.log(f"loss_lpips_{pass_name}", term)
            losses.add(lpips, term)
        if weights.lpips_lambda_crop > 0:
            assert self.perceptual is not None
            term = self.perceptual(self.crop(generated), target_features=targets.perceptual_crop)
            losses.log(self.name("loss_lpips_crop", pass_name), term)
            losses.add(weights.lpips_lambda_crop, term)
        if weights.l2_lambda_crop > 0:
            term = F.mse_loss(self.crop(generated), self.crop(targets.images))
            losses.log(self.name("loss_l2_crop", pass_name), term)
            losses.add(weights.l2_lambda_crop, term)

    def add_aging(
        self,
        losses: Losses,
        generated: Tensor,
        targets: Targets,
        target_ages: Tensor,
        weight: float,
        pass_name: Pass,
    ) -> None:
        """Ageing term towards ``target_ages`` ``(B,)`` in years."""
        if weight <= 0:
            return
        assert self.aging is not None  # a weight without its network was refused
        term, ages = self.aging(generated, target_ages)
        losses.log(f"loss_aging_{pass_name}", term)
        losses.add(weight, term)
        if targets.ages is not None:
            losses.per_image[f"input_age_{pass_name}"] = targets.ages
        losses.per_image[f"output_age_{pass_name}"] = ages.detach()
        losses.per_image[f"target_age_{pass_name}"] = target_ages.detach()

    def log_identity(self, losses: Losses, term: Tensor, similarity: Tensor, pass_name: Pass) -> None:
        """Logs the identity term, and the gain in similarity over the input.

        Target and input are the same image in both coaches, so the official ``diff_input`` is ``diff_target``
        and ``diff_views`` is 1.
        """
        similarity = similarity.detach()
        losses.log(f"loss_id_{pass_name}", term)
        losses.log(f"id_improve_{pass_name}", (similarity - 1).mean())
        losses.per_image[f"diff_target_{pass_name}"] = similarity
        losses.per_image[f"diff_input_{pass_name}"] = similarity
        losses.per_image[f"diff_views_{pass_name}"] = torch.ones_like(similarity)
