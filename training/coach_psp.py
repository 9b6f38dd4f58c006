"""Coach of pSp inversion (Richardson et al. 2021): an encoder into W+ of a StyleGAN2 generator."""

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from criteria.crops import FACE_CROP
from criteria.gan_losses import (
    discriminator_logistic_loss,
    generator_nonsaturating_loss,
    is_regularization_step,
    lazy_r1_loss,
)
from criteria.w_norm import w_norm
from models.stylegan2.model import Discriminator
from training.encoder_training import EncoderCoach, generator_config, sheet_of_columns
from training.loss_networks import FeatureCache, NeededFile, build_loss_networks, loss_files, require_files
from utils.checkpoints import checkpoint_kind, describe, load_checkpoint, load_into
from utils.errors import InputError

R1_EVERY = 16


class CoachPSP(EncoderCoach):
    """Reconstruction of the input: L2, perceptual, identity, inner-face forms and W-norm (pSp, section 3.2).

    With `--train_decoder` the generator follows; `--adversarial_lambda` then keeps its pictures sharp with
    the discriminator of the StyleGAN2 checkpoint (not in the official code).
    """

    def build(self) -> None:
        opts = self.opts
        generator = NeededFile("the StyleGAN2 generator", "--stylegan_weights", opts.stylegan_weights)
        require_files([generator, *loss_files(opts, needs_age=False), *self.data_folders()])
        stylegan2 = self.read_generator()
        config = generator_config(opts, stylegan2)
        net = self.make_network(config, start_from_encoded_w_plus=False)
        net.load_generator(stylegan2, opts.stylegan_weights)
        if opts.checkpoint_path:
            start = load_checkpoint(opts.checkpoint_path)
            if checkpoint_kind(start) != "psp":
                found = describe(start)
                raise InputError(f"--checkpoint_path={opts.checkpoint_path} is {found}, not one of pSp")
            net.load_checkpoint_content(start, opts.checkpoint_path)
        self.finish_network(net)
        self.make_optimizer()
        self.discriminator: Discriminator | None = None
        if opts.adversarial_lambda > 0:
            if "d" not in stylegan2:
                raise InputError(f"{opts.stylegan_weights} has no discriminator for --adversarial_lambda")
            self._build_discriminator(Discriminator.from_config(config), stylegan2["d"])
        data = self.make_data()
        losses = build_loss_networks(opts, self.device, needs_age=False)
        self.identity, self.perceptual = losses.identity, losses.perceptual
        if self.identity is not None:
            features = self.identity.features
            self.features = FeatureCache(lambda images: [features(images)], len(data))

    def _build_discriminator(self, discriminator: Discriminator, state: dict[str, Tensor]) -> None:
        load_into(discriminator, state, self.opts.stylegan_weights)
        self.discriminator = discriminator.to(self.device)
        self.discriminator.compute_dtype = self.precision
        self.networks["d"] = self.discriminator
        rate = self.opts.decoder_learning_rate or self.opts.learning_rate
        self.optimizers["d"] = torch.optim.Adam(discriminator.parameters(), rate, betas=(0.0, 0.99))

    def training_step(self) -> dict[str, Tensor]:
        batch = self.batches.next()
        images = batch["image"]
        self.net.train()
        with self.autocast():
            features = self.features(batch)[0] if self.identity is not None else None
            codes = self.net.encode(images)
            full = self.net.decode(codes, randomize_noise=True)
            total, figures = self._reconstruction(full, codes, images, features)
        if self.discriminator is not None:
            self.discriminator.requires_grad_(False)
            fooled = generator_nonsaturating_loss(self.discriminator(full))
            self.discriminator.requires_grad_(True)
            total = total + self.opts.adversarial_lambda * fooled
            figures["loss_adversarial"] = fooled.detach()
        optimizer = self.optimizers["main"]
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        if self.discriminator is not None:
            figures["loss_discriminator"] = self._discriminator_step(
                self.discriminator, full.detach(), images
            )
        return {"loss": total.detach(), **figures}

    def _reconstruction(
        self, full: Tensor, codes: Tensor, images: Tensor, features: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum of the terms, and each term for the log."""
        opts, output = self.opts, self.net.face_pool(full).float()
        terms: dict[str, tuple[float, Tensor]] = {}
        if opts.l2_lambda > 0:
            terms["loss_l2"] = opts.l2_lambda, F.mse_loss(output, images)
        if opts.l2_lambda_crop > 0:
            terms["loss_l2_crop"] = opts.l2_lambda_crop, F.mse_loss(FACE_CROP(output), FACE_CROP(images))
        if self.perceptual is not None and opts.lpips_lambda > 0:
            terms["loss_lpips"] = opts.lpips_lambda, self.perceptual(output, images)
        if self.perceptual is not None and opts.lpips_lambda_crop > 0:
            term = self.perceptual(FACE_CROP(output), FACE_CROP(images))
            terms["loss_lpips_crop"] = opts.lpips_lambda_crop, term
        if self.identity is not None:
            terms["loss_id"] = opts.id_lambda, self.identity(output, images, target_features=features)[0]
        if opts.w_norm_lambda > 0:
            average = self.net.latent_avg if opts.start_from_latent_avg else None
            terms["loss_w_norm"] = opts.w_norm_lambda, w_norm(codes.float(), average).mean()
        total = sum((weight * term for weight, term in terms.values()), start=output.new_zeros(()))
        return total, {name: term.detach() for name, (_, term) in terms.items()}

    def _discriminator_step(self, discriminator: Discriminator, fake: Tensor, images: Tensor) -> Tensor:
        real = (
            F.interpolate(images, fake.shape[-1], mode="bilinear") if fake.shape != images.shape else images
        )
        optimizer = self.optimizers["d"]
        loss = discriminator_logistic_loss(discriminator(real), discriminator(fake))
        if self.opts.r1 > 0 and is_regularization_step(self.step, R1_EVERY):
            discriminator.compute_dtype = torch.float32
            inputs = real.detach().clone().requires_grad_(True)
            loss = loss + lazy_r1_loss(discriminator(inputs), inputs, self.opts.r1, R1_EVERY)
            discriminator.compute_dtype = self.precision
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    @torch.no_grad()
    def validation_step(self) -> dict[str, float]:
        rows = []
        self.net.eval()
        for images in self.test_batches():
            with self.autocast():
                codes = self.net.encode(images)
                total, figures = self._reconstruction(self.net.decode(codes), codes, images, None)
            rows.append({"loss": total, **figures} | {"images": len(images)})
        count = sum(row["images"] for row in rows)
        names = [name for name in (rows[0] if rows else {}) if name != "images"]
        return {name: sum(float(row[name]) * row["images"] for row in rows) / count for name in names}

    @torch.no_grad()
    def sheets(self) -> dict[str, Image.Image]:
        self.net.eval()
        images = self.shown_images(16)
        with self.autocast():
            output = self.net.decode(self.net.encode(images), resize=True)
        return {"reconstruction": sheet_of_columns([images, output], ["input", "output"])}
