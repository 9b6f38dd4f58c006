"""Losses of StyleGAN2: non-saturating logistic, lazy R1, path length (Karras et al. 2020, appendix B)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from criteria.frozen import full_precision


def discriminator_logistic_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """``mean softplus(-real) + mean softplus(fake)`` of logits ``(B, 1)``."""
    return F.softplus(-full_precision(real_logits)).mean() + F.softplus(full_precision(fake_logits)).mean()


def generator_nonsaturating_loss(fake_logits: Tensor) -> Tensor:
    """``mean softplus(-fake)`` of logits ``(B, 1)``."""
    return F.softplus(-full_precision(fake_logits)).mean()


def generator_minimax_loss(fake_logits: Tensor) -> Tensor:
    """``mean log(1 - sigmoid(fake))`` of logits ``(B, 1)``: what the discriminator maximises (GAN, eq. 1).

    It hardly pulls where the discriminator is sure, for which the non-saturating form was made.
    """
    return -F.softplus(full_precision(fake_logits)).mean()


def r1_penalty(real_logits: Tensor, real_images: Tensor) -> Tensor:
    """Mean squared gradient norm of the logits in the real images (Mescheder et al. 2018, equation 9).

    ``real_images`` must require grad before the discriminator runs; the result can be differentiated again.
    """
    (gradient,) = torch.autograd.grad(real_logits.sum(), real_images, create_graph=True)
    return gradient.square().flatten(1).sum(dim=1).mean()


def lazy_r1_loss(real_logits: Tensor, real_images: Tensor, weight: float, every: int) -> Tensor:
    """``weight / 2 * every * R1``: the penalty of a step that stands for ``every`` steps."""
    return 0.5 * weight * every * r1_penalty(real_logits, real_images)


def is_regularization_step(step: int, every: int) -> bool:
    """Whether a lazy penalty is due at this step (counted from 0); never for ``every = 0``."""
    return every > 0 and step % every == 0


def lazy_adam_settings(
    lr: float, betas: tuple[float, float], every: int
) -> tuple[float, tuple[float, float]]:
    """Learning rate and betas with the extra optimiser steps of a lazy penalty taken into account.

    A penalty every ``every`` steps adds one step to them, so rate and memory are scaled by ``every / (every +
    1)``.
    """
    if every <= 0:
        return lr, betas
    ratio = every / (every + 1)
    return lr * ratio, (betas[0] ** ratio, betas[1] ** ratio)


def path_lengths(images: Tensor, latents: Tensor, noise: Tensor | None = None) -> Tensor:
    """Length of the gradient of ``(images * noise)`` in the latents, ``(B,)``.

    Args:
        images: ``(B, 3, H, W)`` made from the latents.
        latents: W+ codes ``(B, n_latent, D)`` in the graph of the images.
        noise: standard normal ``(B, 3, H, W)``, divided here by ``sqrt(H W)``; drawn where absent.
    """
    noise = torch.randn_like(images) if noise is None else noise
    noise = noise / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * noise).sum(), latents, create_graph=True)
    return gradient.square().sum(dim=2).mean(dim=1).sqrt()


class PathLengthPenalty(nn.Module):
    """``mean (length - running mean)^2``; the running mean is a buffer, so it is saved and resumed.

    Args:
        decay: share of the current batch in the running mean.
    """

    mean_path_length: Tensor

    def __init__(self, decay: float = 0.01) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("mean_path_length", torch.zeros(()))

    def forward(self, images: Tensor, latents: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Penalty and lengths ``(B,)`` (detached); moves the running mean."""
        lengths = path_lengths(images, latents, noise)
        return self.of(lengths), lengths.detach()

    def of(self, lengths: Tensor) -> Tensor:
        """The penalty of lengths (B,) that are known; moves the running mean."""
        mean = self.mean_path_length.to(lengths.dtype)
        mean = mean + self.decay * (lengths.mean() - mean)
        self.mean_path_length.copy_(mean.detach())
        return (lengths - mean).square().mean()
