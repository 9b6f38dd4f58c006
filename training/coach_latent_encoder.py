"""Coach of the latent encoder of directed generation: it learns from pictures whose latents are known."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from criteria.objective import Objective, Pass, needs_of, weighted_terms
from datasets.faces import FaceFolder
from datasets.sampling import IndexSampler
from models.directed import KIND, DirectedModel, load_conditional_generator
from models.kinds import checkpoint_kind, what_is
from models.latent_encoder import LatentEncoder, load_facenet
from models.loading import load_into
from models.stylegan2.files import load_converted
from models.weights_folder import load_published
from options.ageing_options import AUTO
from options.latent_encoder_options import LatentEncoderOptions
from training.accumulation import mean_of
from training.averaging import average_decay, update_average
from training.batches import BatchSource
from training.coach import Coach
from training.figures import mean_figures
from training.guard import backward_pass
from training.measures import load_measures, loss_files, networks_of
from training.needed_files import NeededFile, require_files
from training.optimizers import build_optimizer, set_share
from training.randomness import step_generator
from training.watched_pictures import sheet_of_columns
from utils.distributed import rank, world_size
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint
from utils.spacing import evenly

ENDLESS_EPOCH = 8000  # pairs
VALIDATION_PAIRS = 512  # of endless ones
SHEET_FACES = 8


class CoachLatentEncoder(Coach[LatentEncoderOptions]):
    """Trains an encoder for a frozen conditional generator; the class of a picture is not shown to it.

    Squared error of the latent on generated pairs, as the original; with weights for them also the losses of
    pSp on real faces that are rendered at their own age (not in the original).
    """

    best_metric = "loss"

    def build(self) -> None:
        opts = self.opts
        terms = weighted_terms(opts.objective, opts)
        require_files([*self._needed(), *loss_files(needs_of(terms), opts)])
        self.pair = self._make_pair().to(self.device)
        self.encoder = self.pair.encoder.requires_grad_(True)
        self.encoder.to(memory_format=torch.channels_last)
        self.averaged = self.encoder
        self.optimizer = build_optimizer("adam", self.encoder.parameters(), opts.learning_rate)
        self.state.register(encoder=self.encoder, g=self.pair.generator, main=self.optimizer)
        if opts.ema_halflife:
            self.averaged = deepcopy(self.encoder).requires_grad_(False).eval()
            self.state.register(averaged=self.averaged)
        measures, _ = load_measures(needs_of(terms), opts, self.device)
        self.objective = Objective(terms, measures)
        self.photos: BatchSource | None = None
        if opts.compares_pictures:
            self.photos = BatchSource(
                self._faces(opts.train_dataset),
                opts.batch_size,
                seed=opts.seed,
                start_step=self.start_step,
                workers=opts.workers,
                device=self.device,
            )
            self.batches = self.photos
        self.test = self._faces(opts.test_dataset) if opts.test_dataset else None
        self._kept = round(0.8 * opts.pairs)
        self._order = IndexSampler(max(1, self._kept), opts.seed, flip_probability=0.0)

    def _needed(self) -> list[NeededFile]:
        opts = self.opts
        files = [NeededFile("the conditional generator", "--stylegan_weights", opts.stylegan_weights)]
        more = {
            "--checkpoint_path": ("the pair to start from", opts.checkpoint_path),
            "--encoder_weights": ("the face recognition network", opts.encoder_weights),
            "--test_dataset": ("the test faces", opts.test_dataset),
        }
        if opts.compares_pictures:
            more["--train_dataset"] = ("the training faces", opts.train_dataset)
        return files + [NeededFile(what, flag, path) for flag, (what, path) in more.items() if path]

    def _make_pair(self) -> DirectedModel:
        """The generator, and an encoder at its start."""
        opts, path = self.opts, self.opts.stylegan_weights
        self.source = dict(load_converted(path))
        if checkpoint_kind(self.source) not in (KIND, "stylegan2"):
            raise InputError(f"--stylegan_weights={path} is {what_is(self.source)}, not a StyleGAN2")
        if opts.groups is not None:
            self.source["classes"] = {"age_groups": str(opts.groups)}
        generator, groups = load_conditional_generator(self.source, path)
        self.architecture: dict[str, Any] = {
            "latent_space": opts.latent_space,
            "n_styles": generator.n_latent,
            "style_dim": generator.style_dim,
            "official": opts.recipe == "official",
            "input_size": opts.encoder_size,
            "width": opts.encoder_width,
            "repeats": opts.repeats,
        }
        try:
            encoder = LatentEncoder(**self.architecture)
        except ValueError as error:
            raise InputError(f"--stylegan_weights={path}: {error}") from error
        self._start(encoder)
        crop = str(self.source.get("crop", "ffhq" if generator.size >= 256 else "tight"))
        crop = crop if opts.crop == AUTO else opts.crop
        try:
            return DirectedModel(generator, encoder, groups, crop, self.precision)
        except ValueError as error:
            raise InputError(f"--stylegan_weights={path}: {error}") from error

    def _start(self, encoder: LatentEncoder) -> None:
        path = self.opts.checkpoint_path
        if path:
            content = load_checkpoint(path)
            if checkpoint_kind(content) != KIND:
                raise InputError(f"--checkpoint_path={path} is {what_is(content)}, not a pair to start from")
            load_into(encoder, content["encoder"]["state_dict"], path)
        elif self.opts.encoder_weights:
            load_facenet(encoder, load_published(self.opts.encoder_weights), self.opts.encoder_weights)

    def _faces(self, folder: str) -> FaceFolder:
        size = max(self.pair.input_size, self.pair.encoder.input_size)
        return FaceFolder(folder, size, require_age=True, own_output=self.opts.own_output)

    def compiled(self) -> list[nn.Module]:
        return [self.encoder, *networks_of(self.objective.measures)]

    # ---------------------------------------------------------------- pairs

    @torch.no_grad()
    def _latents(self, step: int) -> dict[str, Tensor]:
        """Latents (B, style_dim) and classes (B,) of the pairs of a step, the share of this process."""
        opts, processes = self.opts, world_size()
        if not opts.pairs:
            drawn = self._draw(opts.batch_size, step_generator(opts.seed, step))
            return {name: value[rank() :: processes] for name, value in drawn.items()}
        first = step * opts.batch_size
        numbers = [self._order.at(first + place)[0] for place in range(rank(), opts.batch_size, processes)]
        return self._numbered(numbers)

    def _numbered(self, numbers: list[int]) -> dict[str, Tensor]:
        """Pairs of a limited number of them; each is a function of the seed and its own number."""
        rows = [self._draw(1, step_generator(self.opts.seed + 1, number)) for number in numbers]
        return {name: torch.cat([row[name] for row in rows]) for name in rows[0]}

    def _draw(self, count: int, random: torch.Generator) -> dict[str, Tensor]:
        z = torch.randn(count, self.pair.generator.style_dim, generator=random)
        labels = torch.randint(self.pair.generator.c_dim, (count,), generator=random)
        return {"z": z, "labels": labels}

    @torch.no_grad()
    def _rendered(self, z: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures of latents in classes, and what the encoder shall say of them."""
        generator, pair = self.pair.generator, self.pair
        z, labels = z.to(self.device), labels.to(self.device)
        w = generator.get_latent(z, F.one_hot(labels, generator.c_dim).to(z))
        mean = pair.class_means()[labels]
        if self.opts.truncation < 1:
            w = mean + self.opts.truncation * (w - mean)
        codes = w[:, None].expand(-1, generator.n_latent, -1)
        pictures = generator.synthesize(codes, generator.noise_buffers()).float()
        if pair.encoder.latent_space == "z":
            return pictures, z
        return pictures, codes - mean[:, None] if pair.encoder.latent_space == "w+" else w - mean

    # ---------------------------------------------------------------- one step

    def training_step(self) -> dict[str, Tensor]:
        opts = self.opts
        batch: dict[str, Any] = dict(self._latents(self.step)) if opts.latent_lambda else {}
        if self.photos is not None:
            batch |= {name: value for name, value in self.photos.next().items() if name in ("image", "age")}
        self.encoder.train()
        epoch = self.step * opts.batch_size // (self._kept or ENDLESS_EPOCH)
        set_share(self.optimizer, 0.1 ** sum(epoch >= end for end in opts.epochs))
        self.optimizer.zero_grad(set_to_none=True)
        figures = [self._learn(part) for part in self.parts(batch)]
        self.optimizer.step()
        if self.averaged is not self.encoder:
            decay = average_decay(opts.ema_halflife, opts.batch_size, self.step)
            update_average(self.averaged, self.encoder, decay)
        return mean_of(figures)

    def _learn(self, part: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Adds the gradients of a micro-batch; returns its figures."""
        losses: dict[str, Tensor] = {}
        total = torch.zeros((), device=self.device)
        if "z" in part:
            losses["loss_latent"] = self._latent_error(self.encoder, part["z"], part["labels"])
            total = total + self.opts.latent_lambda * losses["loss_latent"]
        if "image" in part:
            found, _ = self._reconstruct(self.encoder, part["image"], part["age"])
            total = total + found.total
            losses |= found.scalars
        backward_pass(total, self.share)
        return {**{name: value.detach() for name, value in losses.items()}, "loss": total.detach()}

    def _latent_error(self, encoder: LatentEncoder, z: Tensor, labels: Tensor) -> Tensor:
        pictures, wanted = self._rendered(z, labels)
        with self.autocast():
            found = encoder(pictures)
        return F.mse_loss(found.float(), wanted)

    def _reconstruct(self, encoder: LatentEncoder, images: Tensor, ages: Tensor) -> tuple[Any, Tensor]:
        """Losses and pictures (B, 3, R, R) of faces that are rendered at their own ages (B,)."""
        generator, pair = self.pair.generator, self.pair
        wanted = pair.output_picture(images)
        with self.autocast():
            latents = encoder(images).float()
            codes = pair.at_ages(latents, ages.clamp(0, 100)[:, None])[:, 0]
            pictures = generator.synthesize(codes, generator.noise_buffers()).float()
            targets = self.objective.targets_of(wanted)
            offsets = codes - codes.mean(0, keepdim=True)
            return self.objective(Pass(pictures, targets, offsets, pictures=pictures)), pictures

    # ---------------------------------------------------------------- validation

    @torch.no_grad()
    def validation_step(self) -> dict[str, float]:
        encoder, size = self.averaged.eval(), self.opts.test_batch_size
        if self.opts.pairs:
            pairs = self._numbered(list(range(self._kept, self.opts.pairs)))
        else:
            pairs = self._draw(VALIDATION_PAIRS, step_generator(self.opts.seed + 2, 0))
        parts = zip(pairs["z"].split(size), pairs["labels"].split(size), strict=True)
        rows = [({"loss_latent": self._latent_error(encoder, z, labels)}, len(z)) for z, labels in parts]
        figures = mean_figures([row for row, _ in rows], [float(count) for _, count in rows])
        loss = self.opts.latent_lambda * figures["loss_latent"]
        if self.test is not None and self.photos is not None:
            found = []
            for part in torch.tensor(evenly(len(self.test), self.opts.n_test)).split(size):
                batch = self.test.batch(part.tolist())
                losses, _ = self._reconstruct(
                    encoder, batch["image"].to(self.device), batch["age"].to(self.device)
                )
                found.append(({**losses.scalars, "pictures": losses.total}, float(len(part))))
            figures |= mean_figures([row for row, _ in found], [count for _, count in found])
            loss += figures.pop("pictures")
        return {**figures, "loss": loss}

    @torch.no_grad()
    def sheets(self) -> dict[str, Image.Image]:
        """Faces, and what becomes of them in every group: photos if there are any, else generated ones."""
        encoder, faces = self.averaged.eval(), self.test or (self.photos and self.photos.dataset)
        if faces:
            images = faces.batch(evenly(len(faces), SHEET_FACES))["image"].to(self.device)
        else:
            pairs = self._draw(SHEET_FACES, step_generator(self.opts.seed + 2, 0))
            images, _ = self._rendered(pairs["z"], pairs["labels"])
        with self.autocast():
            latents = encoder(images).float()
        pictures = self.pair.render(self.pair.at_ages(latents, self.pair.groups.centres))
        columns = [self.pair.output_picture(images), *pictures.unbind(1)]
        return {"directed": sheet_of_columns(columns, ["input", *self.pair.groups.names])}

    def weights(self) -> dict[str, Any]:
        average = self.source.get("latent_avg")
        return {
            "kind": KIND,
            "g_ema": self.pair.generator.state_dict(),
            **({} if average is None else {"latent_avg": average}),
            "classes": {"age_groups": str(self.pair.groups)},
            "crop": self.pair.crop,
            "encoder": {"architecture": self.architecture, "state_dict": self.averaged.state_dict()},
            "opts": self.record,
        }
