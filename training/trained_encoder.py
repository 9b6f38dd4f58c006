"""A pSp network in training: what of it learns, at which rate, and its running average."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from criteria.objective import PassName
from models.feature_discriminator import HEADS, FeatureDiscriminator, heads_content
from models.psp import pSp
from models.psp_files import psp_checkpoint
from models.stylegan2.model import Discriminator
from options.encoder_options import EncoderTrainOptions
from training.averaging import average_decay, update_average
from training.encoder_start import KnownDiscriminator, Start
from training.opponent import Opponent
from training.optimizers import build_optimizer, cosine_share, set_share
from training.state import TrainingState
from utils.files.checkpoints import Checkpoint
from utils.pictures.tensors import resize

WARM_UP_STEPS = 50


class TrainedEncoder:
    """Encoder and, with `--train_decoder`, generator.

    Args:
        start: the network as it begins.
        opts: options of the training.
        precision: dtype of the generator's activations.
        device: where it trains.
        decoder_learning_rate: of the generator; that of the encoder if None.

    Attributes:
        net: the network.
        averaged: what is saved and shown: `net`, or its running average.
        optimizer: of the parts that learn.
    """

    def __init__(
        self,
        start: Start,
        opts: EncoderTrainOptions,
        precision: torch.dtype,
        device: torch.device,
        decoder_learning_rate: float | None = None,
    ) -> None:
        self._opts = opts
        self._discriminator: KnownDiscriminator | None = start.discriminator
        self._heads = start.heads
        net = start.net
        net.decoder.requires_grad_(opts.train_decoder)
        if opts.generator_noise == "none":
            net.decoder.silence()
        net.decoder.compute_dtype = precision
        self.net = net.to(device)
        self.net.encoder.to(memory_format=torch.channels_last)
        if opts.activation_checkpointing:
            self.net.recompute_activations()
        self.averaged: pSp = self.net
        if opts.ema_halflife:
            self.averaged = deepcopy(self.net).requires_grad_(False).eval()
            self.averaged.decoder.compute_dtype = precision
        groups: list[dict[str, Any]] = [{"params": list(self.net.encoder.parameters())}]
        if opts.train_decoder:
            own_rate = {"lr": decoder_learning_rate} if decoder_learning_rate else {}
            learned = [weight for weight in self.net.decoder.parameters() if weight.requires_grad]
            groups.append({"params": learned, **own_rate})
        self.optimizer = build_optimizer(opts.optim_name, groups, opts.learning_rate)

    def register(self, state: TrainingState) -> None:
        """Names the parts that must survive a restart."""
        state.register(net=self.net, main=self.optimizer)
        if self.averaged is not self.net:
            state.register(averaged=self.averaged)

    def draw_noise(self, batch: int, passes: Sequence[PassName]) -> dict[PassName, list[Tensor]] | None:
        """The generator's noise of a step that is made in parts; None where its layers draw it."""
        if self._opts.gradient_accumulation_steps == 1:
            return None
        return {name: self.net.decoder.draw_noise(batch) for name in passes}

    def optimize(self, step: int) -> None:
        """One optimiser step at the rate of the schedule, then the running average, if there is one."""
        opts = self._opts
        if opts.learning_rate_schedule == "cosine":
            set_share(self.optimizer, cosine_share(step, opts.max_steps, WARM_UP_STEPS))
        self.optimizer.step()
        if self.averaged is not self.net:
            decay = average_decay(opts.ema_halflife, opts.batch_size, step)
            update_average(self.averaged.encoder, self.net.encoder, decay)
            if opts.train_decoder:
                update_average(self.averaged.decoder, self.net.decoder, decay)

    def encoder_input(self, images: Tensor) -> Tensor:
        """Photos at the size that the encoder reads."""
        return resize(images, self.net.input_size)

    def full_size(self, images: Tensor) -> Tensor:
        """Photos at the size of the generator's pictures."""
        return resize(images, self.net.config.generator.size)

    def picture_size(self, full: bool) -> int:
        """Side at which photos are held: also the generator's where something compares with its pictures."""
        size = self.net.input_size
        return max(size, self.net.config.generator.size) if full else size

    def checkpoint(self, opponent: Opponent | None, record: Mapping[str, Any]) -> Checkpoint:
        """The weights for use with a record of the options; a discriminator for whoever trains on with it."""
        content = psp_checkpoint(self.averaged, record)
        discriminator = None if opponent is None else opponent.discriminator
        if isinstance(discriminator, FeatureDiscriminator):
            content[HEADS] = heads_content(discriminator)
        elif self._heads is not None:
            content[HEADS] = self._heads[1]
        if isinstance(discriminator, Discriminator):
            content["d"] = discriminator.state_dict()
        elif self._discriminator is not None:
            content["d"] = dict(self._discriminator.state)
        return content
