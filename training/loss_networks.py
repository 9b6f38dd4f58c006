"""The frozen networks behind the losses of pSp, SAM and MyTimeMachine; their features of training photos."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from configs.paths_config import model_paths
from configs.weights import WEIGHTS
from criteria.aging_loss import AgingLoss
from criteria.id_loss import IDLoss
from criteria.lpips_loss import build_perceptual_loss
from criteria.perceptual_loss import PerceptualLoss
from datasets.augment import SimpleAugment
from models.auxiliary import AgeClassifier, load_age_classifier, load_identity
from utils.errors import InputError

AGE_CLASSIFIER, IDENTITY = "--age_classifier", "--identity_network"
# Of `--aging_augment`: changes that leave the age of a face alone.
AGING_AUGMENT = SimpleAugment(
    probability=0.5, flip_probability=0.5, max_shift=0.06, brightness=0.2, contrast=0.25, saturation=1.0
)


@dataclass(frozen=True)
class LossNetworks:
    """Loss modules by purpose, and the classifier behind some; None where their weights are zero."""

    identity: IDLoss | None
    perceptual: PerceptualLoss | None
    aging: AgingLoss | None
    age_classifier: AgeClassifier | None


def build_loss_networks(opts: argparse.Namespace, device: torch.device, *, needs_age: bool) -> LossNetworks:
    """Loads what the loss weights in `opts` ask for.

    Raises:
        InputError: a file is missing or of another kind.
    """
    needed = loss_files(opts, needs_age=needs_age)
    require_files(needed)
    flags = {file.flag for file in needed}
    classifier = load_age_classifier(opts.age_classifier, device) if AGE_CLASSIFIER in flags else None
    identity = IDLoss(load_identity(opts.identity_network, device)) if IDENTITY in flags else None
    perceptual = None
    if wants_perceptual(opts):
        perceptual = build_perceptual_loss(
            opts.perceptual, age_classifier=classifier, weights_file=opts.lpips_weights
        ).to(device)
    augment = AGING_AUGMENT if getattr(opts, "aging_augment", False) else None
    aging = AgingLoss(classifier, augment=augment) if needs_age else None
    return LossNetworks(identity, perceptual, aging, classifier)


@dataclass(frozen=True)
class NeededFile:
    """A file or folder that a training reads, and the flag that names it."""

    what: str
    flag: str
    path: str | None


def wants_perceptual(opts: argparse.Namespace) -> bool:
    """Whether any perceptual term has a weight."""
    names = ("lpips_lambda", "lpips_lambda_crop", "lpips_lambda_aging")
    return max(getattr(opts, name, 0.0) for name in names) > 0


def wants_feature_discriminator(opts: argparse.Namespace) -> bool:
    """Whether a discriminator sees through the age classifier."""
    return getattr(opts, "adversarial_lambda", 0.0) > 0 and opts.discriminator == "age_features"


def wants_identity(opts: argparse.Namespace) -> bool:
    """Whether any identity term has a weight; the official MyTimeMachine always compares with real photos."""
    neighbours = getattr(opts, "nearest_neighbor_id_loss_lambda", None)
    compares = neighbours is not None and (neighbours > 0 or opts.recipe == "official")
    return opts.id_lambda > 0 or compares


def loss_files(opts: argparse.Namespace, *, needs_age: bool) -> list[NeededFile]:
    """The networks that the loss weights ask for."""
    files = []
    perceives = wants_perceptual(opts) and opts.perceptual == "dex"
    if needs_age or perceives or wants_feature_discriminator(opts):
        files.append(NeededFile("the age classifier", AGE_CLASSIFIER, opts.age_classifier))
    if wants_identity(opts):
        files.append(NeededFile("the face recognition network", IDENTITY, opts.identity_network))
    return files


def require_files(needed: Sequence[NeededFile]) -> None:
    """Checks, before anything large is built, that all files and folders are there.

    Raises:
        InputError: some are not; the message names each with its flag.
    """
    missing = [file for file in needed if not file.path or not Path(file.path).exists()]
    if not missing:
        return
    listed = ", ".join(f"{file.what} ({file.flag}={file.path or ''})" for file in missing)
    paths = {file.path for file in missing}
    official = [name for name, weight in WEIGHTS.items() if not weight.bundled and model_paths[name] in paths]
    hint = f"; python scripts/download_weights.py {' '.join(official)} brings them" if official else ""
    raise InputError(f"not found: {listed}{hint}")


def require_file(path: str | None, flag: str, what: str) -> str:
    """Returns `path` if it is there.

    Raises:
        InputError: it is not; the message names the flag.
    """
    require_files([NeededFile(what, flag, path)])
    return str(path)


class FeatureCache:
    """Tensors that depend on a training picture and its flip only, computed once and kept on the CPU.

    Args:
        compute: maps (B, 3, S, S) pictures to a tuple of (B, ...) tensors.
        pictures: number of training pictures.
    """

    def __init__(self, compute: Callable[[Tensor], Sequence[Tensor]], pictures: int) -> None:
        self._compute = compute
        self._known = torch.zeros(pictures, 2, dtype=torch.bool)
        self._stores: list[Tensor] = []

    @torch.no_grad()
    def __call__(self, batch: dict[str, Tensor]) -> list[Tensor]:
        """Returns the features of a batch with `image`, `index` and `flip`, on the device of the pictures."""
        images, index, flip = batch["image"], batch["index"].cpu(), batch["flip"].cpu().long()
        unknown = (~self._known[index, flip]).nonzero().flatten()
        if len(unknown):
            values = [
                value.detach().float().cpu() for value in self._compute(images[unknown.to(images.device)])
            ]
            if not self._stores:
                self._stores = [torch.empty(*self._known.shape, *value.shape[1:]) for value in values]
            for store, value in zip(self._stores, values, strict=True):
                store[index[unknown], flip[unknown]] = value
            self._known[index[unknown], flip[unknown]] = True
        return [store[index, flip].to(images.device) for store in self._stores]
