"""Latent path optimisation: the codes of a face at all its ages together, by gradient descent.

It starts from the encoder's codes. A path is judged by its pictures (age, identity, likeness at the face's
own age) and by its codes (smooth, no standstill, near the encoder's).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from criteria.id_loss import cosine_similarity
from criteria.path_terms import distances, diversity, smoothness
from criteria.perceptual_loss import PerceptualLoss
from datasets.augment import AGING_AUGMENT
from inference.projector import compared
from models.aging_model import PIXELS_AT_A_TIME, PIXELS_ON_CPU, StyleModel
from options.path_options import PathWeights
from utils.ages import scale_age
from utils.pictures.tensors import resize

OF_PICTURES = ("age", "identity", "l2", "lpips")


@dataclass(frozen=True)
class PathNetworks:
    """The frozen networks that look at the pictures.

    Attributes:
        ages: years (B,) that pictures (B, 3, S, S) look.
        identities: unit embeddings (B, D) of the faces in them.
        perceptual: the perceptual distance.
    """

    ages: Callable[[Tensor], Tensor]
    identities: Callable[[Tensor], Tensor]
    perceptual: PerceptualLoss


@dataclass(frozen=True)
class OptimizedPaths:
    """What was found for B faces at A target ages and, last, at their own age; all on the CPU.

    Attributes:
        ages: (B, A + 1) years.
        start: the encoder's codes (B, A + 1, n_styles, D).
        codes: the optimised ones.
        losses: weighted terms by their names, each (steps, B), and their sum ``total``.
        age_errors: mean absolute difference of target age and age seen (2, B) in years, before and after.
        identities: mean similarity to the photo (2, B) at the target ages, before and after.
    """

    ages: Tensor
    start: Tensor
    codes: Tensor
    losses: Mapping[str, Tensor]
    age_errors: Tensor
    identities: Tensor


@dataclass(frozen=True)
class _Photos:
    """What the pictures of B faces are compared with: pictures, embeddings (B, D), perceptual features."""

    pictures: Tensor
    identity: Tensor
    features: list[Tensor]


class PathOptimizer:
    """Optimises paths of W+ codes.

    Every face has a loss and random draws of its own, so that the others in its batch do not matter. Ages
    and identities are told from shifted and recoloured pictures: what fools a network in one picture alone
    gains little.

    Args:
        model: makes the codes and the pictures.
        networks: look at the pictures.
        weights: of the terms, and the steps.
        seed: of the draws.
        progress: whether a bar shows the steps.
    """

    def __init__(
        self,
        model: StyleModel,
        networks: PathNetworks,
        weights: PathWeights,
        seed: int = 0,
        progress: bool = True,
    ) -> None:
        self.model, self.networks, self.weights = model, networks, weights
        self.seed, self.progress = seed, progress

    def optimize(self, images: Tensor, target_ages: Tensor, own_ages: Tensor) -> OptimizedPaths:
        """Optimises the paths of faces.

        Args:
            images: (B, 3, S, S) aligned faces in [-1, 1].
            target_ages: (B, A) years.
            own_ages: (B,) years that the faces are old.
        """
        weights = self.weights
        ages = torch.cat([target_ages, own_ages[:, None]], 1)
        start = self.model.codes(images, ages).clone()
        years, photos, most = ages.to(start), self._photos(images.to(start)), distances(start)
        codes = start.clone().requires_grad_(True)
        optimizer = torch.optim.Adam([codes], weights.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, weights.steps)
        curves: list[dict[str, Tensor]] = []
        before = self._measured(start, years, photos)
        bar = tqdm(range(weights.steps), "optimising", leave=False, disable=not self.progress, unit="step")
        for step in bar:
            gradient, terms = self._pictures(codes.detach(), years, photos, step)
            path = {
                "smoothness": weights.smoothness_lambda * smoothness(codes, years),
                "diversity": weights.diversity_lambda * diversity(codes, most),
                "w_norm": weights.w_norm_lambda * (codes - start).square().mean((2, 3)).sum(1),
            }
            codes.grad = gradient + torch.autograd.grad(torch.stack(list(path.values())).sum(), codes)[0]
            optimizer.step()
            schedule.step()
            curves.append({name: value.detach() for name, value in (terms | path).items()})
            bar.set_postfix(age_term=f"{float(terms[OF_PICTURES[0]].mean()):.3f}", refresh=False)
        losses = {name: torch.stack([step[name] for step in curves]).cpu() for name in curves[0]}
        losses["total"] = torch.stack(list(losses.values())).sum(0)
        errors, identities = torch.stack([before, self._measured(codes.detach(), years, photos)], 1)
        return OptimizedPaths(ages, start.cpu(), codes.detach().cpu(), losses, errors, identities)

    @torch.no_grad()
    def _photos(self, images: Tensor) -> _Photos:
        wanted = compared(resize(images, self.model.output_size))
        features = self.networks.perceptual.features(wanted)
        return _Photos(wanted, self.networks.identities(wanted), list(features))

    def _pictures(
        self, codes: Tensor, ages: Tensor, photos: _Photos, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """What the networks say of the pictures of codes (B, A, n_styles, D), a few at a time.

        Returns:
            The gradient of the sum of all terms, and each weighted term (B,).
        """
        faces, count = ages.shape
        pixels = PIXELS_ON_CPU if codes.device.type == "cpu" else PIXELS_AT_A_TIME
        at_once = max(1, pixels // 4 // self.model.output_size**2)  # a picture with its graph is larger
        gradients, terms = [], []
        for rows in torch.arange(faces * count).split(at_once):
            part = codes.flatten(0, 1)[rows].requires_grad_(True)
            seeds = self.seed + count * step + rows % count
            values = self._looks(part, ages.flatten()[rows], rows, count, photos, seeds)
            gradients += torch.autograd.grad(values.sum(), part)
            terms.append(values.detach())
        of_faces = torch.cat(terms, 1).view(-1, faces, count).sum(2)
        named = dict(zip(OF_PICTURES, of_faces, strict=True))
        return torch.cat(gradients).view_as(codes), named

    def _looks(
        self, codes: Tensor, ages: Tensor, rows: Tensor, count: int, photos: _Photos, seeds: Tensor
    ) -> Tensor:
        """Weighted terms (4, n) of some pictures.

        Args:
            codes: (n, n_styles, D).
            ages: (n,) years that they are meant to show.
            rows: (n,) their numbers among the pictures of all faces, on the CPU.
            count: pictures of a face, of which the last is at its own age.
            photos: of all faces.
            seeds: (n,) of the draws, on the CPU.
        """
        weights, networks, faces = self.weights, self.networks, rows // count
        pictures = compared(self.model.synthesize(codes).float())
        seen = _shaken(pictures, seeds)
        years = networks.ages(seen)
        alike = cosine_similarity(networks.identities(seen), photos.identity[faces])
        terms = [weights.aging_lambda * scale_age((years - ages).abs()), weights.id_lambda * (1 - alike)]
        likeness = pictures.new_zeros(2, len(rows))
        own = (rows % count == count - 1).nonzero().flatten()
        if len(own):
            features = [layer[faces[own]] for layer in photos.features]
            shown = pictures[own]
            l2 = (shown - photos.pictures[faces[own]]).square().mean((1, 2, 3))
            distance = networks.perceptual.distance(networks.perceptual.features(shown), features)
            found = torch.stack([weights.l2_lambda * l2, weights.lpips_lambda * distance])
            likeness = likeness.index_copy(1, own.to(likeness.device), found)
        return torch.cat([torch.stack(terms), likeness])

    @torch.no_grad()
    def _measured(self, codes: Tensor, ages: Tensor, photos: _Photos) -> Tensor:
        """Mean age error and mean similarity (2, B) of the pictures at the target ages, on the CPU."""
        errors, alike = [], []
        for own, years, identity in zip(codes[:, :-1], ages[:, :-1], photos.identity, strict=True):
            pictures = compared(self.model.render(own))
            errors.append((self.networks.ages(pictures) - years).abs().mean())
            alike.append((self.networks.identities(pictures) @ identity).mean())
        return torch.stack([torch.stack(errors), torch.stack(alike)]).cpu()


def _shaken(pictures: Tensor, seeds: Tensor) -> Tensor:
    """Pictures (n, 3, S, S), each changed as its seed says."""
    draws = [torch.Generator().manual_seed(seed) for seed in seeds.tolist()]
    return torch.cat([AGING_AUGMENT(*one) for one in zip(pictures.split(1), draws, strict=True)])
