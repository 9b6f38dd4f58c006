"""A discriminator beside the training of an encoder: it keeps the pictures sharp and believable."""

from collections.abc import Mapping

import torch
from torch import Tensor

from criteria.gan_losses import (
    discriminator_logistic_loss,
    generator_nonsaturating_loss,
    is_regularization_step,
    lazy_adam_settings,
    lazy_r1_loss,
)
from models.stylegan2.model import Discriminator, StyleGAN2Config
from utils.checkpoints import load_into

R1_EVERY = 16  # updates


class Adversary:
    """Non-saturating GAN loss with lazy R1 on the pictures that an encoder makes of real ones.

    Not in the official code, which trains encoders without a discriminator. The small generators of the
    demonstration stack need one: without it they blur, and ageing finds patterns that only a classifier sees.

    Args:
        config: sizes of the StyleGAN2 whose discriminator is used.
        state: weights to start from.
        source: their file, for messages.
        learning_rate: of the discriminator's Adam.
        r1: weight of the R1 penalty.
        every: steps of the encoder between updates of the discriminator.
        precision: dtype of its activations.
    """

    def __init__(
        self,
        config: StyleGAN2Config,
        state: Mapping[str, Tensor],
        source: str,
        *,
        learning_rate: float,
        r1: float,
        every: int,
        device: torch.device,
        precision: torch.dtype,
    ) -> None:
        self.discriminator = Discriminator.from_config(config)
        load_into(self.discriminator, state, source)
        self.discriminator.to(device).requires_grad_(False)
        self.discriminator.compute_dtype = precision
        rate, betas = lazy_adam_settings(learning_rate, (0.0, 0.99), R1_EVERY if r1 else 0)
        self.optimizer = torch.optim.Adam(
            self.discriminator.parameters(), rate, betas=betas, fused=device.type != "mps"
        )
        self.r1, self.every, self.precision = r1, every, precision
        self._fake: Tensor | None = None

    def fool(self, images: Tensor) -> Tensor:
        """The loss that makes (B, 3, R, R) pictures believable; remembers them for `learn`."""
        self._fake = images.detach()
        return generator_nonsaturating_loss(self.discriminator(images))

    def learn(self, real: Tensor, step: int) -> dict[str, Tensor]:
        """Updates the discriminator on real pictures and on those that `fool` saw last, where it is due.

        Args:
            real: (B, 3, R, R).
            step: of the encoder's training, counted from 0.

        Returns:
            Figures to log; empty where no update is due.
        """
        if step % self.every or self._fake is None:
            return {}
        self.discriminator.requires_grad_(True)
        real_logits, fake_logits = self.discriminator(real), self.discriminator(self._fake)
        loss = discriminator_logistic_loss(real_logits, fake_logits)
        self._update(loss)
        if self.r1 > 0 and is_regularization_step(step // self.every, R1_EVERY):
            self.discriminator.compute_dtype = torch.float32  # second derivatives are small differences
            inputs = real.detach().clone().requires_grad_(True)
            self._update(lazy_r1_loss(self.discriminator(inputs), inputs, self.r1, R1_EVERY))
            self.discriminator.compute_dtype = self.precision
        self.discriminator.requires_grad_(False)
        self._fake = None
        return {"loss_discriminator": loss.detach()}

    def _update(self, loss: Tensor) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
