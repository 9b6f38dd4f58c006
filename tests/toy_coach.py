"""A seventh thing to train, in one file: the colour of ``toy_aging``, with options of its own."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from datasets.faces import FaceFolder
from options.base_options import TrainOptions
from options.encoder_options import FolderOptions, OptimizerOptions
from training.accumulation import mean_of
from training.batches import BatchSource
from training.coach import Coach
from training.guard import backward_pass
from training.optimizers import build_optimizer
from utils.typed_options import fraction, option


@dataclass(frozen=True, kw_only=True)
class ToyOptions(TrainOptions, FolderOptions, OptimizerOptions):
    """What the coach reads."""

    title = "toy"

    strength: float = option(0.5, fraction, "share of the mean colour that is learned")


class CoachToy(Coach[ToyOptions]):
    """Learns the mean colour of the training faces."""

    best_metric = "error"

    def build(self) -> None:
        opts = self.opts
        self.colour = nn.ParameterDict({"colour": nn.Parameter(torch.randn(3))}).to(self.device)
        self.optimizer = build_optimizer(opts.optim_name, self.colour.parameters(), opts.learning_rate)
        self.state.register(colour=self.colour, main=self.optimizer)
        data = FaceFolder(opts.train_dataset, 8)
        self.batches = BatchSource(data, opts.batch_size, seed=opts.seed, start_step=self.start_step)

    def training_step(self) -> dict[str, Tensor]:
        noise = 0.01 * torch.randn(3)
        self.optimizer.zero_grad(set_to_none=True)
        figures = []
        for part in self.parts(self.batches.next()):
            wanted = self.opts.strength * part["image"].mean((2, 3))
            loss = (self.colour["colour"] - wanted + noise).square().mean()
            backward_pass(loss, self.share)
            figures.append({"loss": loss.detach()})
        self.optimizer.step()
        return mean_of(figures)

    def validation_step(self) -> dict[str, float]:
        return {"error": float(self.colour["colour"].detach().abs().mean())}

    def weights(self) -> dict[str, Any]:
        return {"kind": "tint", "colour": self.colour["colour"].detach().clone(), "opts": self.record}
