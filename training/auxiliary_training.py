"""What the coaches of the age classifier and of the identity network share."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from datasets.augment import ClassifierAugment
from datasets.faces import FaceFolder
from datasets.sampling import in_share
from models.auxiliary import build_network
from options.age_classifier_options import AuxiliaryOptions
from training.accumulation import mean_of
from training.averaging import update_average
from training.batches import BatchSource
from training.coach import Coach
from training.guard import backward_pass
from training.optimizers import cosine_share, set_share
from training.randomness import step_generator

AuxiliaryOptionsType = TypeVar("AuxiliaryOptionsType", bound=AuxiliaryOptions)

WARM_UP_STEPS = 100


def network_architecture(opts: AuxiliaryOptions, outputs: int, normalize: bool) -> dict[str, Any]:
    """Returns the description of the network that the options ask for, with `outputs` output numbers."""
    channels, depths = opts.channels, opts.depths
    if opts.network == "vgg":
        sizes = {"channels": channels or [32, 64, 96, 128, 160], "depths": depths or [1, 1, 2, 2, 2]}
        return {
            "network": "vgg",
            "num_classes": outputs,
            "input_size": opts.input_size,
            "hidden": opts.hidden,
            "batch_norm": True,
            "dropout": 0.3,
            **sizes,
        }
    sizes = {"channels": channels or [24, 32, 64, 96, 128], "units": depths or [2, 2, 2, 2]}
    return {
        "network": "ir_se",
        "input_size": opts.input_size,
        "embedding_dim": outputs,
        "normalize": normalize,
        "drop_ratio": 0.3,
        **sizes,
    }


class AuxiliaryCoach(Coach[AuxiliaryOptionsType]):
    """Builds network, average, data and optimiser of a supervised network on single faces."""

    test_data: FaceFolder | None = None

    def build_supervised(self, architecture: dict[str, Any]) -> None:
        """Makes `network`, `averaged` and the optimiser with a one-cycle learning rate."""
        self.architecture = architecture
        self.network = build_network(architecture).to(self.device, memory_format=torch.channels_last)
        self.averaged = deepcopy(self.network).requires_grad_(False)
        self.state.register(network=self.network, averaged=self.averaged)
        self.augment = ClassifierAugment()

    def build_optimizer(self, *extra: nn.Module) -> None:
        """Makes AdamW with a cosine schedule over all parameters."""
        parameters = [p for net in (self.network, *extra) for p in net.parameters()]
        self.optimizer = torch.optim.AdamW(
            parameters, lr=self.opts.learning_rate, weight_decay=self.opts.weight_decay, fused=True
        )
        self.state.register(main=self.optimizer)

    def load_folder(
        self, folder: str, require_age: bool, share: tuple[float, float] = (0, 100)
    ) -> FaceFolder:
        """Decodes a folder, or a part of it between two percentages, at the size the network sees."""
        select = None if share == (0, 100) else partial(in_share, start=share[0], end=share[1])
        return FaceFolder(
            folder,
            self.picture_size,
            require_age,
            resample="lanczos",
            select=select,
            own_output=self.opts.own_output,
        )

    def make_batches(self, data: FaceFolder, weights: Sequence[float] | None = None) -> BatchSource:
        """Training batches, drawn with `weights`; mirroring is left to the augmentation."""
        opts = self.opts
        return BatchSource(
            data,
            opts.batch_size,
            seed=opts.seed,
            start_step=self.start_step,
            flip_probability=0.0,
            workers=opts.workers,
            device=self.device,
            weights=weights,
        )

    @torch.no_grad()
    def on_test_data(self, compute: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Results of `compute` on all test pictures, (N, ...) on the CPU; the average is in eval mode."""
        assert self.test_data is not None
        self.averaged.eval()
        items = torch.arange(len(self.test_data)).split(self.opts.batch_size)
        batches = (self.test_data.batch(part.tolist())["image"].to(self.device) for part in items)
        return torch.cat([compute(images).cpu() for images in batches])

    @property
    def picture_size(self) -> int:
        """Side of the aligned pictures that are held in memory."""
        return self.opts.input_size

    @abstractmethod
    def losses(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a batch (``image``, ``age``, ``index``), and figures to log."""

    def training_step(self) -> dict[str, Tensor]:
        """One step on the cosine schedule with warm-up, then the running average.

        The norms follow train mode, so their statistics are those of a micro-batch.
        """
        batch = self.batches.next()
        batch["image"] = self.augment(batch["image"], step_generator(self.opts.seed, self.step))
        self.network.train()
        self.optimizer.zero_grad(set_to_none=True)
        figures = [self._learn(part) for part in self.parts(batch)]
        set_share(self.optimizer, cosine_share(self.step, self.opts.max_steps, WARM_UP_STEPS))
        self.optimizer.step()
        decay = min(self.step / (self.step + 10), 1 - 1 / self.opts.ema_steps)
        update_average(self.averaged, self.network, decay)
        return mean_of(figures)

    def _learn(self, part: Mapping[str, Tensor]) -> dict[str, Tensor]:
        loss, figures = self.losses(part)
        backward_pass(loss, self.share)
        return {name: value.detach() for name, value in figures.items()}


def identity_of(path: Path, root: Path) -> str:
    """The person of a picture: the name of the first folder below `root`."""
    return path.relative_to(root).parts[0]
