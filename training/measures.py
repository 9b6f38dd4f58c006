"""Loads the frozen networks that the terms of an objective need."""

from collections.abc import Callable, Collection
from pathlib import Path

import torch
from torch import Tensor, nn

from configs.paths_config import model_paths
from criteria.age_feature_loss import AgeFeatureLoss
from criteria.aging_loss import AgingLoss
from criteria.id_loss import IDLoss
from criteria.lpips_loss import LPIPSLoss
from criteria.objective import Measures
from criteria.perceptual_loss import PerceptualLoss
from criteria.style_loss import StyleLoss, StyleWeights
from models.auxiliary import AgeClassifier, load_age_classifier, load_identity
from models.vgg19 import vgg19_from
from models.weights_folder import load_published
from options.encoder_options import LossNetworkOptions
from training.needed_files import NeededFile, require_files
from utils.distributed import say

AGE_CLASSIFIER, IDENTITY = "--age_classifier", "--identity_network"
FURTHER_CLASSIFIERS = "--further_age_classifiers"
FURTHER_IDENTITIES = "--further_identity_networks"
CLASSIFIER = "age_classifier"  # a need of trainings that use it for more than a term


def loss_files(needs: Collection[str], opts: LossNetworkOptions) -> list[NeededFile]:
    """The files behind some fields of :class:`Measures` (and :data:`CLASSIFIER`)."""
    files = []
    dex = "perceptual" in needs and opts.perceptual == "dex"
    if "style" in needs:
        assert isinstance(opts, StyleWeights)
        weights = style_weights(opts)
        dex = dex or weights is None
        if weights is not None:
            files.append(NeededFile("VGG-19", "--style_weights", weights))
    if dex or {"aging", CLASSIFIER} & set(needs):
        files.append(NeededFile("the age classifier", AGE_CLASSIFIER, opts.age_classifier))
    if "aging" in needs:
        files += [
            NeededFile("a further age classifier", FURTHER_CLASSIFIERS, path)
            for path in opts.further_age_classifiers
        ]
    if "identity" in needs:
        files.append(NeededFile("the face recognition network", IDENTITY, opts.identity_network))
        files += [
            NeededFile("a further face recognition network", FURTHER_IDENTITIES, path)
            for path in opts.further_identity_networks
        ]
    return files


def load_measures(
    needs: Collection[str],
    opts: LossNetworkOptions,
    device: torch.device,
    augment: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Measures, AgeClassifier | None]:
    """Loads what some terms measure with.

    Args:
        needs: fields of :class:`Measures`, see ``criteria.objective.needs_of``, and :data:`CLASSIFIER`.
        opts: which files.
        device: where they compute.
        augment: what the ageing loss does to pictures before the classifier sees them.

    Returns:
        The networks, and the age classifier behind some of them.

    Raises:
        InputError: a file is missing or of another kind.
    """
    files = loss_files(needs, opts)
    require_files(files)
    flags = {file.flag for file in files}
    classifier = load_age_classifier(opts.age_classifier, device) if AGE_CLASSIFIER in flags else None
    measures = Measures()
    if IDENTITY in flags:
        others = [load_identity(path, device) for path in opts.further_identity_networks]
        measures.identity = IDLoss(load_identity(opts.identity_network, device), others)
    if "perceptual" in needs:
        measures.perceptual = _perceptual(opts, classifier).to(device)
    if "aging" in needs and classifier is not None:
        further = [load_age_classifier(path, device) for path in opts.further_age_classifiers]
        measures.aging = AgingLoss(classifier, augment, further)
    if "style" in needs:
        assert isinstance(opts, StyleWeights)
        measures.style = _style(style_weights(opts), opts.age_classifier, classifier).to(device)
    return measures, classifier


def networks_of(measures: Measures) -> list[nn.Module]:
    """The networks that run in the terms, as far as one forward pass is all of it."""
    found = [] if measures.identity is None else [one.network for one in measures.identity.networks]
    if measures.aging is not None:
        found += [classifier.network for classifier in measures.aging.networks]
    if isinstance(measures.perceptual, LPIPSLoss):
        found.append(measures.perceptual.model.net)
    return found


def _perceptual(opts: LossNetworkOptions, classifier: AgeClassifier | None) -> PerceptualLoss:
    if opts.perceptual == "dex":
        assert classifier is not None  # among the files
        return AgeFeatureLoss(classifier)
    return LPIPSLoss(weights_file=opts.lpips_weights)


def style_weights(opts: StyleWeights) -> str | None:
    """The file of VGG-19 that the options mean: the named one, or one at hand; None for dex."""
    if opts.style_network == "dex":
        return None
    usual = Path(model_paths["vgg19"])
    cached = Path(torch.hub.get_dir()) / "checkpoints" / usual.name
    at_hand = opts.style_weights or next((str(file) for file in (usual, cached) if file.is_file()), None)
    return at_hand or (None if opts.style_network == "auto" else str(usual))


def _style(weights: str | None, file: str, classifier: AgeClassifier | None) -> StyleLoss:
    if weights is not None:
        say(f"style: features of VGG-19, {weights}")
        network = vgg19_from(load_published(weights), weights)
        return StyleLoss(network, network.first_maps)
    assert classifier is not None  # among the files
    say(f"style: features of the age classifier, {file}")
    return StyleLoss(classifier, classifier.first_maps)
