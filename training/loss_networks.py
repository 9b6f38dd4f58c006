"""The frozen networks behind the losses of pSp, SAM and MyTimeMachine, and their features of training
pictures.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from criteria.aging_loss import AgingLoss
from criteria.id_loss import IDLoss
from criteria.lpips_loss import build_perceptual_loss
from criteria.perceptual_loss import PerceptualLoss
from models.auxiliary import load_age_classifier, load_identity
from utils.errors import InputError


@dataclass(frozen=True)
class LossNetworks:
    """Loss modules by purpose; None where their weights are zero."""

    identity: IDLoss | None
    perceptual: PerceptualLoss | None
    aging: AgingLoss | None


def build_loss_networks(opts: argparse.Namespace, device: torch.device, *, needs_age: bool) -> LossNetworks:
    """Loads what the loss weights in `opts` ask for.

    Raises:
        InputError: a file is missing or of another kind.
    """
    perceptual_weight = max(
        opts.lpips_lambda, opts.lpips_lambda_crop, getattr(opts, "lpips_lambda_aging", 0.0)
    )
    wants_dex = perceptual_weight > 0 and opts.perceptual == "dex"
    classifier = None
    if needs_age or wants_dex:
        require_file(opts.age_classifier, "--age_classifier", "the age classifier")
        classifier = load_age_classifier(opts.age_classifier, device)
    identity = None
    if opts.id_lambda > 0 or getattr(opts, "nearest_neighbor_id_loss_lambda", 0) > 0:
        require_file(opts.identity_network, "--identity_network", "the face recognition network")
        identity = IDLoss(load_identity(opts.identity_network, device))
    perceptual = None
    if perceptual_weight > 0:
        perceptual = build_perceptual_loss(
            opts.perceptual, age_classifier=classifier, weights_file=opts.lpips_weights
        ).to(device)
    return LossNetworks(identity, perceptual, AgingLoss(classifier) if needs_age else None)


def require_file(path: str | None, flag: str, what: str) -> str:
    """Returns `path` if it is a file.

    Raises:
        InputError: it is not; the message names the flag.
    """
    if not path or not Path(path).is_file():
        raise InputError(f"no file for {what} at {path}; give it with {flag}")
    return path


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
