"""What the coaches of pSp and SAM share: network sizes, test pictures, checkpoints."""

import argparse
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from configs.paths_config import dataset_paths
from datasets.augment import SimpleAugment
from datasets.faces import FaceFolder
from models.aging_model import resize
from models.auxiliary import AgeClassifier
from models.encoders.helpers import OFFICIAL_CHANNELS
from models.encoders.psp_encoders import EncoderConfig
from models.feature_discriminator import FeatureDiscriminator
from models.kinds import checkpoint_kind, describe
from models.loading import load_into
from models.psp import pSp
from models.psp_config import PSPConfig
from models.stylegan2.model import Discriminator, StyleGAN2Config
from models.stylegan2.nvidia import load_converted
from options.base_options import parse_numbers
from options.stylegan2_options import parse_channels
from training.adversary import R1_EVERY, Adversary
from training.averaging import average_decay, cosine_share, update_average
from training.batches import BatchSource
from training.coach import Coach, say
from training.loss_networks import NeededFile, require_file
from training.optimizers import build_optimizer
from utils.errors import InputError
from utils.pictures.sheets import image_sheet

WARM_UP_STEPS = 50
FEATURE_AUGMENT = 0.2  # probability of each change of what a feature discriminator sees
SHEET_SIDE = 256  # pixels of a picture on a sheet, at most


def generator_config(opts: argparse.Namespace, checkpoint: Mapping[str, Any] | None) -> StyleGAN2Config:
    """Sizes of the generator: those its checkpoint records, else the options."""
    recorded = ((checkpoint or {}).get("opts") or {}).get("architecture") or {}
    if recorded.get("generator"):
        return StyleGAN2Config.from_dict(recorded["generator"])
    channels = parse_channels(opts.channels)
    return StyleGAN2Config(opts.output_size, opts.style_dim, opts.n_mlp, opts.channel_multiplier, channels)


def encoder_config(opts: argparse.Namespace) -> EncoderConfig:
    """Sizes of the encoder from the options."""
    channels = parse_numbers(opts.encoder_channels, "--encoder_channels")
    units = parse_numbers(opts.encoder_units, "--encoder_units")
    return EncoderConfig(
        input_size=opts.encoder_size,
        channels=tuple(channels) if channels else OFFICIAL_CHANNELS,
        units=tuple(units) if units else None,
        style_channels=opts.style_channels,
    )


