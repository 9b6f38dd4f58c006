"""Coach of pSp inversion (Richardson et al. 2021): an encoder into W+ of a StyleGAN2 generator."""

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from criteria.w_norm import w_norm
from models.kinds import checkpoint_kind, describe
from models.psp import pSp
from models.stylegan2.growing import grow
from models.stylegan2.model import Discriminator
from training.encoder_training import EncoderCoach, generator_config, sheet_of_columns
from training.loss_networks import FeatureCache, NeededFile, build_loss_networks, loss_files, require_files
from utils.errors import InputError
from utils.faces.boxes import FACE_CROP


class CoachPSP(EncoderCoach):
    """Reconstruction of the input: L2, perceptual, identity, inner-face forms and W-norm (pSp, section 3.2).

    With `--train_decoder` the generator follows; `--adversarial_lambda` keeps the pictures sharp with a
    discriminator, that of `--checkpoint_path` or of the StyleGAN2 checkpoint (not in the official code).
    """

    def build(self) -> None:
        opts = self.opts
        if opts.grow_from:
            start = NeededFile("the pSp to grow", "--grow_from", opts.grow_from)
        elif opts.checkpoint_path:
            start = NeededFile("the pSp checkpoint", "--checkpoint_path", opts.checkpoint_path)
        else:
            start = NeededFile("the StyleGAN2 generator", "--stylegan_weights", opts.stylegan_weights)
        require_files([start, *loss_files(opts, needs_age=False), *self.data_folders()])
        self.finish_network(self._start_network())
        self.make_optimizer()
        losses = build_loss_networks(opts, self.device, needs_age=False)
        if opts.adversarial_lambda > 0:
            self.make_adversary(losses.age_classifier, knows_age=False)
        data = self.make_data()
        self.identity, self.perceptual = losses.identity, losses.perceptual
        if self.identity is not None:
            features = self.identity.features
            self.features = FeatureCache(lambda images: [features(images)], len(data))

    def _start_network(self) -> pSp:
        """A pSp to go on from, or to grow, or a fresh encoder before the generator."""
        opts = self.opts
        if opts.grow_from:
            return self._grown_network(self._read_psp(opts.grow_from, "--grow_from"), opts.grow_from)
        if opts.checkpoint_path:
            start = self._read_psp(opts.checkpoint_path, "--checkpoint_path")
            return pSp.from_checkpoint(start, opts.checkpoint_path)
        stylegan2 = self.read_generator()
        net = self.make_network(generator_config(opts, stylegan2), start_from_encoded_w_plus=False)
        net.load_generator(stylegan2, opts.stylegan_weights)
        return net

    def _grown_network(self, start: dict[str, Any], path: str) -> pSp:
        """A pSp with a generator of twice the size; the heads of its new styles add nothing yet."""
        small = pSp.from_checkpoint(start, path)
        config = replace(small.config.generator, size=2 * small.config.generator.size)
        net = pSp.from_config(replace(small.config, generator=config))
        discriminator = Discriminator.from_config(config)
        state = start.get("d") or Discriminator.from_config(small.config.generator).state_dict()
        grow(net.decoder, small.decoder.state_dict(), discriminator, state, path)
        net.grow_encoder(small)
        self.known_discriminator = discriminator.state_dict(), path
        return net

    def _read_psp(self, path: str, flag: str) -> dict[str, Any]:
        """Reads a pSp checkpoint.

        Raises:
            InputError: it is another kind of file.
        """
        checkpoint = self.read(path)
        if checkpoint_kind(checkpoint) != "psp":
            raise InputError(f"{flag}={path} is {describe(checkpoint)}, not one of pSp")
        return checkpoint

    def training_step(self) -> dict[str, Tensor]:
        batch = self.batches.next()
        images = batch["image"]
        batch["image"] = targets = self._targets(images)
        self.net.train()
        with self.autocast():
            features = self.features(batch)[0] if self.identity is not None else None
            codes = self.net.encode(self.encoder_input(images))
            pictures = self.net.decode(codes, randomize_noise=True)
            total, figures = self._reconstruction(pictures, codes, targets, features)
        if self.adversary is not None:
            fooled = self.adversary.fool(pictures)
            total = total + self.opts.adversarial_lambda * fooled
            figures["loss_adversarial"] = fooled.detach()
        self.optimizers["main"].zero_grad(set_to_none=True)
        total.backward()
        self.optimize()
        if self.adversary is not None:
            figures |= self.adversary.learn(self.full_size(images), pictures, self.step)
        return {"loss": total.detach(), **figures}

    def _targets(self, images: Tensor) -> Tensor:
        """Photos at the size at which they are compared with the pictures made of them."""
        return self.full_size(images) if self.opts.full_size_losses else self.encoder_input(images)

    def _reconstruction(
        self, full: Tensor, codes: Tensor, images: Tensor, features: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum of the terms, and each term for the log, of full-size pictures against targets."""
        opts, output = self.opts, full.float()
        if not opts.full_size_losses:
            output = self.net.face_pool(output)
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

    @torch.no_grad()
    def validation_step(self) -> dict[str, float]:
        rows = []
        net = self.averaged.eval()
        for images in self.test_batches():
            with self.autocast():
                codes = net.encode(self.encoder_input(images))
                total, figures = self._reconstruction(net.decode(codes), codes, self._targets(images), None)
            rows.append({"loss": total, **figures} | {"images": len(images)})
        count = sum(row["images"] for row in rows)
        names = [name for name in (rows[0] if rows else {}) if name != "images"]
        return {name: sum(float(row[name]) * row["images"] for row in rows) / count for name in names}

    @torch.no_grad()
    def sheets(self) -> dict[str, Image.Image]:
        net = self.averaged.eval()
        images = self.shown_images(16)
        with self.autocast():
            output = net.decode(net.encode(self.encoder_input(images)))
        name = self.sheet_name("reconstruction")
        return {name: sheet_of_columns([images, output], ["input", "output"])}
