"""Coach of Re-Aging GAN (Makhmudkhujaev et al. 2021): from labelled faces, nothing pretrained."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from criteria.gan_losses import generator_minimax_loss, generator_nonsaturating_loss
from criteria.objective import Objective, needs_of, weighted_terms
from datasets.augment import AGING_AUGMENT
from datasets.masked_faces import MaskedFaces, file_masks, landmark_masks, landmarks_of
from models.kinds import checkpoint_kind, what_is
from models.loading import load_into, weights_of
from models.reaging_gan.age_code import CODE_LENGTH, age_code
from models.reaging_gan.aging import KIND, reaging_checkpoint
from models.reaging_gan.discriminator import BranchedDiscriminator
from models.reaging_gan.generator import ReAgingGenerator
from models.stylegan2.augment import AugmentPipe, augmentations_named
from options.ageing_options import AUTO
from options.reaging_gan_options import SHEET_EPOCHS, ReAgingOptions
from training.accumulation import joined, mean_of
from training.adaptive_augment import AdaptiveAugment
from training.adversary import Adversary
from training.averaging import average_decay, update_average
from training.batches import BatchSource
from training.class_conditions import ClassConditions
from training.coach import Coach
from training.earlier_run import fingerprint
from training.figures import mean_figures
from training.guard import backward_pass
from training.measures import load_measures, loss_files, networks_of
from training.needed_files import NeededFile, require_files
from training.optimizers import set_share
from training.steps_reaging import Faces, reaging_step
from training.watched_pictures import sheet_of_columns
from utils.distributed import is_main, told
from utils.errors import InputError, naming
from utils.faces.masks import blended, face_only
from utils.files.checkpoints import load_checkpoint
from utils.notes import note
from utils.spacing import evenly

ADA_KIMG = 500.0  # NVIDIA's speed of a training from scratch
SHEET_FACES = 8


class CoachReAgingGAN(Coach[ReAgingOptions]):
    """Trains generator and discriminator on faces with age groups.

    Epoch, phase of the losses and learning rate are functions of the step, so a resumed run goes on in the
    same phase.
    """

    def build(self) -> None:
        opts = self.opts
        terms = weighted_terms(opts.objective, opts)
        require_files([*self._needed(), *loss_files(needs_of(terms), opts)])
        self.crop = opts.crop if opts.crop != AUTO else ("ffhq" if opts.output_size >= 256 else "tight")
        data = self._load(opts.train_dataset, "train")
        self.test = self._load(opts.test_dataset, "test") if opts.test_dataset else None
        if self.test is None and is_main():
            note("without --test_dataset there is no validation")
        groups = data.classes.age_groups
        assert groups is not None  # see `_load`
        self.groups, self.centres = groups, torch.tensor(groups.centres, device=self.device)
        self.classes = ClassConditions(data.label_of, len(groups), opts.class_balance, self.device)
        self.batches = BatchSource(
            data,
            opts.batch_size,
            seed=opts.seed,
            start_step=self.start_step,
            workers=opts.workers,
            device=self.device,
            weights=self.classes.weights,
        )
        self._count_epochs(len(data))
        self._make_networks()
        self._make_objectives()

    def _needed(self) -> list[NeededFile]:
        opts = self.opts
        files = [
            NeededFile("the training faces", "--train_dataset", opts.train_dataset),
            NeededFile("the test faces", "--test_dataset", opts.test_dataset),
            NeededFile("the training to start from", "--checkpoint_path", opts.checkpoint_path),
            NeededFile("the masks", "--mask_folder", opts.mask_folder),
            NeededFile("the masks of the test faces", "--test_mask_folder", opts.test_mask_folder),
        ]
        return [file for file in files if file.path]

    def _load(self, folder: str, name: str) -> MaskedFaces:
        """Faces with their classes and masks.

        Raises:
            InputError: they cannot be used, or nothing says which ages their classes have.
        """
        opts = self.opts
        faces = MaskedFaces(folder, opts.output_size, opts.groups, min_pictures=0, own_output=opts.own_output)
        if faces.classes.age_groups is None:
            raise InputError(f"the classes of {folder} are no age groups; leave --cond out to go by the ages")
        if name == "train":
            faces.classes.require_pictures(faces.counts, 1, folder)
        if opts.masks == "files":
            own = opts.test_mask_folder if name == "test" else None
            faces.mask_of = file_masks(faces, own or str(opts.mask_folder))
        elif opts.masks == "landmarks":
            cache = self.run.path / f"landmarks_{name}.pt"
            found = None
            with naming("--masks=landmarks"):
                if is_main():
                    found = landmarks_of(faces, self.crop, cache, fingerprint(faces)).numpy()
            faces.mask_of = landmark_masks(torch.from_numpy(told(found)), opts.output_size)
        return faces

    def _count_epochs(self, pictures: int) -> None:
        """Turns epochs into steps where these are not given."""
        opts = self.opts
        self._steps_an_epoch = max(1, pictures // opts.batch_size)
        self.opts = replace(
            opts,
            max_steps=opts.max_steps or opts.epochs * self._steps_an_epoch,
            image_interval=SHEET_EPOCHS * self._steps_an_epoch
            if opts.image_interval is None
            else opts.image_interval,
        )

    @property
    def epoch(self) -> int:
        """Passes over the training faces that are complete."""
        return self.step // self._steps_an_epoch

    def _make_networks(self) -> None:
        opts = self.opts
        self.architecture: dict[str, Any] = {
            "size": opts.output_size,
            "classes": len(self.groups),
            "channels": opts.base_channels,
            "style_dim": opts.style_dim,
            "residual_blocks": opts.residual_blocks,
        }
        generator = ReAgingGenerator(**self.architecture)
        width = opts.discriminator_base_channels or opts.base_channels
        discriminator = BranchedDiscriminator(opts.output_size, len(self.groups), width)
        self._start(generator, discriminator)
        layout = {"device": self.device, "memory_format": torch.channels_last}
        self.generator = generator.to(**layout)
        self.averaged = deepcopy(self.generator).requires_grad_(False).eval()
        fused = self.device.type != "mps"
        self.optimizer = torch.optim.Adam(
            self.generator.parameters(), opts.learning_rate, betas=(0.0, 0.99), fused=fused
        )
        self.augment = AdaptiveAugment(
            AugmentPipe(augmentations_named(opts.augpipe)),
            mode=opts.aug,
            p=opts.p if opts.aug == "fixed" else opts.initstrength,
            target=opts.target,
            kimg=opts.ada_kimg or ADA_KIMG,
            batch_size=opts.batch_size,
        ).to(self.device)
        discriminator.compute_dtype = self.precision
        self.adversary = Adversary(
            discriminator.to(**layout),
            learning_rate=opts.discriminator_learning_rate or opts.learning_rate,
            r1=opts.r1,
            r1_every=opts.d_reg_every if opts.r1 else 0,
            augment=self.augment,
            conditional=True,
            generator_loss=generator_minimax_loss
            if opts.adversarial_form == "log"
            else generator_nonsaturating_loss,
            observe=self.augment.observe,
        )
        self.state.register(generator=self.generator, averaged=self.averaged, augment=self.augment)
        self.state.register(generator=self.optimizer)
        self.adversary.register(self.state)

    def _start(self, generator: ReAgingGenerator, discriminator: BranchedDiscriminator) -> None:
        """Takes the weights of `--checkpoint_path`, if given."""
        path = self.opts.checkpoint_path
        if not path:
            return
        content = load_checkpoint(path)
        if checkpoint_kind(content) != KIND:
            raise InputError(f"--checkpoint_path={path} is {what_is(content)}, not a Re-Aging GAN")
        load_into(generator, weights_of(content, path), path)
        if content.get("d"):  # a file for use alone may lack it
            load_into(discriminator, content["d"], path)

    def _make_objectives(self) -> None:
        """The terms of the first epochs, and those of the later ones."""
        opts = self.opts
        phases = (opts, replace(opts, rec_lambda=opts.rec_lambda_later))
        terms = [weighted_terms(opts.objective, phase) for phase in phases]
        needs = needs_of([*terms[0], *terms[1]])
        measures, _ = load_measures(needs, opts, self.device, AGING_AUGMENT if opts.aging_augment else None)
        measures.opponent = self.adversary
        self.objectives = [Objective(rows, measures, distinct_log_names=False) for rows in terms]

    @property
    def objective(self) -> Objective:
        """The terms of the phase in which the training is."""
        return self.objectives[self.epoch >= self.opts.rec_epochs]

    def compiled(self) -> list[nn.Module]:
        parts = self.generator.children()  # each runs by itself
        return [*parts, self.adversary.discriminator, *networks_of(self.objective.measures)]

    # ---------------------------------------------------------------- one step

    def training_step(self) -> dict[str, Tensor]:
        opts, batch = self.opts, self.batches.next()
        for optimizer in (self.optimizer, self.adversary.optimizer):
            set_share(optimizer, opts.decay ** (self.epoch // opts.decay_epochs))
        batch["target"] = self._other_classes(batch["label"])
        batch["noise"] = torch.randn(len(batch["target"]), 3, CODE_LENGTH * self.classes.count)
        self.generator.train()
        self.optimizer.zero_grad(set_to_none=True)
        figures, aged = zip(*[self._learn(part) for part in self.parts(batch)], strict=True)
        self.optimizer.step()
        told_apart = self.adversary.learn(
            batch["image"],
            joined(aged),
            self.step,
            self.classes.one_hot(batch["label"]),
            self.classes.one_hot(batch["target"]),
            parts=len(aged),
        )
        self.augment.step_done(self.step)
        update_average(
            self.averaged, self.generator, average_decay(opts.ema_halflife, opts.batch_size, self.step)
        )
        return {**mean_of(figures), **told_apart, **self.augment.figures(), **self._schedule()}

    def _schedule(self) -> dict[str, Tensor]:
        """Where the training is, to log."""
        later = self.epoch >= self.opts.rec_epochs
        values = {
            "rec_lambda": self.opts.rec_lambda_later if later else self.opts.rec_lambda,
            "learning_rate": self.optimizer.param_groups[0]["lr"],
        }
        return {name: torch.full((), value, device=self.device) for name, value in values.items()}

    def _learn(self, part: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """Adds the gradients of a micro-batch; returns its figures and the aged pictures."""
        with self.autocast():
            result = reaging_step(self.generator, self.objective, self._faces(part))
        backward_pass(result.total, self.share)
        return result.scalars, result.aged

    def _other_classes(self, labels: Tensor) -> Tensor:
        """A class (B,) for each face that is not its own, all others equally often."""
        count = self.classes.count
        return (labels + torch.randint(1, count, labels.shape).to(labels)) % count

    def _faces(self, batch: dict[str, Tensor]) -> Faces:
        own, target = self.centres[batch["label"]], self.centres[batch["target"]]
        noise = batch.get("noise")
        return Faces(
            images=batch["image"],
            own=self.classes.one_hot(batch["label"]),
            target=self.classes.one_hot(batch["target"]),
            own_ages=torch.where(batch["age"].isnan(), own, batch["age"]),
            target_ages=target,
            masks=batch.get("mask"),
            noise=None if noise is None else noise.to(self.device),
        )

    # ---------------------------------------------------------------- validation

    def _watched(self, count: int, at_once: int) -> list[dict[str, Tensor]]:
        """Some test faces, evenly over the folder, or training faces where there are none."""
        faces = self.test or self.batches.dataset
        parts = torch.tensor(evenly(len(faces), count)).split(at_once)
        batches = [faces.batch(part.tolist()) for part in parts]
        return [{name: value.to(self.device) for name, value in batch.items()} for batch in batches]

    @torch.no_grad()
    def validation_step(self) -> dict[str, float]:
        """The terms on test faces, each taken to one of the other groups, in turn."""
        if self.test is None:
            return {}
        rows, weights, seen, classes = [], list[float](), 0, self.classes.count
        for batch in self._watched(self.opts.n_test, self.opts.test_batch_size):
            number = torch.arange(seen, seen + len(batch["label"]), device=self.device)
            batch["target"] = (batch["label"] + 1 + number % (classes - 1)) % classes
            seen += len(number)
            with self.autocast():
                result = reaging_step(self.averaged, self.objective, self._faces(batch), trained=False)
            rows.append(result.scalars)
            weights.append(float(len(number)))
        return mean_figures(rows, weights)

    @torch.no_grad()
    def sheets(self) -> dict[str, Image.Image]:
        """Faces, and what becomes of them in every group."""
        (batch,) = self._watched(SHEET_FACES, SHEET_FACES)
        images, masks, columns = batch["image"], batch.get("mask"), [batch["image"]]
        with self.autocast():
            identity = self.averaged.identity_encoder(face_only(images, masks))
            for group in range(self.classes.count):
                shares = self.classes.one_hot(torch.full((len(images),), group))
                pictures = self.averaged.render(identity, age_code(shares)).float()
                columns.append(blended(images, pictures, masks))
        return {"reaging": sheet_of_columns(columns, ["input", *self.groups.names])}

    def weights(self) -> dict[str, Any]:
        return reaging_checkpoint(
            self.averaged,
            self.architecture,
            self.groups,
            self.crop,
            self.opts.masks != "none",
            d=self.adversary.discriminator.state_dict(),
            opts=self.record,
        )
