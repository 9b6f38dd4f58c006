"""What the coaches of the age classifier and of the identity network share."""

import argparse
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from datasets.augment import ClassifierAugment
from datasets.faces import FaceFolder
from datasets.sampling import in_share
from models.auxiliary import build_network
from options.base_options import parse_numbers, parse_share
from training.averaging import cosine_share, update_average
from training.batches import BatchSource
from training.coach import Coach

WARM_UP_STEPS = 100


def network_architecture(opts: argparse.Namespace, outputs: int, normalize: bool) -> dict[str, Any]:
    """Returns the description of the network that the options ask for, with `outputs` output numbers."""
    channels = parse_numbers(opts.network_channels, "--network_channels")
    depths = parse_numbers(opts.network_depths, "--network_depths")
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


class AuxiliaryCoach(Coach):
    """Builds network, average, data and optimiser of a supervised network on single faces."""

    test_data: FaceFolder | None = None

    def build_supervised(self, architecture: dict[str, Any]) -> None:
        """Makes `network`, `averaged` and the optimiser with a one-cycle learning rate."""
        self.architecture = architecture
        self.network = build_network(architecture).to(self.device, memory_format=torch.channels_last)
        self.averaged = deepcopy(self.network).requires_grad_(False)
        self.networks = {"network": self.network, "averaged": self.averaged}
        self.augment = ClassifierAugment()
        self.augment_random = torch.Generator()

    def build_optimizer(self, *extra: nn.Module) -> None:
        """Makes AdamW with a cosine schedule over all parameters."""
        parameters = [p for net in (self.network, *extra) for p in net.parameters()]
        optimizer = torch.optim.AdamW(
            parameters, lr=self.opts.learning_rate, weight_decay=self.opts.weight_decay, fused=True
        )
        self.optimizers = {"main": optimizer}

    def load_folder(self, folder: str, require_age: bool, share: str = "0-100") -> FaceFolder:
        """Decodes a folder, or the part of it that `--data_share` names, at the size the network sees."""
        start, end = parse_share(share)
        select = None if (start, end) == (0, 100) else partial(in_share, start=start, end=end)
        return FaceFolder(folder, self.picture_size, require_age, resample="lanczos", select=select)

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
        """Results of `compute` on all test pictures, (N, ...) on the CPU, by the averaged network in eval
        mode.
        """
        assert self.test_data is not None
        self.averaged.eval()
        items = torch.arange(len(self.test_data)).split(self.opts.batch_size)
        batches = (self.test_data.batch(part.tolist())["image"].to(self.device) for part in items)
        return torch.cat([compute(images).cpu() for images in batches])

    @property
    def picture_size(self) -> int:
        """Side of the aligned pictures that are held in memory."""
        return self.opts.input_size

    def update(self, loss: torch.Tensor) -> None:
        """One optimiser step on the cosine schedule with warm-up, then the running average."""
        optimizer = self.optimizers["main"]
        share = cosine_share(self.step, self.opts.max_steps, WARM_UP_STEPS)
        for group in optimizer.param_groups:
            group["lr"] = self.opts.learning_rate * share
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        decay = min(self.step / (self.step + 10), 1 - 1 / self.opts.ema_steps)
        update_average(self.averaged, self.network, decay)

    def augmented(self, images: torch.Tensor) -> torch.Tensor:
        """Augments a batch; the draw depends on seed and step alone."""
        self.augment_random.manual_seed(self.opts.seed * 1_000_003 + self.step)
        return self.augment(images, self.augment_random)


def identity_of(path: Path, root: Path) -> str:
    """The person of a picture: the name of the first folder below `root`."""
    return path.relative_to(root).parts[0]
