"""Coach of MyTimeMachine (Qi et al. 2024): an adapter that personalises a frozen SAM to one person's
photos.
"""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from criteria.age_sampling import (
    MODES,
    Mode,
    draw_mode,
    draw_target_ages,
    official_target_ages,
    training_age_range,
)
from criteria.id_loss import IDLoss
from criteria.mytimemachine_objective import MyTimeMachineObjective, MyTimeMachineWeights
from criteria.mytimemachine_recipe import get_recipe
from criteria.nearest_neighbor_id_loss import ReferenceBank
from criteria.objective import Targets
from datasets.faces import FaceFolder
from models.blender import BlenderConfig
from models.kinds import checkpoint_kind, describe
from models.psp import append_age, pSp
from training.batches import BatchSource
from training.coach import mean_figures
from training.coach_aging import SHEET_AGES
from training.encoder_training import EncoderCoach, sheet_of_columns
from training.loss_networks import NeededFile, build_loss_networks, loss_files, require_files
from training.optimizers import build_optimizer
from training.steps_mytimemachine import mytimemachine_step
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint

LEAST_PHOTOS = 2


class CoachPersonalized(EncoderCoach):
    """Trains the adapter only; each step keeps the age, interpolates inside the person's ages or
    extrapolates.

    Photos are named `{age}_{idx}`. `--recipe corrected` (default) or `official`: see
    `criteria/mytimemachine_recipe`.
    """

    numbered_runs = True

    def build(self) -> None:
        opts = self.opts
        self.recipe = get_recipe(opts.recipe)
        sam = NeededFile("the SAM checkpoint to personalise", "--checkpoint_path", opts.checkpoint_path)
        require_files([sam, *loss_files(opts, needs_age=True), *self.data_folders()])
        net = self._start_network()
        net.requires_grad_(False)
        adapter = net.blender
        assert adapter is not None
        adapter.requires_grad_(True)
        net.decoder.compute_dtype = self.precision
        net.frozen_prior = self.recipe.prior_in_eval_mode
        self.net = self.averaged = net.to(self.device)
        self.networks["net"] = self.net
        self.optimizers["main"] = build_optimizer(opts.optim_name, adapter.parameters(), opts.learning_rate)
        self._load_photos()
        losses = build_loss_networks(opts, self.device, needs_age=True)
        assert losses.aging is not None
        self.aging = losses.aging
        names = MyTimeMachineWeights.__dataclass_fields__
        self.objective = MyTimeMachineObjective(
            MyTimeMachineWeights(**{name: getattr(opts, name) for name in names}),
            losses.identity,
            losses.perceptual,
            losses.aging,
            self._reference_bank(losses.identity),
            training_age_range(self.photo_ages, official=not self.recipe.exact_age_range),
            self.recipe,
        )
        self._known: dict[tuple[int, bool], tuple[Targets, Tensor]] = {}

    def _start_network(self) -> pSp:
        opts = self.opts
        path = opts.checkpoint_path
        blender = BlenderConfig(bottleneck=opts.n_bottleneck, zero_init=self.recipe.adapter_starts_at_zero)
        checkpoint = load_checkpoint(path)
        if checkpoint_kind(checkpoint) not in ("sam", "mytimemachine"):
            raise InputError(f"--checkpoint_path={path} is {describe(checkpoint)}, not one of SAM")
        return pSp.from_checkpoint(checkpoint, path, blender)

    def _load_photos(self) -> None:
        opts, size = self.opts, self.net.input_size
        photos = FaceFolder(opts.train_dataset, size, True, official_ages=not self.recipe.decimal_ages)
        self.photo_ages = photos.ages.tolist()
        if len(photos) < LEAST_PHOTOS:
            raise InputError(
                f"{opts.train_dataset} holds one photo only; personalisation needs several, best about 50"
            )
        if len(set(self.photo_ages)) == 1:
            raise InputError(
                f"all photos in {opts.train_dataset} have age {self.photo_ages[0]:g}; "
                "personalisation learns how a person changes and needs photos of at least two ages"
            )
        self.batches = BatchSource(
            photos, opts.batch_size, seed=opts.seed, start_step=self.start_step, device=self.device
        )
        self.test_images = None
        if opts.test_dataset:
            test = FaceFolder(opts.test_dataset, size)
            self.test_images = test.batch(list(range(min(opts.n_test, len(test)))))["image"]

    @torch.no_grad()
    def _reference_bank(self, identity: IDLoss | None) -> ReferenceBank:
        """Identity of the training photos: of both flips, or of one at random (official recipe)."""
        photos = self.batches.dataset
        if identity is None:  # no term compares identities
            return ReferenceBank.build(torch.zeros(len(photos), 1), self.photo_ages)
        features = identity.features
        plain = photos.batch(list(range(len(photos))))["image"].to(self.device)
        if self.recipe.references_of_both_flips:
            return ReferenceBank.build([features(plain), features(plain.flip(3))], self.photo_ages)
        generator = torch.Generator().manual_seed(self.opts.seed)
        flipped = (torch.rand(len(plain), generator=generator) < 0.5).to(self.device)
        return ReferenceBank.build(
            features(torch.where(flipped[:, None, None, None], plain.flip(3), plain)), self.photo_ages
        )

    # ---------------------------------------------------------------- one step

    def training_step(self) -> dict[str, Tensor]:
        batch = self.batches.next()
        draws = torch.Generator().manual_seed(self.opts.seed * 1_000_003 + self.step)
        mode = draw_mode(draws, self.objective.age_range)
        input_ages = batch["age"]
        target_ages = self._target_ages(mode, input_ages, draws)
        self._set_mode()
        targets, photo_codes = self._photo_features(batch)
        self.optimizers["main"].zero_grad(set_to_none=True)
        result = mytimemachine_step(
            self.net,
            self.objective,
            batch["image"],
            input_ages,
            target_ages,
            mode=mode,
            targets=targets,
            photo_codes=photo_codes,
            precision=self.precision,
        )
        self.optimize()
        return result.scalars

    def _set_mode(self) -> None:
        """Everything but the adapter stays in eval mode (corrected) or follows train mode (official)."""
        if self.recipe.prior_in_eval_mode:
            self.net.eval()
        else:
            self.net.train()

    def _target_ages(self, mode: Mode, input_ages: Tensor, draws: torch.Generator) -> Tensor:
        if self.opts.target_age != "uniform_random" and mode != "no_aging":
            return torch.full_like(input_ages, float(self.opts.target_age))
        age_range = self.objective.age_range
        if self.recipe.inclusive_ages and self.recipe.sides_by_width:
            return draw_target_ages(mode, input_ages, age_range, draws)
        random = np.random.RandomState(int(torch.randint(2**31, (), generator=draws)))
        return official_target_ages(mode, input_ages, age_range, random)

    def _photo_features(self, batch: dict[str, Tensor]) -> tuple[Targets | None, Tensor | None]:
        """Targets and prior codes of each photo and flip, computed once; None where the prior is in train
        mode.
        """
        if not self.recipe.prior_in_eval_mode:
            return None, None
        rows = []
        for i, key in enumerate(zip(batch["index"].tolist(), batch["flip"].tolist(), strict=True)):
            if key not in self._known:
                image = batch["image"][i : i + 1]
                with torch.no_grad(), self.autocast():
                    self._known[key] = self.objective.describe(image), self.net.encode_photo(image)
            rows.append(self._known[key])
        return stack_targets([targets for targets, _ in rows]), torch.cat([codes for _, codes in rows])

    # ---------------------------------------------------------------- validation

    @torch.no_grad()
    def validation_step(self) -> dict[str, float]:
        """Loss on the training photos in every mode, at ages drawn once from a fixed generator."""
        self.net.eval()
        draws = torch.Generator().manual_seed(0)
        photos, rows = self.batches.dataset, []
        step = max(1, len(photos) // 16)
        batch = photos.batch(list(range(0, len(photos), step)))
        images, input_ages = batch["image"].to(self.device), batch["age"].to(self.device)
        for mode in MODES:
            target_ages = draw_target_ages(mode, input_ages, self.objective.age_range, draws)
            result = mytimemachine_step(
                self.net,
                self.objective,
                images,
                input_ages,
                target_ages,
                mode=mode,
                precision=self.precision,
                backward=lambda loss: None,
            )
            error = (self.aging.extract_ages(result.real.images) - target_ages).abs().mean()
            rows.append(
                {"loss": result.scalars["loss"], f"loss_{mode}": result.scalars["loss"], "age_error": error}
            )
        return mean_figures(rows)

    @torch.no_grad()
    def sheets(self) -> dict[str, Image.Image]:
        self.net.eval()
        images = self.shown_images(4)
        columns = [images]
        with self.autocast():
            photo_codes = self.net.encode_photo(images)
            for age in SHEET_AGES:
                years = torch.full((len(images),), float(age), device=self.device)
                codes = self.net.encode(append_age(images, years), photo_codes)
                columns.append(self.net.decode(self.net.personalize(codes, years)))
        return {
            self.sheet_name("ages"): sheet_of_columns(columns, ["input", *(str(age) for age in SHEET_AGES)])
        }


def stack_targets(rows: list[Targets]) -> Targets:
    """Joins targets of single pictures to those of a batch."""

    def joined(values: list[Tensor | None]) -> Tensor | None:
        return None if values[0] is None else torch.cat(values)

    def joined_layers(values: list) -> list[Tensor] | None:
        return None if values[0] is None else [torch.cat(layer) for layer in zip(*values, strict=True)]

    return Targets(
        images=torch.cat([row.images for row in rows]),
        identity=joined([row.identity for row in rows]),
        perceptual=joined_layers([row.perceptual for row in rows]),
        perceptual_crop=joined_layers([row.perceptual_crop for row in rows]),
        ages=joined([row.ages for row in rows]),
    )
