"""Coach of StyleGAN2: non-saturating loss, lazy R1 and path length, EMA, simple augmentation, growing."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from criteria.gan_losses import (
    PathLengthPenalty,
    is_regularization_step,
    lazy_adam_settings,
    path_lengths,
)
from datasets.augment import SimpleAugment
from datasets.faces import FaceFolder
from models.loading import load_into
from models.stylegan2.files import load_trainable
from models.stylegan2.growing import grow
from models.stylegan2.model import Discriminator, Generator, StyleGAN2Config
from options.stylegan2_options import StyleGAN2Options
from training.accumulation import joined, mean_of
from training.adversary import Adversary
from training.averaging import average_decay, update_average
from training.batches import BatchSource
from training.coach import Coach
from training.guard import backward_pass
from utils.compilation import eagerly
from utils.distributed import average
from utils.pictures.sheets import image_sheet


class CoachStyleGAN2(Coach[StyleGAN2Options]):
    """Trains a generator and a discriminator on a folder of aligned faces (StyleGAN2, appendix B)."""

    def build(self) -> None:
        opts = self.opts
        self.config = StyleGAN2Config(
            opts.output_size,
            opts.style_dim,
            opts.n_mlp,
            opts.channel_multiplier,
            opts.channel_table,
        )
        self.generator = Generator.from_config(self.config).to(self.device)
        self.discriminator = Discriminator.from_config(self.config).to(self.device)
        self.generator_ema = deepcopy(self.generator).requires_grad_(False)
        self._initialise()
        for net in (self.generator, self.discriminator, self.generator_ema):
            net.compute_dtype = self.precision
            if opts.activation_checkpointing:
                net.recompute_activations()
        self.path_length = PathLengthPenalty().to(self.device)
        self.state.register(g=self.generator, g_ema=self.generator_ema, path_length=self.path_length)
        self.adversary = Adversary(
            self.discriminator,
            learning_rate=opts.discriminator_learning_rate or opts.learning_rate,
            r1=opts.r1,
            r1_every=opts.d_reg_every,
            augment=SimpleAugment(probability=opts.augment_p),
        )
        self.optimizer = self._generator_adam()
        self.state.register(g=self.optimizer)
        self.adversary.register(self.state)
        dataset = FaceFolder(
            opts.train_dataset, opts.output_size, resample="lanczos", own_output=opts.own_output
        )
        self.batches = BatchSource(
            dataset,
            opts.batch_size,
            seed=opts.seed,
            start_step=self.start_step,
            workers=opts.workers,
            device=self.device,
        )
        fixed = torch.Generator().manual_seed(opts.seed)
        self.sample_z = torch.randn(opts.n_samples, opts.style_dim, generator=fixed).to(self.device)

    def _initialise(self) -> None:
        """Takes weights from `--checkpoint_path` (same size) or `--grow_from` (half the size), if given."""
        path, smaller = self.opts.checkpoint_path, self.opts.grow_from
        if path:
            checkpoint = load_trainable(path)
            load_into(self.generator, checkpoint["g"], path)
            load_into(self.discriminator, checkpoint["d"], path)
            load_into(self.generator_ema, checkpoint["g_ema"], path)
        elif smaller:
            small = load_trainable(smaller)
            # The averaged generator is the better start; the first steps would pull the other one there.
            grow(self.generator, small["g_ema"], self.discriminator, small["d"], smaller)
            self.generator_ema.load_state_dict(self.generator.state_dict())

    def _generator_adam(self) -> torch.optim.Adam:
        opts = self.opts
        every = opts.g_reg_every if opts.path_regularize else 0
        rate, betas = lazy_adam_settings(opts.learning_rate, (0.0, 0.99), every)
        fused = self.device.type != "mps"
        return torch.optim.Adam(self.generator.parameters(), lr=rate, betas=betas, fused=fused)

    # ---------------------------------------------------------------- one step

    def training_step(self) -> dict[str, Tensor]:
        opts = self.opts
        real = self.batches.next()["image"]
        parts = self.parts(self._draw(len(real)))
        # One picture serves both networks: the discriminator sees it detached, the generator's loss comes
        # after the discriminator's update. Of several parts it is rendered twice, so that no graph waits.
        with torch.set_grad_enabled(len(parts) == 1):
            fakes = [self._render(part)[0] for part in parts]
        figures = self.adversary.learn(real, joined(fakes), self.step, parts=len(parts))
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        for fake, part in zip(fakes, parts, strict=True):
            losses.append(self.adversary.fool(fake if len(parts) == 1 else self._render(part)[0]))
            backward_pass(losses[-1], self.share)
        self.optimizer.step()
        if opts.path_regularize and is_regularization_step(self.step, opts.g_reg_every):
            with eagerly():
                figures["path_length"] = self._path_length_step(len(real))
        decay = average_decay(opts.ema_halflife, opts.batch_size, self.step)
        update_average(self.generator_ema, self.generator, decay)
        return {**figures, **mean_of([{"g_loss": loss.detach()} for loss in losses])}

    def _draw(self, batch: int) -> dict[str, Any]:
        """What pictures are rendered from: one z, or two for style mixing with probability `--mixing`.

        Of a step in one part the layers draw their noise themselves.
        """
        count = 2 if self.opts.mixing and torch.rand(()) < self.opts.mixing else 1
        styles = [torch.randn(batch, self.opts.style_dim, device=self.device) for _ in range(count)]
        index = int(torch.randint(1, self.generator.n_latent, ())) if count == 2 else None
        noise = self.generator.draw_noise(batch) if self.opts.gradient_accumulation_steps > 1 else None
        return {"styles": styles, "inject_index": index, "noise": noise}

    def _render(self, drawn: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Pictures and their codes."""
        images, latents = self.generator(**drawn, return_latents=True)
        assert latents is not None
        return images, latents

    def _path_length_step(self, photos: int) -> Tensor:
        """One optimiser step on the path length penalty; returns the mean length."""
        batch = max(1, photos // self.opts.path_batch_shrink)
        weight = self.opts.path_regularize * self.opts.g_reg_every
        self.generator.compute_dtype = torch.float32
        self.optimizer.zero_grad(set_to_none=True)
        try:
            parts = self.parts(self._draw(batch))
            if len(parts) == 1:
                images, latents = self._render(parts[0])
                penalty, lengths = self.path_length(images, latents)
                # Zero times a pixel ties the penalty to every parameter, so that all receive a gradient.
                backward_pass(weight * penalty + 0 * images[0, 0, 0, 0])
            else:
                lengths = self._path_lengths_in_parts(parts, batch, weight)
            average(self.path_length.buffers())
            self.optimizer.step()
        finally:
            self.generator.compute_dtype = self.precision
        return lengths.mean()

    def _path_lengths_in_parts(self, parts: Sequence[dict[str, Any]], batch: int, weight: float) -> Tensor:
        """Adds the gradients of the penalty, which compares each length (B,) with those of the whole batch.

        So all lengths are measured first; the slope of the penalty in each of them then goes through its
        picture, which is rendered again.
        """
        lengths, directions = torch.empty(batch, device=self.device), torch.empty(0)
        for number, part in enumerate(parts):
            images, latents = self._render(part)
            if number == 0:
                directions = torch.randn_like(torch.cat([images.detach()] * len(parts))[:batch])
            direction = directions[number :: len(parts)]
            lengths[number :: len(parts)] = path_lengths(images, latents, direction).detach()
        penalty = self.path_length.of(lengths.requires_grad_(True))
        (slopes,) = torch.autograd.grad(weight * penalty, lengths)
        for number, part in enumerate(parts):
            images, latents = self._render(part)
            direction, slope = directions[number :: len(parts)], slopes[number :: len(parts)]
            loss = (slope * path_lengths(images, latents, direction)).sum()
            backward_pass(loss + 0 * images[0, 0, 0, 0])
        return lengths.detach()

    # ---------------------------------------------------------------- results

    def weights(self) -> dict[str, Any]:
        return {
            "g": self.generator.state_dict(),
            "d": self.discriminator.state_dict(),
            "g_ema": self.generator_ema.state_dict(),
            "latent_avg": self.generator_ema.average_latent(seed=self.opts.seed),
            "opts": {"architecture": {"generator": self.config.to_dict()}, **self.record},
        }

    @torch.no_grad()
    def sheets(self) -> dict[str, Image.Image]:
        images, _ = self.generator_ema([self.sample_z], randomize_noise=False)
        columns = max(1, round(len(images) ** 0.5))
        rows = [list(images[i : i + columns]) for i in range(0, len(images), columns)]
        return {"samples": image_sheet(rows)}
