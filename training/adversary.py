"""The discriminator's side of a GAN training: its updates with lazy R1, and the loss that fools it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from criteria.gan_losses import (
    discriminator_logistic_loss,
    generator_nonsaturating_loss,
    is_regularization_step,
    lazy_adam_settings,
    lazy_r1_loss,
)
from models.feature_discriminator import FeatureDiscriminator
from models.stylegan2.model import Discriminator
from training.accumulation import mean_of, split
from training.guard import backward_pass
from training.state import TrainingState
from utils.compilation import eagerly

R1_EVERY = 16  # updates


class Adversary:
    """Non-saturating GAN loss with lazy R1 (StyleGAN2, appendix B) against pictures of whatever makes some.

    Beside an encoder (not in the official code) it keeps the small generators of the demonstration stack from
    blurring, and ageing from patterns that only a classifier sees.

    Args:
        discriminator: on its device; its parameters take gradients during its own updates only.
        learning_rate: of its Adam.
        r1: weight of the R1 penalty.
        r1_every: updates between penalties; 0 for none.
        every: steps between updates.
        augment: what real and made pictures pass through before it sees them.
        judges_age: whether it takes ages beside pictures; else they are left out.
    """

    def __init__(
        self,
        discriminator: Discriminator | FeatureDiscriminator,
        *,
        learning_rate: float,
        r1: float,
        r1_every: int = R1_EVERY,
        every: int = 1,
        augment: Callable[[Tensor], Tensor] = lambda images: images,
        judges_age: bool = False,
    ) -> None:
        self.discriminator = discriminator.requires_grad_(False)
        rate, betas = lazy_adam_settings(learning_rate, (0.0, 0.99), r1_every)
        fused = next(discriminator.parameters()).device.type != "mps"
        self.optimizer = torch.optim.Adam(discriminator.parameters(), rate, betas=betas, fused=fused)
        self.r1, self.r1_every, self.every, self.augment = r1, r1_every, every, augment
        self.judges_age = judges_age

    def register(self, state: TrainingState) -> None:
        """Names the parts that must survive a restart; the optimiser has the name of its network."""
        state.register(d=self.discriminator)
        state.register(d=self.optimizer)

    def fool(self, images: Tensor, ages: Tensor | None = None) -> Tensor:
        """The loss that makes (B, 3, R, R) pictures believable, at their ages (B,) if it judges these."""
        return generator_nonsaturating_loss(self._judge(self.augment(images), ages))

    def _judge(self, images: Tensor, ages: Tensor | None) -> Tensor:
        return self.discriminator(images, ages) if self.judges_age else self.discriminator(images)

    def learn(
        self,
        real: Tensor,
        made: Tensor,
        step: int,
        real_ages: Tensor | None = None,
        made_ages: Tensor | None = None,
        parts: int = 1,
    ) -> dict[str, Tensor]:
        """Updates the discriminator where that is due.

        Args:
            real: (B, 3, R, R) photos.
            made: (B, 3, R, R) pictures; no gradient reaches what made them.
            step: of the training, counted from 0.
            real_ages: years (B,) of the photos.
            made_ages: years (B,) that the pictures are meant to show.
            parts: micro-batches of an update, see ``training.accumulation``.

        Returns:
            Figures to log; empty where no update is due.
        """
        if step % self.every:
            return {}
        self.discriminator.requires_grad_(True)
        try:
            seen = {"real": self.augment(real), "made": self.augment(made.detach())}
            batch = {**seen, "real_ages": real_ages, "made_ages": made_ages}
            figures = self._update(self._tell_apart, split(batch, parts))
            if is_regularization_step(step // self.every, self.r1_every):
                figures |= self._r1_step(real, parts)
        finally:
            self.discriminator.requires_grad_(False)
        return figures

    def _tell_apart(
        self, real: Tensor, made: Tensor, real_ages: Tensor | None, made_ages: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        real_logits, made_logits = self._judge(real, real_ages), self._judge(made, made_ages)
        loss = discriminator_logistic_loss(real_logits, made_logits)
        return loss, {"d_loss": loss, "real_score": real_logits.mean(), "fake_score": made_logits.mean()}

    def _r1_step(self, real: Tensor, parts: int) -> dict[str, Tensor]:
        """R1 on the real pictures, in float32: its second derivatives are small differences."""
        precision, self.discriminator.compute_dtype = self.discriminator.compute_dtype, torch.float32
        try:
            return self._update(self._penalise, split({"real": self.augment(real).detach()}, parts))
        finally:
            self.discriminator.compute_dtype = precision

    def _penalise(self, real: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        real.requires_grad_(True)
        with eagerly():
            loss = lazy_r1_loss(self.discriminator(real), real, self.r1, self.r1_every)
        return loss, {"r1": loss / (0.5 * max(self.r1, 1e-12) * self.r1_every)}

    def _update(
        self, compute: Callable[..., tuple[Tensor, dict[str, Tensor]]], parts: Sequence[Mapping[str, Any]]
    ) -> dict[str, Tensor]:
        """One optimiser step on the mean loss of some parts; returns its figures, detached."""
        self.optimizer.zero_grad(set_to_none=True)
        rows = []
        for part in parts:
            loss, figures = compute(**part)
            backward_pass(loss, 1 / len(parts))
            rows.append({name: value.detach() for name, value in figures.items()})
        self.optimizer.step()
        return mean_of(rows)