class EncoderCoach(Coach):
    """Builds data and optimiser of a `pSp` network, `self.net`."""

    best_metric = "loss"
    net: pSp
    averaged: pSp  # what is saved and shown: `net`, or its running average
    adversary: Adversary | None = None
    known_discriminator: tuple[Mapping[str, Tensor], str] | None = None  # of the first file that has one

    def read(self, path: str) -> dict[str, Any]:
        """Reads a checkpoint and remembers its discriminator, if it is the first that has one."""
        checkpoint = load_converted(path)
        if self.known_discriminator is None and "d" in checkpoint:
            self.known_discriminator = checkpoint["d"], path
        return checkpoint

    def read_generator(self) -> dict[str, Any]:
        """Reads `--stylegan_weights`."""
        path = require_file(self.opts.stylegan_weights, "--stylegan_weights", "the StyleGAN2 generator")
        checkpoint = self.read(path)
        if checkpoint_kind(checkpoint) != "stylegan2":
            found = describe(checkpoint)
            raise InputError(f"--stylegan_weights={path} is {found}, not a StyleGAN2 checkpoint")
        return checkpoint

    def make_network(self, generator: StyleGAN2Config, start_from_encoded_w_plus: bool) -> pSp:
        """A fresh network of the sizes in the options."""
        config = PSPConfig(
            generator=generator,
            encoder=encoder_config(self.opts),
            input_nc=self.opts.input_nc,
            start_from_latent_avg=self.opts.start_from_latent_avg,
            start_from_encoded_w_plus=start_from_encoded_w_plus,
        )
        return pSp.from_config(config)

    def finish_network(self, net: pSp) -> None:
        """Freezes what is not trained and moves the network to the device."""
        net.decoder.requires_grad_(self.opts.train_decoder)
        net.decoder.compute_dtype = self.precision
        self.net = net.to(self.device)
        self.net.encoder.to(memory_format=torch.channels_last)
        self.networks["net"] = self.net
        self.averaged = self.net
        if self.opts.ema_halflife:
            self.averaged = deepcopy(self.net).requires_grad_(False).eval()
            self.averaged.decoder.compute_dtype = self.precision
            self.networks["averaged"] = self.averaged

    def make_optimizer(self) -> None:
        """Optimiser over encoder and, with `--train_decoder`, generator."""
        groups: list[dict[str, Any]] = [{"params": list(self.net.encoder.parameters())}]
        if self.opts.train_decoder:
            decoder: dict[str, Any] = {"params": list(self.net.decoder.parameters())}
            if getattr(self.opts, "decoder_learning_rate", None):
                decoder["lr"] = self.opts.decoder_learning_rate
            groups.append(decoder)
        optimizer = build_optimizer(self.opts.optim_name, groups, self.opts.learning_rate)
        self.optimizers["main"] = optimizer

    def make_adversary(self, classifier: AgeClassifier | None, knows_age: bool) -> None:
        """The opponent of `--adversarial_lambda`.

        Args:
            classifier: of `--discriminator=age_features`.
            knows_age: whether that one judges ages too.
        """
        if self.opts.discriminator == "age_features":
            assert classifier is not None  # among the files of the losses
            self._oppose(
                FeatureDiscriminator(
                    classifier.feature_maps, classifier.feature_channels, knows_age=knows_age
                ),
                r1_every=0,  # heads with a bounded slope
                augment=SimpleAugment(probability=FEATURE_AUGMENT),
            )
        else:
            self._oppose(self._known_discriminator(), r1_every=R1_EVERY if self.opts.r1 else 0)

    def _known_discriminator(self) -> Discriminator:
        """The discriminator of the files read so far, else of StyleGAN2's.

        Raises:
            InputError: no file has one, or it is of another size.
        """
        opts = self.opts
        if self.known_discriminator is None:
            self.read_generator()
        if self.known_discriminator is None:
            path = opts.stylegan_weights
            raise InputError(f"{path} has no discriminator, which --adversarial_lambda needs")
        discriminator = Discriminator.from_config(self.net.config.generator)
        load_into(discriminator, *self.known_discriminator)
        return discriminator

    def _oppose(self, discriminator: Discriminator | FeatureDiscriminator, **arguments: Any) -> None:
        discriminator.compute_dtype = self.precision
        self.adversary = Adversary(
            discriminator.to(self.device),
            learning_rate=self.opts.discriminator_learning_rate,
            r1=self.opts.r1,
            every=self.opts.discriminator_every,
            **arguments,
        )
        self.networks["d"] = discriminator
        self.optimizers["d"] = self.adversary.optimizer

    def optimize(self) -> None:
        """One optimiser step at the rate of the schedule, then the running average, if there is one."""
        optimizer = self.optimizers["main"]
        if self.opts.learning_rate_schedule == "cosine":
            share = cosine_share(self.step, self.opts.max_steps, WARM_UP_STEPS)
            for group in optimizer.param_groups:
                group.setdefault("first_lr", group["lr"])
                group["lr"] = share * group["first_lr"]
        optimizer.step()
        if self.averaged is not self.net:
            decay = average_decay(self.opts.ema_halflife, self.opts.batch_size, self.step)
            update_average(self.averaged.encoder, self.net.encoder, decay)
            if self.opts.train_decoder:
                update_average(self.averaged.decoder, self.net.decoder, decay)

    @property
    def picture_size(self) -> int:
        """Side at which photos are held: also the generator's where something compares with its pictures."""
        if self.adversary is not None or getattr(self.opts, "full_size_losses", False):
            return max(self.net.input_size, self.net.config.generator.size)
        return self.net.input_size

    def encoder_input(self, images: Tensor) -> Tensor:
        """Photos at the size that the encoder reads."""
        return resize(images, self.net.input_size)

    def full_size(self, images: Tensor) -> Tensor:
        """Photos at the size of the generator's pictures."""
        return resize(images, self.net.config.generator.size)

    def make_data(self, require_age: bool = False) -> FaceFolder:
        """Training batches and the fixed test pictures."""
        opts, size = self.opts, self.picture_size
        data = FaceFolder(opts.train_dataset, size, require_age)
        self.batches = BatchSource(
            data,
            opts.batch_size,
            seed=opts.seed,
            start_step=self.start_step,
            workers=opts.workers,
            device=self.device,
        )
        self.test_images: Tensor | None = None
        folder = self.test_folder()
        if folder:
            test = FaceFolder(folder, size)
            count = min(opts.n_test, len(test))
            items = [round(i * (len(test) - 1) / max(1, count - 1)) for i in range(count)]
            self.test_images = test.batch(items)["image"]
        else:
            say("note: without --test_dataset there is no validation and no best_model.pt")
        return data

    def test_folder(self) -> str | None:
        """`--test_dataset`; beside the official training folder the official test folder, where it exists."""
        official = self.opts.train_dataset == dataset_paths["ffhq"]
        if self.opts.test_dataset is None and official and Path(dataset_paths["celeba_test"]).is_dir():
            return dataset_paths["celeba_test"]
        return self.opts.test_dataset

    def data_folders(self) -> list[NeededFile]:
        """The folders of pictures that the options name."""
        folders = [NeededFile("the training pictures", "--train_dataset", self.opts.train_dataset)]
        if self.opts.test_dataset:
            folders.append(NeededFile("the test pictures", "--test_dataset", self.opts.test_dataset))
        return folders

    def shown_images(self, count: int = 8) -> Tensor:
        """Pictures for the sheets: of the test folder, else of the training folder."""
        if self.test_images is not None:
            step = max(1, len(self.test_images) // count)
            return self.test_images[::step][:count].to(self.device)
        dataset = self.batches.dataset
        return dataset.batch(list(range(min(count, len(dataset)))))["image"].to(self.device)

    def sheet_name(self, name: str) -> str:
        """Where the sheet of the shown pictures goes: the official folder of the test or training faces."""
        return f"{'train' if self.test_images is None else 'test'}/faces/{name}"

    def test_batches(self) -> list[Tensor]:
        """The fixed test pictures in batches on the device."""
        if self.test_images is None:
            return []
        return [part.to(self.device) for part in self.test_images.split(self.opts.test_batch_size)]

    def weights(self) -> dict[str, Any]:
        checkpoint = self.averaged.to_checkpoint(vars(self.opts))
        if self.adversary is not None and self.opts.discriminator == "stylegan2":
            checkpoint["d"] = self.adversary.discriminator.state_dict()
        elif self.known_discriminator is not None:
            checkpoint["d"] = dict(self.known_discriminator[0])  # goes on to whoever trains with it next
        return checkpoint


def sheet_of_columns(columns: list[Tensor], labels: list[str]) -> Any:
    """A sheet with one row a picture; `columns` hold (B, 3, S, S) batches, shown as large as the largest."""
    size = min(SHEET_SIDE, max(column.shape[-1] for column in columns))
    fitted = [F.interpolate(column.float(), size, mode="bicubic", antialias=True) for column in columns]
    rows = [list(row) for row in zip(*[c.float().cpu() for c in fitted], strict=True)]
    return image_sheet(rows, column_labels=labels)
