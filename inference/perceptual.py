"""The perceptual distance with which codes are fitted to photos: LPIPS, or the bundled substitute."""

from pathlib import Path

import torch

from criteria.age_feature_loss import AgeFeatureLoss
from criteria.lpips_loss import LPIPSLoss
from criteria.perceptual_loss import PerceptualLoss
from models.auxiliary import load_age_classifier

# What torchvision calls the ImageNet weights of the backbone in its cache.
VGG_IN_CACHE = "vgg16-397923af.pth"


def perceptual_distance(
    kind: str,
    classifier: str | Path,
    device: torch.device,
    lpips_weights: str | None = None,
    backbone: str = "alex",
) -> PerceptualLoss:
    """The distance of that name, on a device.

    Args:
        kind: ``lpips``, or ``dex`` in the features of an age classifier.
        classifier: file of that.
        device: where it computes.
        lpips_weights: ImageNet weights of the backbone, where they are not cached.
        backbone: of LPIPS.

    Raises:
        InputError: a package or a file is missing.
    """
    if kind == "lpips":
        return LPIPSLoss(backbone, lpips_weights).to(device)
    return AgeFeatureLoss(load_age_classifier(classifier, device))


def best_at_hand(lpips_weights: str | None) -> str:
    """``lpips`` where the ImageNet weights of VGG-16 are given or cached, else ``dex``."""
    cached = Path(torch.hub.get_dir()) / "checkpoints" / VGG_IN_CACHE
    return "lpips" if lpips_weights or cached.is_file() else "dex"
