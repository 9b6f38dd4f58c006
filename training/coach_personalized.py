"""Coach of MyTimeMachine (Qi et al. 2024): an adapter that personalises a frozen SAM to one person."""

from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from criteria.age_sampling import (
    MODES,
    AgeRange,
    Mode,
    draw_mode,
    draw_target_ages,
    official_target_ages,
    training_age_range,
)
from criteria.id_loss import IDLoss
from criteria.nearest_neighbor_id_loss import ReferenceBank
from criteria.objective import Objective, Targets, needs_of, weighted_terms
from datasets.faces import FaceFolder
from datasets.person_photos import PersonPhotos
from models.adapters import MOST_AGES, GaussianProcessAdapter
from models.blender import BlenderConfig
from models.feature_discriminator import HEADS
from models.judges import load_judges
from models.kinds import checkpoint_kind, what_is
from models.psp import pSp
from models.psp_aging import PSPAgingModel
from models.psp_files import load_psp, psp_checkpoint
from models.psp_start import add_blender, before_personalization
from options.mytimemachine_options import MyTimeMachineOptions
from training.accumulation import mean_of
from training.batches import BatchSource
from training.coach import Coach
from training.feature_cache import FeatureCache
from training.figures import mean_figures
from training.measures import load_measures, loss_files, networks_of
from training.needed_files import NeededFile, data_folders, require_files
from training.opponent import frozen_opponent
from training.optimizers import build_optimizer, cosine_share, parameters_of, set_share
from training.randomness import step_generator
from training.reports.life_span_part import life_span_part
from training.reports.parts import Part
from training.steps_mytimemachine import mytimemachine_step
from training.two_passes import plain_backward
from training.watched_pictures import WatchedPictures, load_test_pictures, sheet_of_ages
from utils.ages import scale_age
from utils.distributed import world_size
from utils.errors import InputError
from utils.files.checkpoints import Checkpoint, load_checkpoint
from utils.spacing import evenly

LEAST_PHOTOS = 2
VALIDATION_PHOTOS = 16
WARM_UP_STEPS = 50
REPORT_PHOTOS = 100
TRAINED_ON = (
    "These are the photos that it was trained on, which flatters the personalised model; scripts/evaluate.py "
    "--personalized_checkpoint=FILE measures it on photos that it never saw."
)


