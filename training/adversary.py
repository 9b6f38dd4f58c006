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
from datasets.augment import SimpleAugment
from models.auxiliary import AgeClassifier
from models.feature_discriminator import FeatureDiscriminator
from models.reaging_gan.discriminator import BranchedDiscriminator
from models.stylegan2.model import Discriminator
from training.accumulation import mean_of, split
from training.guard import backward_pass
from training.state import TrainingState
from utils.compilation import eagerly

R1_EVERY = 16  # updates
FEATURE_AUGMENT = 0.2  # probability of each change of what a feature discriminator sees


class Adversary:
    """Logistic GAN loss with lazy R1 (StyleGAN2, appendix B) against pictures of whatever makes some.

    Beside an encoder (not in the official code) it keeps the small generators of the demonstration stack from
    blurring, and ageing from patterns that only a classifier sees.

    Args:
        discriminator: on its device; its parameters take gradients during its own updates only, and those
            that take none now never do.
        learning_rate: of its Adam.
        r1: weight of the R1 penalty.
        r1_every: updates between penalties; 0 for none.
        every: steps between updates.
        augment: what real and made pictures pass through before it sees them.
        conditional: whether it takes conditions (ages in years, or class labels) beside pictures; else they
            are left out.
        generator_loss: of the logits (B, ...) of made pictures.
        observe: told what it says of photos, (B, ...) logits without gradient, at each of its updates.
    """

    def __init__(
        self,
        discriminator: Discriminator | FeatureDiscriminator | BranchedDiscriminator,
        *,
        learning_rate: float,
        r1: float,
        r1_every: int = R1_EVERY,
        every: int = 1,
        augment: Callable[[Tensor], Tensor] = lambda images: images,
        conditional: bool = False,
        generator_loss: Callable[[Tensor], Tensor] = generator_nonsaturating_loss,
        observe: Callable[[Tensor], None] = lambda logits: None,
    ) -> None:
        self.discriminator = discriminator
        self._trained = [parameter for parameter in discriminator.parameters() if parameter.requires_grad]
        rate, betas = lazy_adam_settings(learning_rate, (0.0, 0.99), r1_every)
        fused = self._trained[0].device.type != "mps"
        self.optimizer = torch.optim.Adam(self._trained, rate, betas=betas, fused=fused)
        self._require_grad(False)
        self.r1, self.r1_every, self.every, self.augment = r1, r1_every, every, augment
        self.conditional, self.generator_loss, self.observe = conditional, generator_loss, observe

    def register(self, state: TrainingState, name: str = "d") -> None:
        """Names the parts that must survive a restart; the optimiser has the name of its network."""
        state.register(**{name: self.discriminator})
        state.register(**{name: self.optimizer})

    def fool(self, images: Tensor, conditions: Tensor | None = None) -> Tensor:
        """The loss that makes (B, 3, R, R) pictures believable, under their conditions if it takes these."""
        return self.generator_loss(self._judge(self.augment(images), conditions))

    def _judge(self, images: Tensor, conditions: Tensor | None) -> Tensor:
        return self.discriminator(images, conditions) if self.conditional else self.discriminator(images)

    def learn(
        self,
        real: Tensor,
        made: Tensor,
        step: int,
        real_conditions: Tensor | None = None,
        made_conditions: Tensor | None = None,
        parts: int = 1,
    ) -> dict[str, Tensor]:
        """Updates the discriminator where that is due.

        Args:
            real: (B, 3, R, R) photos.
            made: (B, 3, R, R) pictures; no gradient reaches what made them.
            step: of the training, counted from 0.
            real_conditions: ages (B,) or labels (B, c_dim) of the photos.
            made_conditions: those that the pictures are meant to show.
            parts: micro-batches of an update, see ``training.accumulation``.

        Returns:
            Figures to log; empty where no update is due.
        """
        if step % self.every:
            return {}
        self._require_grad(True)
        try:
            seen = {"real": self.augment(real), "made": self.augment(made.detach())}
            batch = {**seen, "real_conditions": real_conditions, "made_conditions": made_conditions}
            figures = self._update(self._tell_apart, split(batch, parts))
            if is_regularization_step(step // self.every, self.r1_every):
                figures |= self._r1_step(real, real_conditions, parts)
        finally:
            self._require_grad(False)
        return figures

    def _require_grad(self, required: bool) -> None:
        for parameter in self._trained:
            parameter.requires_grad_(required)

    def _tell_apart(
        self, real: Tensor, made: Tensor, real_conditions: Tensor | None, made_conditions: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        real_logits, made_logits = self._judge(real, real_conditions), self._judge(made, made_conditions)
        self.observe(real_logits.detach())
        loss = discriminator_logistic_loss(real_logits, made_logits)
        return loss, {"d_loss": loss, "real_score": real_logits.mean(), "fake_score": made_logits.mean()}

    def _r1_step(self, real: Tensor, conditions: Tensor | None, parts: int) -> dict[str, Tensor]:
        """R1 on the real pictures before their augmentation (Karras et al. 2020).

        In float32, because its second derivatives are small differences.
        """
        precision, self.discriminator.compute_dtype = self.discriminator.compute_dtype, torch.float32
        try:
            return self._update(self._penalise, split({"real": real, "conditions": conditions}, parts))
        finally:
            self.discriminator.compute_dtype = precision

    def _penalise(self, real: Tensor, conditions: Tensor | None) -> tuple[Tensor, dict[str, Tensor]]:
        real = real.detach().requires_grad_(True)
        with eagerly():
            logits = self._judge(self.augment(real), conditions)
            loss = lazy_r1_loss(logits, real, self.r1, self.r1_every)
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


def feature_adversary(
    classifier: AgeClassifier,
    learning_rate: float,
    *,
    judges_age: bool,
    precision: torch.dtype,
    device: torch.device,
    every: int = 1,
    heads: FeatureDiscriminator | None = None,
) -> Adversary:
    """A discriminator of a few weights that sees with an age classifier.

    Args:
        classifier: on the device, frozen.
        learning_rate: of its Adam.
        judges_age: whether its conditions are ages (B,) in years; else it takes none.
        precision: dtype of activations.
        device: where it computes.
        every: steps between updates.
        heads: trained before; fresh ones if None.
    """
    heads = heads or FeatureDiscriminator(
        classifier.feature_maps, classifier.feature_channels, knows_age=judges_age
    )
    heads.compute_dtype = precision
    return Adversary(
        heads.to(device),
        learning_rate=learning_rate,
        r1=0.0,
        r1_every=0,  # heads with a bounded slope
        every=every,
        augment=SimpleAugment(probability=FEATURE_AUGMENT),
        conditional=judges_age,
    )
