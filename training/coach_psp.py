"""Coach of pSp inversion (Richardson et al. 2021): an encoder into W+ of a StyleGAN2 generator."""

from dataclasses import replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from criteria.objective import Losses, Objective, Pass, Targets, needs_of, weighted_terms
from models.psp import pSp
from options.psp_options import PSPOptions
from training.accumulation import joined, mean_of
from training.coach import Coach
from training.encoder_start import psp_start_files, start_psp
from training.face_data import load_face_data
from training.feature_cache import FeatureCache
from training.figures import mean_figures
from training.guard import backward_pass
from training.measures import CLASSIFIER, load_measures, loss_files, networks_of
from training.needed_files import data_folders, require_files
from training.opponent import make_opponent, needs_classifier
from training.trained_encoder import TrainedEncoder
from training.watched_pictures import sheet_of_columns


class CoachPSP(Coach[PSPOptions]):
    """Reconstruction of the input: the terms of ``criteria.psp_objective``.

    With `--train_decoder` the generator follows; `--adversarial_lambda` keeps the pictures sharp with a
    discriminator, that of `--checkpoint_path` or of the StyleGAN2 checkpoint (not in the official code).
    """

    best_metric = "loss"

    def build(self) -> None:
        opts = self.opts
        terms = weighted_terms(opts.objective, opts)
        needs = needs_of(terms) | ({CLASSIFIER} if needs_classifier(opts) else set())
        require_files([*psp_start_files(opts), *loss_files(needs, opts), *data_folders(opts)])
        start = start_psp(opts)
        self.encoder = TrainedEncoder(
            start, opts, self.precision, self.device, decoder_learning_rate=opts.decoder_learning_rate
        )
        self.encoder.register(self.state)
        measures, classifier = load_measures(needs, opts, self.device)
        self.opponent = make_opponent(
            opts,
            start,
            classifier,
            judges_age=False,
            precision=self.precision,
            device=self.device,
        )
        if self.opponent is not None:
            self.opponent.register(self.state)
        measures.opponent = self.opponent
        self.objective = Objective(terms, measures)
        size = self.encoder.picture_size(full=self.opponent is not None or opts.full_size_losses)
        self.batches, self.watched = load_face_data(opts, size, self.start_step, self.device)
        self.identities: FeatureCache | None = None
        if measures.identity is not None:
            features = measures.identity.features
            self.identities = FeatureCache(
                lambda images: {"identity": features(images)}, len(self.batches.dataset)
            )

    def compiled(self) -> list[nn.Module]:
        net = self.encoder.net
        return [net.encoder, net.decoder, *networks_of(self.objective.measures)]

    # ---------------------------------------------------------------- one step

    def training_step(self) -> dict[str, Tensor]:
        batch: dict[str, Any] = self.batches.next()
        photos = batch["image"]
        batch["noise"] = self.encoder.draw_noise(len(photos), [""])
        self.encoder.net.train()
        self.encoder.optimizer.zero_grad(set_to_none=True)
        figures, pictures = zip(*[self._learn(part) for part in self.parts(batch)], strict=True)
        self.encoder.optimize(self.step)
        means = mean_of(figures)
        if self.opponent is not None:
            photos, made = self.encoder.full_size(photos), joined(pictures)
            means |= self.opponent.learn(photos, made, self.step, parts=len(pictures))
        return means

    def _learn(self, part: dict[str, Any]) -> tuple[dict[str, Tensor], Tensor]:
        """Adds the gradients of a micro-batch; returns its figures and pictures, detached."""
        photos = part["image"]
        wanted = self._wanted(photos)
        noise = part["noise"][""] if part["noise"] else None
        with self.autocast():
            targets = self._targets(wanted, {**part, "image": wanted})
            losses, pictures = self._reconstruct(self.encoder.net, photos, targets, trained=True, noise=noise)
        backward_pass(losses.total, self.share)
        return {"loss": losses.total.detach(), **losses.scalars}, pictures.detach()

    def _wanted(self, images: Tensor) -> Tensor:
        """Photos at the size at which they are compared with the pictures made of them."""
        full = self.opts.full_size_losses
        return self.encoder.full_size(images) if full else self.encoder.encoder_input(images)

    def _targets(self, wanted: Tensor, batch: dict[str, Tensor] | None = None) -> Targets:
        """What the losses compare with; of training pictures the identity is known."""
        if batch is None or self.identities is None:
            return self.objective.targets_of(wanted)
        targets = self.objective.targets_of(wanted, leave_out=["identity"])
        return replace(targets, identity=self.identities(batch)["identity"])

    def _reconstruct(
        self, net: pSp, images: Tensor, targets: Targets, trained: bool, noise: list[Tensor] | None = None
    ) -> tuple[Losses, Tensor]:
        """Losses, and the full-size pictures made of photos; while training with fresh noise."""
        codes = net.encode(self.encoder.encoder_input(images))
        pictures = net.decode(codes, randomize_noise=trained, noise=noise)
        generated = pictures.float()
        if not self.opts.full_size_losses:
            generated = net.face_pool(generated)
        this = Pass(generated, targets, codes, net.average_code, pictures=pictures, trained=trained)
        return self.objective(this), pictures

    # ---------------------------------------------------------------- validation

    @torch.no_grad()
    def validation_step(self) -> dict[str, float]:
        rows, sizes = [], []
        net = self.encoder.averaged.eval()
        for images in self.watched.test_batches(self.opts.test_batch_size):
            with self.autocast():
                targets = self._targets(self._wanted(images))
                losses, _ = self._reconstruct(net, images, targets, trained=False)
            rows.append({"loss": losses.total, **losses.scalars})
            sizes.append(float(len(images)))
        return mean_figures(rows, sizes)

    @torch.no_grad()
    def sheets(self) -> dict[str, Image.Image]:
        net = self.encoder.averaged.eval()
        images = self.watched.shown(16)
        with self.autocast():
            output = net.decode(net.encode(self.encoder.encoder_input(images)))
        name = self.watched.sheet_name("reconstruction")
        return {name: sheet_of_columns([images, output], ["input", "output"])}

    def weights(self) -> dict[str, Any]:
        return self.encoder.checkpoint(self.opponent, self.record)