class CoachPersonalized(Coach[MyTimeMachineOptions]):
    """Trains the adapter only: each step keeps the age, interpolates in the person's ages or extrapolates.

    Photos are named `{age}_{idx}`. `--recipe corrected` (default) or `official`: see
    `criteria/recipes`. `--personalize=encoder` trains SAM's own encoder instead, and there is no adapter.
    """

    best_metric = "loss"
    numbered_runs = True
    belongs_to_its_data = True

    def build(self) -> None:
        opts = self.opts
        self.repairs = opts.repairs
        terms = weighted_terms(opts.objective, opts)
        needs = needs_of(terms) | {"aging"}  # it judges the validation
        sam = NeededFile("the SAM checkpoint to personalise", "--checkpoint_path", opts.checkpoint_path)
        require_files([sam, *loss_files(needs, opts), *data_folders(opts)])
        sam_file = load_checkpoint(str(opts.checkpoint_path))
        self.net = self._start_network(sam_file, str(opts.checkpoint_path))
        self._heads = sam_file.get(HEADS)
        photos = self._load_photos()
        learns = self._what_learns(photos.ages)
        self.net.to(self.device)
        self.optimizer = build_optimizer(opts.optim_name, learns.parameters(), opts.learning_rate)
        self.state.register(net=self.net, main=self.optimizer)
        self.batches = BatchSource(
            photos,
            opts.batch_size,
            seed=opts.seed,
            start_step=self.start_step,
            workers=opts.workers,
            device=self.device,
        )
        test = load_test_pictures(opts.test_dataset, self.net.input_size, opts.n_test, opts.own_output)
        self.watched = WatchedPictures(test, photos, self.device)
        measures, classifier = load_measures(needs, opts, self.device)
        assert measures.aging is not None and classifier is not None
        self.aging = measures.aging
        ages = photos.ages.tolist()
        self.age_range: AgeRange = training_age_range(ages, official=not self.repairs.exact_age_range)
        measures.age_range = self.age_range
        if "opponent" in needs:
            measures.opponent = frozen_opponent(sam_file, str(opts.checkpoint_path), classifier)
        if "references" in needs and measures.identity is not None:
            measures.references = self._reference_bank(measures.identity, photos)
        self.objective = Objective(terms, measures, self.repairs.distinct_log_names)
        # Few photos: what is known of them stays where it is used.
        self.features = FeatureCache(self._photo_features, len(photos), self.device)

    def _start_network(self, checkpoint: Checkpoint, path: str) -> pSp:
        """SAM, or one that has an adapter already; everything is frozen."""
        if checkpoint_kind(checkpoint) not in ("sam", "mytimemachine"):
            raise InputError(f"--checkpoint_path={path} is {what_is(checkpoint)}, not one of SAM")
        net = load_psp(checkpoint, path)
        for part in (net.encoder, net.pretrained_encoder, net.decoder):
            if part is not None:
                part.requires_grad_(False)
        adapter = net.config.blender
        if adapter is not None and self.opts.personalize == "encoder":
            raise InputError(
                f"--checkpoint_path={path} has an adapter already; --personalize=encoder begins with a SAM"
            )
        wanted = (self.opts.blender_type, self.opts.fixed_styles)
        if adapter is not None and (adapter.type, adapter.fixed_styles) != wanted:
            own = f"--blender_type={adapter.type} --fixed_styles={adapter.fixed_styles}"
            raise InputError(f"--checkpoint_path={path} has another adapter; add {own}")
        net.decoder.compute_dtype = self.precision
        net.frozen_prior = self.repairs.prior_in_eval_mode
        if self.opts.activation_checkpointing:
            net.recompute_activations()
        return net

    def _what_learns(self, ages: Tensor) -> nn.Module:
        """The adapter, a fresh one where the file has none, or the encoder; of the rest nothing changes.

        Args:
            ages: of the photos (N,) in years.
        """
        net, opts = self.net, self.opts
        self.global_encoder = None
        if opts.personalize == "encoder":
            self.global_encoder = deepcopy(net.encoder).to(self.device)
            return net.encoder.requires_grad_(True)
        if net.blender is None:
            different = scale_age(ages.unique())
            seen = different[evenly(len(different), MOST_AGES, at=0.5)]
            config = BlenderConfig(
                bottleneck=opts.n_bottleneck,
                zero_init=self.repairs.adapter_starts_at_zero,
                type=opts.blender_type,
                ages=len(seen) if opts.blender_type == "gaussian_process" else 0,
                fixed_styles=self._fixed_styles(),
            )
            add_blender(net, config)
            if isinstance(net.blender, GaussianProcessAdapter):
                net.blender.ages.copy_(seen)
        assert net.blender is not None
        return net.blender

    def _fixed_styles(self) -> int:
        """`--fixed_styles`, if that leaves some to the adapter."""
        fixed, count = self.opts.fixed_styles, self.net.n_styles
        if fixed >= count:
            raise InputError(
                f"--fixed_styles={fixed}: the codes of {self.opts.checkpoint_path} have {count} styles"
            )
        return fixed

    def _load_photos(self) -> FaceFolder:
        folder = self.opts.train_dataset
        photos = FaceFolder(
            folder,
            self.net.input_size,
            True,
            official_ages=not self.repairs.decimal_ages,
            own_output=self.opts.own_output,
        )
        if len(photos) < LEAST_PHOTOS:
            raise InputError(f"{folder} holds one photo only; personalisation needs several, best about 50")
        if len(photos.ages.unique()) == 1:
            raise InputError(
                f"all photos in {folder} have age {float(photos.ages[0]):g}; "
                "personalisation learns how a person changes and needs photos of at least two ages"
            )
        return photos

    @torch.no_grad()
    def _reference_bank(self, identity: IDLoss, photos: FaceFolder) -> ReferenceBank:
        """Identity of the training photos: of both flips, or of one at random (official recipe)."""
        features, ages = identity.features, photos.ages.tolist()
        plain = photos.batch(range(len(photos)))["image"].to(self.device)
        if self.repairs.references_of_both_flips:
            return ReferenceBank.build([features(plain), features(plain.flip(3))], ages)
        generator = torch.Generator().manual_seed(self.opts.seed)
        flipped = (torch.rand(len(plain), generator=generator) < 0.5).to(self.device)
        return ReferenceBank.build(
            features(torch.where(flipped[:, None, None, None], plain.flip(3), plain)), ages
        )

    def compiled(self) -> list[nn.Module]:
        parts = [self.net.encoder, self.net.pretrained_encoder, self.net.decoder]
        return [*(part for part in parts if part is not None), *networks_of(self.objective.measures)]

    # ---------------------------------------------------------------- one step

    def training_step(self) -> dict[str, Tensor]:
        batch = self.batches.next()
        draws = step_generator(self.opts.seed, self.step)
        mode = draw_mode(draws, self.age_range)
        batch["target_age"] = self._target_ages(mode, batch["age"], draws)
        # Everything but the adapter, an encoder that learns too, stays in eval mode (corrected) or follows
        # train mode (official).
        self.net.train(not self.repairs.prior_in_eval_mode)
        self.optimizer.zero_grad(set_to_none=True)
        figures = [self._learn(part, mode) for part in self.parts(batch)]
        if self.opts.learning_rate_schedule == "cosine":
            set_share(self.optimizer, cosine_share(self.step, self.opts.max_steps, WARM_UP_STEPS))
        self.optimizer.step()
        return mean_of(figures)

    def _learn(self, part: dict[str, Tensor], mode: Mode) -> dict[str, Tensor]:
        """Adds the gradients of a micro-batch; returns its figures."""
        targets, photo_codes = self._features_of(part)
        result = mytimemachine_step(
            self.net,
            self.objective,
            part["image"],
            part["age"],
            part["target_age"],
            mode=mode,
            cycle_lambda=self.opts.cycle_lambda,
            targets=targets,
            photo_codes=photo_codes,
            global_encoder=self.global_encoder,
            extrapolation_target=self.opts.extrapolation_target,
            share=self.share / world_size(),
            precision=self.precision,
            backward=partial(plain_backward, share=self.share, parameters=parameters_of(self.optimizer)),
        )
        return result.scalars

    def _target_ages(self, mode: Mode, input_ages: Tensor, draws: torch.Generator) -> Tensor:
        fixed = self.opts.fixed_age
        if fixed is not None and mode != "no_aging":
            return torch.full_like(input_ages, fixed)
        if self.repairs.inclusive_ages and self.repairs.sides_by_width:
            return draw_target_ages(mode, input_ages, self.age_range, draws)
        random = np.random.RandomState(int(torch.randint(2**31, (), generator=draws)))
        return official_target_ages(mode, input_ages, self.age_range, random)

    def _photo_features(self, images: Tensor) -> dict[str, Tensor]:
        """What depends on the photo alone: prior code and targets."""
        with self.autocast():
            return {
                "codes": self.net.encode_photo(images),
                **self.objective.targets_of(images).named(),
            }

    def _features_of(self, batch: dict[str, Tensor]) -> tuple[Targets | None, Tensor | None]:
        """Targets and prior codes, computed once; None where the prior is in train mode."""
        if not self.repairs.prior_in_eval_mode:
            return None, None
        features = self.features(batch)
        return Targets.from_named(batch["image"], features), features["codes"]

    # ---------------------------------------------------------------- validation

    @torch.no_grad()
    def validation_step(self) -> dict[str, float]:
        """Loss on the training photos in every mode, at ages drawn once from a fixed generator."""
        self.net.eval()
        draws = torch.Generator().manual_seed(0)
        photos, rows = self.batches.dataset, []
        batch = photos.batch(evenly(len(photos), VALIDATION_PHOTOS))
        images, input_ages = batch["image"].to(self.device), batch["age"].to(self.device)
        for mode in MODES:
            target_ages = draw_target_ages(mode, input_ages, self.age_range, draws)
            result = mytimemachine_step(
                self.net,
                self.objective,
                images,
                input_ages,
                target_ages,
                mode=mode,
                cycle_lambda=self.opts.cycle_lambda,
                global_encoder=self.global_encoder,
                extrapolation_target=self.opts.extrapolation_target,
                trained=False,
                precision=self.precision,
                backward=lambda loss: None,
            )
            error = (self.aging.extract_ages(result.real.images) - target_ages).abs().mean()
            loss = result.scalars["loss"]
            rows.append({"loss": loss, f"loss_{mode}": loss, "age_error": error})
        return mean_figures(rows)

    def sheets(self) -> dict[str, Image.Image]:
        self.net.eval()
        images = self.watched.shown(4)
        with self.autocast():
            sheet = sheet_of_ages(self.net, images, images)
        return {self.watched.sheet_name("ages"): sheet}

    def report_parts(self) -> list[Part]:
        """The life span before and after."""
        data, opts = self.batches.dataset, self.opts
        some = evenly(len(data), REPORT_PHOTOS)
        photos = PersonPhotos(
            data.batch(some)["image"], data.ages[some], tuple(data.paths[i].name for i in some)
        )
        before = PSPAgingModel(before_personalization(self.net, self.global_encoder), self.precision)
        judges = load_judges(opts.judge_age, opts.judge_identity, self.device)
        return [life_span_part(before, PSPAgingModel(self.net, self.precision), photos, judges, TRAINED_ON)]

    def weights(self) -> dict[str, Any]:
        content = psp_checkpoint(self.net, self.record)
        return content if self._heads is None else {**content, HEADS: self._heads}
