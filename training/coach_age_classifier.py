"""Coach of the DEX age classifier (Rothe et al. 2015): one class a year, the age is the expectation."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from datasets.sampling import balancing_weights
from models.auxiliary import network_checkpoint
from models.dex_vgg import expected_age
from options.age_classifier_options import AgeClassifierOptions
from training.auxiliary_training import AuxiliaryCoach, network_architecture
from training.hard_pictures import hardened
from utils.ages import OLDEST

CLASSES = int(OLDEST) + 1


def soft_labels(ages: Tensor, deviation: float) -> Tensor:
    """Class probabilities (B, 101) of ages (B,) in years: a normal curve about the age, cut to 0-100."""
    years = torch.arange(CLASSES, device=ages.device)
    return torch.softmax(-0.5 * ((years - ages[:, None]) / deviation) ** 2, dim=1)


class CoachAgeClassifier(AuxiliaryCoach[AgeClassifierOptions]):
    """Trains on faces named `{age}_{idx}`.

    Cross entropy with labels spread over neighbouring years (label distribution learning, Gao et al. 2017),
    and the absolute error of the expected age.
    """

    best_metric = "mean_absolute_error"

    def build(self) -> None:
        opts = self.opts
        self.build_supervised(network_architecture(opts, CLASSES, normalize=False))
        self.build_optimizer()
        data = self.load_folder(opts.train_dataset, True, opts.share)
        weights = balancing_weights(data.ages.tolist(), power=opts.age_balance).tolist()
        self.batches = self.make_batches(data, weights)
        self.test_data = self.load_folder(opts.test_dataset, True) if opts.test_dataset else None

    def losses(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        images, ages = batch["image"], batch["age"].clamp(0, CLASSES - 1)
        if self.opts.hard_radius:
            images = hardened(images, self.opts.hard_radius, lambda changed: self._loss(changed, ages)[0])
        return self._loss(images, ages)

    def _loss(self, images: Tensor, ages: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with self.autocast():
            logits = self.network(images)
        logits = logits.float()
        entropy = F.cross_entropy(logits, soft_labels(ages, self.opts.label_deviation))
        error = (expected_age(logits) - ages).abs().mean()
        loss = entropy + self.opts.expectation_lambda * error
        return loss, {"cross_entropy": entropy, "absolute_error": error}

    @torch.no_grad()
    def validation_step(self) -> dict[str, float]:
        if self.test_data is None:
            return {}

        def both_flips(images: Tensor) -> Tensor:
            logits = (self.averaged(x).float() for x in (images, images.flip(3)))
            return sum((expected_age(x) for x in logits), start=images.new_zeros(())) / 2

        error = self.on_test_data(both_flips) - self.test_data.ages.clamp(0, CLASSES - 1)
        return {"mean_absolute_error": float(error.abs().mean()), "bias": float(error.mean())}

    def weights(self) -> dict[str, Any]:
        return network_checkpoint(self.opts.kind, self.architecture, self.averaged, opts=self.record)
