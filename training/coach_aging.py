"""Coach of SAM (Alaluf et al. 2021): an age-conditioned encoder that adds to the code of a frozen prior."""

from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from criteria.age_sampling import draw_no_aging, draw_uniform_ages
from criteria.code_spread import CodeSpread
from criteria.objective import LossWeights, Targets
from criteria.sam_objective import SAMObjective
from datasets.faces import FaceFolder
from evaluation.ageing import evenly
from models.kinds import checkpoint_kind, describe
from models.psp import append_age, pSp
from training.coach import mean_figures
from training.encoder_training import EncoderCoach, generator_config, sheet_of_columns
from training.loss_networks import (
    IDENTITY,
    FeatureCache,
    NeededFile,
    build_loss_networks,
    loss_files,
    require_file,
    require_files,
)
from training.step_result import PictureLoss
from training.steps_sam import sam_step
from utils.distributed import rank, world_size
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint

SPREAD_PHOTOS = 2048
SHEET_AGES = (5, 20, 35, 50, 65, 80)
VALIDATION_AGES = (10, 30, 50, 70)


class CoachAging(EncoderCoach):
    """Trains the encoder; a third of the steps keep the age, the others draw 0-100 (SAM, section 3.3).

    `--recipe official` leaves the prior in train mode and starts the age plane's filters from unit normal
    numbers.
    """

    def build(self) -> None:
        opts = self.opts
        require_files(self._files())
        self.finish_network(self._start_network())
        self.net.frozen_prior = opts.recipe == "corrected"
        self.make_optimizer()
        losses = build_loss_networks(opts, self.device, needs_age=True)
        assert losses.aging is not None
        if opts.adversarial_lambda:
            self.make_adversary(losses.age_classifier, knows_age=True)
        data = self.make_data()
        self.aging = losses.aging
        names = LossWeights.__dataclass_fields__
        weights = LossWeights(**{name: getattr(opts, name) for name in names})
        spread = self._code_spread(data) if opts.w_norm_lambda and opts.w_norm_metric == "photos" else None
        self.objective = SAMObjective(
            weights, losses.identity, losses.perceptual, losses.aging, code_spread=spread
        )
        self.features = FeatureCache(self._describe_photos, len(data))

    def _files(self) -> list[NeededFile]:
        """Everything that will be read; the official files are not in the repository."""
        opts = self.opts
        files = []
        if opts.checkpoint_path:
            files.append(NeededFile("the SAM checkpoint", "--checkpoint_path", opts.checkpoint_path))
        else:
            files.append(NeededFile("the StyleGAN2 generator", "--stylegan_weights", opts.stylegan_weights))
            if opts.start_from_encoded_w_plus:
                files.append(NeededFile("the pSp prior", "--pretrained_psp_path", opts.pretrained_psp_path))
        files += loss_files(opts, needs_age=True)
        starts_from_face = opts.encoder_start == "face_network" and not opts.checkpoint_path
        if starts_from_face and IDENTITY not in {file.flag for file in files}:
            files.append(NeededFile("the face recognition network", IDENTITY, opts.identity_network))
        return files + self.data_folders()

    def _start_network(self) -> pSp:
        """A SAM checkpoint to go on from, or a fresh encoder beside the pSp prior and the generator."""
        opts = self.opts
        if opts.checkpoint_path:
            checkpoint = self.read(opts.checkpoint_path)
            if checkpoint_kind(checkpoint) != "sam":
                found = describe(checkpoint)
                raise InputError(f"--checkpoint_path={opts.checkpoint_path} is {found}, not one of SAM")
            return pSp.from_checkpoint(checkpoint, opts.checkpoint_path)
        if not opts.start_from_encoded_w_plus:
            stylegan2 = self.read_generator()
            net = self.make_network(generator_config(opts, stylegan2), start_from_encoded_w_plus=False)
            net.load_generator(stylegan2, opts.stylegan_weights)
        else:
            net = self._with_prior()
        if opts.encoder_start == "prior":
            net.start_encoder_from_prior()
        elif opts.encoder_start == "face_network":
            path = require_file(opts.identity_network, "--identity_network", "the face recognition network")
            state = load_checkpoint(path).get("state_dict") or {}
            net.load_face_network(state, path, official=opts.recipe == "official")
        return net

    def _with_prior(self) -> pSp:
        """A network with pSp's encoder; its generator too, where pSp trained it."""
        opts = self.opts
        path = require_file(opts.pretrained_psp_path, "--pretrained_psp_path", "the pSp prior")
        prior = self.read(path)
        if (prior.get("opts") or {}).get("train_decoder"):
            trained = pSp.from_checkpoint(prior, path)
            net = self.make_network(trained.config.generator, start_from_encoded_w_plus=True)
            net.decoder.load_state_dict(trained.decoder.state_dict())
            net.set_latent_avg(trained.latent_avg)
        else:
            stylegan2 = self.read_generator()
            net = self.make_network(generator_config(opts, stylegan2), start_from_encoded_w_plus=True)
            net.load_generator(stylegan2, opts.stylegan_weights)
        net.load_prior(prior, path)
        return net

    @torch.no_grad()
    def _code_spread(self, data: FaceFolder) -> CodeSpread:
        """The measure of the prior's codes of training photos."""
        self.net.eval()
        items = evenly(len(data), SPREAD_PHOTOS)
        codes = []
        for start in tqdm(range(0, len(items), 64), "codes of photos", leave=False, disable=rank() > 0):
            images = data.batch(items[start : start + 64])["image"].to(self.device)
            codes.append(self.net.encode_photo(self.encoder_input(images)).float().cpu())
        return CodeSpread(torch.cat(codes)).to(self.device)

    # ---------------------------------------------------------------- one step

    def _describe_photos(self, images: Tensor) -> list[Tensor]:
        """What depends on the photo alone: prior code, apparent age, identity."""
        with self.autocast():
            described = [self.net.encode_photo(images), self.aging.extract_ages(images)]
            if self.objective.identity is not None:
                described.append(self.objective.identity.features(images))
        return described

    def _targets(self, images: Tensor, ages: Tensor, identity: list[Tensor]) -> Targets:
        """Targets of a batch from known ages and identities; perceptual features are computed here."""
        with self.autocast():
            targets = self.objective.describe(images, identity=False, ages=False)
        return replace(targets, ages=ages, identity=identity[0] if identity else None)

    def training_step(self) -> dict[str, Tensor]:
        batch = self.batches.next()
        pictures = batch["image"]
        batch["image"] = images = self.encoder_input(pictures)
        draws = self.draws()
        no_aging = draw_no_aging(draws)
        self.net.train()
        photo_codes, input_ages, *identity = self._photo_features(batch)
        target_ages = input_ages if no_aging else self._target_ages(len(images), draws)
        self.optimizers["main"].zero_grad(set_to_none=True)
        made: list[Tensor] = []
        result = sam_step(
            self.net,
            self.objective,
            images,
            input_ages,
            target_ages,
            no_aging=no_aging,
            targets=self._targets(images, input_ages, identity),
            photo_codes=photo_codes if self.net.frozen_prior else None,
            precision=self.precision,
            picture_loss=self._believable(made, target_ages) if self.adversary is not None else None,
        )
        self.optimize()
        figures = result.scalars
        if self.adversary is not None:
            ages = (input_ages, target_ages) if self._judges_age else ()
            figures |= self.adversary.learn(self.full_size(pictures), made[0], self.step, *ages)
        return figures

    @property
    def _judges_age(self) -> bool:
        """Whether the discriminator compares faces with their ages."""
        return self.opts.discriminator == "age_features"

    def _believable(self, made: list[Tensor], target_ages: Tensor) -> PictureLoss:
        """The discriminator's part of the loss; puts the pictures that it saw into `made`."""
        adversary, weight = self.adversary, self.opts.adversarial_lambda
        assert adversary is not None

        def loss(pictures: Tensor) -> Tensor:
            made.append(pictures.detach())
            return weight * adversary.fool(pictures, target_ages if self._judges_age else None)

        return loss

    def _photo_features(self, batch: dict[str, Tensor]) -> list[Tensor]:
        """Cached where they stay the same; a prior in train mode (official recipe) does not."""
        return self.features(batch) if self.net.frozen_prior else self._describe_photos(batch["image"])

    def draws(self) -> torch.Generator:
        """The random numbers of this step, a function of seed and step."""
        return torch.Generator().manual_seed(self.opts.seed * 1_000_003 + self.step)

    def _target_ages(self, count: int, draws: torch.Generator) -> Tensor:
        if self.opts.target_age == "uniform_random":
            ages = draw_uniform_ages(count * world_size(), draws)  # the same in every process
            return ages[rank() :: world_size()].to(self.device)
        return torch.full((count,), float(self.opts.target_age), device=self.device)

    # ---------------------------------------------------------------- validation

    @torch.no_grad()
    def validation_step(self) -> dict[str, float]:
        """Loss on fixed pictures, each at fixed target ages, with the fixed noise."""
        self.net.eval()  # its prior describes the photos
        net = self.averaged.eval()
        rows = []
        for images in map(self.encoder_input, self.test_batches()):
            photo_codes, input_ages, *identity = self._describe_photos(images)
            targets = self._targets(images, input_ages, identity)
            for age in VALIDATION_AGES:
                target_ages = torch.full_like(input_ages, age)
                result = sam_step(
                    net,
                    self.objective,
                    images,
                    input_ages,
                    target_ages,
                    no_aging=False,
                    targets=targets,
                    photo_codes=photo_codes,
                    randomize_noise=False,
                    precision=self.precision,
                    backward=lambda loss: None,
                )
                ages = self.aging.extract_ages(result.real.images)
                rows.append({**result.scalars, "age_error_years": (ages - target_ages).abs().mean()})
        return mean_figures(rows)

    @torch.no_grad()
    def sheets(self) -> dict[str, Image.Image]:
        net = self.averaged.eval()
        images = self.shown_images()
        columns = [images]
        with self.autocast():
            inputs = self.encoder_input(images)
            photo_codes = net.encode_photo(inputs)
            for age in SHEET_AGES:
                codes = net.encode(append_age(inputs, float(age)), photo_codes)
                columns.append(net.decode(codes))
        return {
            self.sheet_name("ages"): sheet_of_columns(columns, ["input", *(str(age) for age in SHEET_AGES)])
        }
