"""Coach of SAM (Alaluf et al. 2021): an age-conditioned encoder that adds to the code of a frozen prior."""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from criteria.age_sampling import draw_no_aging, draw_uniform_ages
from criteria.code_spread import CodeSpread
from criteria.objective import Objective, PassName, Targets, needs_of, weighted_terms
from datasets.augment import AGING_AUGMENT
from datasets.faces import FaceFolder
from options.sam_options import SAMOptions
from training.accumulation import joined, mean_of
from training.coach import Coach
from training.encoder_start import sam_start_files, start_sam
from training.face_data import load_face_data
from training.feature_cache import FeatureCache
from training.figures import mean_figures
from training.measures import CLASSIFIER, load_measures, loss_files, networks_of
from training.needed_files import data_folders, require_files
from training.opponent import make_opponent
from training.optimizers import parameters_of
from training.randomness import step_generator
from training.steps_sam import sam_step
from training.trained_encoder import TrainedEncoder
from training.two_passes import plain_backward
from training.watched_pictures import sheet_of_ages
from utils.distributed import rank, world_size
from utils.spacing import evenly

SPREAD_PHOTOS = 2048
VALIDATION_AGES = (10, 30, 50, 70)


class CoachAging(Coach[SAMOptions]):
    """Trains the encoder; a third of the steps keep the age, the others draw 0-100 (SAM, section 3.3).

    `--recipe official` leaves the prior in train mode and starts the age plane's filters from unit normal
    numbers.
    """

    best_metric = "loss"

    def build(self) -> None:
        opts = self.opts
        terms = weighted_terms(opts.objective, opts)
        needs = needs_of(terms) | {CLASSIFIER, "aging"}  # it tells the ages of the photos
        files = {(file.flag, file.path): file for file in [*sam_start_files(opts), *loss_files(needs, opts)]}
        require_files([*files.values(), *data_folders(opts)])
        start = start_sam(opts)
        self.encoder = TrainedEncoder(start, opts, self.precision, self.device)
        self.encoder.register(self.state)
        self.net = self.encoder.net
        self.net.frozen_prior = opts.repairs.prior_in_eval_mode
        augment = AGING_AUGMENT if opts.aging_augment else None
        measures, classifier = load_measures(needs, opts, self.device, augment)
        assert measures.aging is not None
        self.aging, self.identity = measures.aging, measures.identity
        self.opponent = make_opponent(
            opts,
            start,
            classifier,
            judges_age=True,
            precision=self.precision,
            device=self.device,
        )
        if self.opponent is not None:
            self.opponent.register(self.state)
        size = self.encoder.picture_size(full=self.opponent is not None)
        self.batches, self.watched = load_face_data(
            opts, size, self.start_step, self.device, opts.age_balance
        )
        measures.opponent = self.opponent
        if "code_spread" in needs:
            measures.code_spread = self._code_spread(self.batches.dataset)
        self.objective = Objective(terms, measures)
        self.features = FeatureCache(self._photo_features, len(self.batches.dataset))

    @torch.no_grad()
    def _code_spread(self, data: FaceFolder) -> CodeSpread:
        """The measure of the prior's codes of training photos."""
        self.net.eval()
        items = evenly(len(data), SPREAD_PHOTOS)
        codes = []
        for start in tqdm(range(0, len(items), 64), "codes of photos", leave=False, disable=rank() > 0):
            images = data.batch(items[start : start + 64])["image"].to(self.device)
            codes.append(self.net.encode_photo(self.encoder.encoder_input(images)).float().cpu())
        return CodeSpread(torch.cat(codes)).to(self.device)

    def compiled(self) -> list[nn.Module]:
        parts = [self.net.encoder, self.net.pretrained_encoder, self.net.decoder]
        return [*(part for part in parts if part is not None), *networks_of(self.objective.measures)]

    # ---------------------------------------------------------------- one step

    def training_step(self) -> dict[str, Tensor]:
        batch: dict[str, Any] = self.batches.next()
        photos = batch["image"]
        batch["image"] = images = self.encoder.encoder_input(photos)
        draws = step_generator(self.opts.seed, self.step)
        no_aging = draw_no_aging(draws)
        self.net.train()
        batch["target_age"] = None if no_aging else self._target_ages(len(images), draws)
        passes: list[PassName] = ["real", "cycle"] if self.opts.cycle_lambda > 0 else ["real"]
        batch["noise"] = self.encoder.draw_noise(len(images), passes)
        self.encoder.optimizer.zero_grad(set_to_none=True)
        figures, made = zip(*[self._learn(part, no_aging) for part in self.parts(batch)], strict=True)
        self.encoder.optimize(self.step)
        means = mean_of(figures)
        if self.opponent is not None:
            photos = self.encoder.full_size(photos)
            pictures, input_ages, target_ages = (joined(part) for part in zip(*made, strict=True))
            means |= self.opponent.learn(
                photos, pictures, self.step, input_ages, target_ages, parts=len(made)
            )
        return means

    def _learn(
        self, part: dict[str, Any], no_aging: bool
    ) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor, Tensor]]:
        """Adds the gradients of a micro-batch; returns its figures, and pictures with both ages."""
        features = self._features_of(part)
        input_ages = features["ages"]
        target_ages = input_ages if no_aging else part["target_age"]
        result = sam_step(
            self.net,
            self.objective,
            part["image"],
            input_ages,
            target_ages,
            no_aging=no_aging,
            cycle_lambda=self.opts.cycle_lambda,
            targets=self._targets(part["image"], features),
            photo_codes=features["codes"] if self.net.frozen_prior else None,
            noise=part["noise"],
            precision=self.precision,
            backward=partial(
                plain_backward, share=self.share, parameters=parameters_of(self.encoder.optimizer)
            ),
        )
        assert result.real.pictures is not None
        return result.scalars, (result.real.pictures, input_ages, target_ages)

    def _photo_features(self, images: Tensor) -> dict[str, Tensor]:
        """What depends on the photo alone: prior code, apparent age, identity."""
        with self.autocast():
            features = {"codes": self.net.encode_photo(images), "ages": self.aging.extract_ages(images)}
            if self.identity is not None:
                features["identity"] = self.identity.features(images)
        return features

    def _features_of(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Cached where they stay the same; a prior in train mode (official recipe) does not."""
        return self.features(batch) if self.net.frozen_prior else self._photo_features(batch["image"])

    def _targets(self, images: Tensor, features: dict[str, Tensor]) -> Targets:
        """Targets of a batch from known ages and identities; perceptual features are computed here."""
        with self.autocast():
            targets = self.objective.targets_of(images, leave_out=("identity", "ages"))
        return replace(targets, ages=features["ages"], identity=features.get("identity"))

    def _target_ages(self, count: int, draws: torch.Generator) -> Tensor:
        fixed = self.opts.fixed_age
        if fixed is not None:
            return torch.full((count,), fixed, device=self.device)
        ages = draw_uniform_ages(count * world_size(), draws)  # the same in every process
        return ages[rank() :: world_size()].to(self.device)

    # ---------------------------------------------------------------- validation

    @torch.no_grad()
    def validation_step(self) -> dict[str, float]:
        """Loss on fixed pictures, each at fixed target ages, with the fixed noise."""
        self.net.eval()  # its prior describes the photos
        net = self.encoder.averaged.eval()
        rows = []
        for pictures in self.watched.test_batches(self.opts.test_batch_size):
            images = self.encoder.encoder_input(pictures)
            features = self._photo_features(images)
            input_ages, targets = features["ages"], self._targets(images, features)
            for age in VALIDATION_AGES:
                target_ages = torch.full_like(input_ages, age)
                result = sam_step(
                    net,
                    self.objective,
                    images,
                    input_ages,
                    target_ages,
                    no_aging=False,
                    cycle_lambda=self.opts.cycle_lambda,
                    targets=targets,
                    photo_codes=features["codes"],
                    randomize_noise=False,
                    trained=False,
                    precision=self.precision,
                    backward=lambda loss: None,
                )
                ages = self.aging.extract_ages(result.real.images)
                rows.append({**result.scalars, "age_error_years": (ages - target_ages).abs().mean()})
        return mean_figures(rows)

    def sheets(self) -> dict[str, Image.Image]:
        pictures = self.watched.shown()
        with self.autocast():
            sheet = sheet_of_ages(
                self.encoder.averaged.eval(), pictures, self.encoder.encoder_input(pictures)
            )
        return {self.watched.sheet_name("ages"): sheet}

    def weights(self) -> dict[str, Any]:
        return self.encoder.checkpoint(self.opponent, self.record)
