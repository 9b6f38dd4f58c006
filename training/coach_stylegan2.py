"""Coach of StyleGAN2, also conditional: non-saturating loss, lazy R1 and path length, EMA, ADA, growing."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
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
from datasets.labels import ClassLabels, LabelledFaces
from models.auxiliary import load_age_classifier
from models.stylegan2.augment import AugmentPipe, augmentations_named
from models.stylegan2.files import load_trainable
from models.stylegan2.growing import grow
from models.stylegan2.model import Discriminator, Generator, StyleGAN2Config
from models.stylegan2.transfer import transfer
from options.stylegan2_options import StyleGAN2Options
from training.accumulation import joined, mean_of
from training.adaptive_augment import AdaptiveAugment
from training.adversary import Adversary, feature_adversary
from training.averaging import average_decay, update_average
from training.batches import BatchSource
from training.class_conditions import ClassConditions
from training.coach import Coach
from training.file_names import SnapshotNames
from training.generator_metrics import GeneratorMetrics
from training.guard import backward_pass
from utils.compilation import eagerly
from utils.distributed import average, is_main
from utils.errors import InputError
from utils.notes import listed, note
from utils.pictures.sheets import image_sheet
from utils.pictures.writing import save_pil

ADA_KIMG, ADA_KIMG_RESUMED = 500.0, 100.0  # NVIDIA's speeds: from scratch, and from trained networks


class CoachStyleGAN2(Coach[StyleGAN2Options]):
    """Trains a generator and a discriminator on a folder of aligned faces (StyleGAN2, appendix B).

    With classes both are conditional, as in StyleGAN2-ADA.
    """

    classes: ClassConditions | None = None
    class_labels: ClassLabels | None = None
    group_centres: Tensor | None = None  # (classes,) years

    def build(self) -> None:
        opts = self.opts
        dataset = self._load_data()
        self.config = StyleGAN2Config(
            opts.output_size,
            opts.style_dim,
            opts.n_mlp,
            opts.channel_multiplier,
            opts.channel_table,
            self.classes.count if self.classes else 0,
        )
        self.generator = Generator.from_config(self.config).to(self.device)
        widths = opts.discriminator_channel_table
        sizes = replace(self.config, channels=widths) if widths else self.config
        self.discriminator = Discriminator.from_config(sizes).to(self.device)
        self.discriminator.stddev_group = opts.mbstd_group
        self.generator_ema = deepcopy(self.generator).requires_grad_(False)
        self._initialise()
        for net in (self.generator, self.discriminator, self.generator_ema):
            net.compute_dtype = self.precision
            if opts.activation_checkpointing:
                net.recompute_activations()
        self.path_length = PathLengthPenalty().to(self.device)
        self.state.register(g=self.generator, g_ema=self.generator_ema, path_length=self.path_length)
        self.optimizer = self._generator_adam()
        self.state.register(g=self.optimizer)
        self._make_adversaries()
        self.batches = BatchSource(
            dataset,
            opts.batch_size,
            seed=opts.seed,
            start_step=self.start_step,
            flip_probability=0.0 if opts.no_mirror else 0.5,
            workers=opts.workers,
            device=self.device,
            weights=self.classes.weights if self.classes else None,
        )
        self._fix_samples()
        self.metrics: GeneratorMetrics | None = None
        if opts.metrics and is_main():  # which alone validates
            self.metrics = GeneratorMetrics(
                opts, dataset, self.device, self.run.path, opts.workers, opts.seed
            )
            self.best_metric = opts.metrics[0]
        if opts.snapshot_names:
            self.run.names = SnapshotNames(opts.batch_size)

    def _load_data(self) -> FaceFolder:
        """The training pictures; with classes these are known afterwards."""
        opts = self.opts
        arguments = (opts.train_dataset, opts.output_size)
        if not opts.is_conditional:
            return FaceFolder(*arguments, resample="lanczos", own_output=opts.own_output)
        faces = LabelledFaces(*arguments, opts.groups, resample="lanczos", own_output=opts.own_output)
        self.class_labels, groups = faces.classes, faces.classes.age_groups
        if groups is not None:
            self.group_centres = torch.tensor(groups.centres, device=self.device)
        self.classes = ClassConditions(faces.label_of, len(faces.classes), opts.class_balance, self.device)
        return faces

    def _initialise(self) -> None:
        """Takes weights from `--checkpoint_path` or `--grow_from` (half the size), if given."""
        path, smaller = self.opts.checkpoint_path, self.opts.grow_from
        if path:
            checkpoint = load_trainable(path)
            networks = {"g": self.generator, "d": self.discriminator, "g_ema": self.generator_ema}
            if "d" not in checkpoint:
                del networks["d"]
                if not self.start_step and is_main():
                    note(f"{path} has no discriminator; a new one begins")
            for entry, network in networks.items():
                stayed = transfer(network, self.config, checkpoint, entry, path)
                if stayed and not self.start_step and is_main():
                    note(f"{path}, {entry}: new are {listed(stayed)}")
        elif smaller:
            small = load_trainable(smaller)
            if "d" not in small:
                raise InputError(f"{smaller} has no discriminator; --grow_from takes both networks")
            # The averaged generator is the better start; the first steps would pull the other one there.
            grow(self.generator, small["g_ema"], self.discriminator, small["d"], smaller)
            self.generator_ema.load_state_dict(self.generator.state_dict())
        for layer in self.discriminator.first_layers(self.opts.freezed):
            layer.requires_grad_(False)

    def _make_adversaries(self) -> None:
        """The discriminator, and perhaps a second one of a few weights."""
        opts = self.opts
        self.augment = AdaptiveAugment(
            AugmentPipe(augmentations_named(opts.augpipe)),
            mode=opts.aug,
            p=opts.p if opts.aug == "fixed" else opts.initstrength,
            target=opts.target,
            kimg=opts.ada_kimg or (ADA_KIMG_RESUMED if opts.checkpoint_path else ADA_KIMG),
            batch_size=opts.batch_size,
        ).to(self.device)
        self.state.register(augment=self.augment)
        simple = SimpleAugment(probability=opts.augment_p)
        self.adversary = Adversary(
            self.discriminator,
            learning_rate=opts.discriminator_learning_rate or opts.learning_rate,
            r1=opts.r1,
            r1_every=opts.d_reg_every,
            augment=lambda images: self.augment(simple(images)),
            conditional=self.classes is not None,
            observe=self.augment.observe,
        )
        self.adversary.register(self.state)
        self.second = None
        if opts.features_lambda:
            self.second = feature_adversary(
                load_age_classifier(opts.age_classifier).to(self.device),
                opts.discriminator_learning_rate or opts.learning_rate,
                judges_age=self.group_centres is not None,
                precision=self.precision,
                device=self.device,
            )
            self.second.register(self.state, "second")

    def _fix_samples(self) -> None:
        """Latents of the sample sheets; those of a conditional generator are the same for every class."""
        opts, classes = self.opts, self.classes
        fixed = torch.Generator().manual_seed(opts.seed)
        count = max(1, opts.n_samples // classes.count) if classes else opts.n_samples
        z = torch.randn(count, opts.style_dim, generator=fixed).to(self.device)
        self.sample_z, self.sample_labels = z, None
        self.columns = count if classes else max(1, round(count**0.5))
        if classes:
            self.sample_z = z.repeat(classes.count, 1)
            self.sample_labels = classes.one_hot(classes.every(count))

    def _generator_adam(self) -> torch.optim.Adam:
        opts = self.opts
        every = opts.g_reg_every if opts.path_regularize else 0
        rate, betas = lazy_adam_settings(opts.learning_rate, (0.0, 0.99), every)
        fused = self.device.type != "mps"
        return torch.optim.Adam(self.generator.parameters(), lr=rate, betas=betas, fused=fused)

    # ---------------------------------------------------------------- one step

    def training_step(self) -> dict[str, Tensor]:
        opts, batch = self.opts, self.batches.next()
        real = batch["image"]
        drawn = self._draw(len(real))
        parts = self.parts(drawn)
        # One picture serves both networks: the discriminator sees it detached, the generator's loss comes
        # after the discriminator's update. Of several parts it is rendered twice, so that no graph waits.
        with torch.set_grad_enabled(len(parts) == 1):
            fakes = [self._render(part)[0] for part in parts]
        shown = self.classes.one_hot(batch["label"]) if self.classes else None
        figures = self._learn(real, joined(fakes), shown, drawn["labels"], len(parts))
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        for fake, part in zip(fakes, parts, strict=True):
            image = fake if len(parts) == 1 else self._render(part)[0]
            losses.append(self._fool(image, part["labels"]))
            backward_pass(losses[-1], self.share)
        self.optimizer.step()
        self.augment.step_done(self.step)
        figures |= self.augment.figures()
        if opts.path_regularize and is_regularization_step(self.step, opts.g_reg_every):
            with eagerly():
                figures["path_length"] = self._path_length_step(len(real))
        decay = average_decay(opts.ema_halflife, opts.batch_size, self.step, opts.ema_rampup)
        update_average(self.generator_ema, self.generator, decay)
        return {**figures, **mean_of([{"g_loss": loss.detach()} for loss in losses])}

    def _learn(
        self, real: Tensor, made: Tensor, real_labels: Tensor | None, made_labels: Tensor | None, parts: int
    ) -> dict[str, Tensor]:
        """Updates the discriminators with conditions (B, classes); returns figures."""
        figures = self.adversary.learn(real, made, self.step, real_labels, made_labels, parts)
        if self.second is not None:
            ages = self._ages(real_labels), self._ages(made_labels)
            second = self.second.learn(real, made, self.step, *ages, parts)
            figures |= {f"second_{name}": value for name, value in second.items()}
        return figures

    def _fool(self, image: Tensor, labels: Tensor | None) -> Tensor:
        loss = self.adversary.fool(image, labels)
        if self.second is not None:
            loss = loss + self.opts.features_lambda * self.second.fool(image, self._ages(labels))
        return loss

    def _ages(self, labels: Tensor | None) -> Tensor | None:
        """Years (B,) at the centres of the age groups of conditions (B, classes); None without groups."""
        if labels is None or self.group_centres is None:
            return None
        return labels @ self.group_centres

    def _draw(self, batch: int) -> dict[str, Any]:
        """What pictures are rendered from: one z, or two for style mixing with probability `--mixing`.

        Of a step in one part the layers draw their noise themselves.
        """
        count = 2 if self.opts.mixing and torch.rand(()) < self.opts.mixing else 1
        styles = [torch.randn(batch, self.opts.style_dim, device=self.device) for _ in range(count)]
        index = None
        if count == 2:  # a tensor: else a GPU would record a pass for each number
            layers = int(torch.randint(1, self.generator.n_latent, ()))
            index = torch.full((batch,), layers, device=self.device)
        noise = self.generator.draw_noise(batch) if self.opts.gradient_accumulation_steps > 1 else None
        labels = self.classes.one_hot(self.classes.draw(batch)) if self.classes else None
        return {"styles": styles, "inject_index": index, "noise": noise, "labels": labels}

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
            **self._class_names(),
            "opts": {"architecture": {"generator": self.config.to_dict()}, **self.record},
        }

    def _class_names(self) -> dict[str, Any]:
        """What a file says of its classes."""
        if self.class_labels is None:
            return {}
        groups = self.class_labels.age_groups
        said = {"names": list(self.class_labels.names)}
        return {"classes": said if groups is None else {**said, "age_groups": str(groups)}}

    def validation_step(self) -> dict[str, float]:
        figures: dict[str, float] = {}
        for measured in self.metrics.measure(self.generator_ema) if self.metrics else ():
            kimg = self.step * self.opts.batch_size / 1000
            self.run.logs.metric(measured.metric).append(measured.line(self.step, kimg))
            figures |= measured.figures
        return figures

    @torch.no_grad()
    def sheets(self) -> dict[str, Image.Image]:
        images, _ = self.generator_ema([self.sample_z], randomize_noise=False, labels=self.sample_labels)
        rows = [list(images[i : i + self.columns]) for i in range(0, len(images), self.columns)]
        return {"fakes" if self.opts.snapshot_names else "samples": image_sheet(rows)}

    def begin(self) -> None:
        if self.opts.snapshot_names and is_main() and not self.step:
            save_pil(self._photos(), self.run.images / "reals.png")

    def _photos(self) -> Image.Image:
        """A sheet of photos, laid out as those of generated pictures: a row for each class."""
        photos, columns = self.batches.dataset, self.columns
        order = torch.randperm(len(photos), generator=torch.Generator().manual_seed(self.opts.seed))
        if isinstance(photos, LabelledFaces):
            labels = photos.label_of[order]
            chosen = [order[labels == label][:columns] for label in range(len(photos.classes))]
        else:
            chosen = list(order[: len(self.sample_z)].split(columns))
        return image_sheet([[photos[int(index)]["image"] for index in row] for row in chosen])
