"""Makes the discriminators that train beside an encoder."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor

from criteria.gan_losses import generator_nonsaturating_loss
from datasets.augment import SimpleAugment
from models.auxiliary import AgeClassifier
from models.directed import groups_of_classes
from models.feature_discriminator import HEADS, FeatureDiscriminator, load_heads
from models.loading import built_from, described_by
from models.stylegan2.aged_discriminator import AgedDiscriminator
from models.stylegan2.layout import discriminator_config
from models.stylegan2.model import Discriminator
from options.encoder_options import EncoderTrainOptions
from training.adversary import FEATURE_AUGMENT, R1_EVERY, Adversary, feature_adversary
from training.encoder_start import Start, discriminator_of, read_generator, read_stylegan2
from training.state import TrainingState
from utils.distributed import say
from utils.errors import InputError


class Opponents:
    """Two discriminators that judge the same pictures.

    Args:
        first: what coaches take for the discriminator.
        second: beside it.
        share: weight of the second; that of the first is 1.
    """

    def __init__(self, first: Adversary, second: Adversary, share: float) -> None:
        self.first, self.second, self.share = first, second, share
        self.discriminator = first.discriminator

    def register(self, state: TrainingState) -> None:
        """Names the parts that must survive a restart."""
        self.first.register(state)
        self.second.register(state, "second_discriminator")

    def fool(self, images: Tensor, conditions: Tensor | None = None) -> Tensor:
        """The weighted sum of what :meth:`training.adversary.Adversary.fool` gives."""
        return self.first.fool(images, conditions) + self.share * self.second.fool(images, conditions)

    def learn(
        self,
        real: Tensor,
        made: Tensor,
        step: int,
        real_conditions: Tensor | None = None,
        made_conditions: Tensor | None = None,
        parts: int = 1,
    ) -> dict[str, Tensor]:
        """Updates both, see :meth:`training.adversary.Adversary.learn`."""
        first, second = (
            opponent.learn(real, made, step, real_conditions, made_conditions, parts)
            for opponent in (self.first, self.second)
        )
        return {**first, **{f"second_{name}": value for name, value in second.items()}}


Opponent: TypeAlias = Adversary | Opponents


def needs_classifier(opts: EncoderTrainOptions) -> bool:
    """Whether the discriminator sees through the age classifier."""
    return opts.adversarial_lambda > 0 and opts.discriminator == "age_features"


def make_opponent(
    opts: EncoderTrainOptions,
    start: Start,
    classifier: AgeClassifier | None,
    *,
    judges_age: bool,
    precision: torch.dtype,
    device: torch.device,
) -> Opponent | None:
    """The opponent of `--adversarial_lambda`, or both; None where that is 0.

    Args:
        opts: options of the training.
        start: how the training starts.
        classifier: of `--discriminator=age_features`.
        judges_age: whether pictures come with ages.
        precision: dtype of activations.
        device: where it computes.

    Raises:
        InputError: no file has a discriminator of this size, or pictures have no ages that it needs.
    """
    if not opts.adversarial_lambda:
        return None
    first = _first(opts, start, classifier, judges_age, precision, device)
    if opts.second_discriminator is None:
        return first
    return Opponents(first, _second(opts, judges_age, precision, device), opts.second_discriminator_share)


def _first(
    opts: EncoderTrainOptions,
    start: Start,
    classifier: AgeClassifier | None,
    judges_age: bool,
    precision: torch.dtype,
    device: torch.device,
) -> Adversary:
    if opts.discriminator == "age_features":
        assert classifier is not None  # among the files of the losses
        return feature_adversary(
            classifier,
            opts.discriminator_learning_rate,
            judges_age=judges_age,
            precision=precision,
            device=device,
            every=opts.discriminator_every,
            heads=_known_heads(start, classifier, judges_age),
        )
    discriminator = _stylegan2(opts, start)
    if opts.activation_checkpointing:
        discriminator.recompute_activations()
    return _adversary(opts, discriminator, precision, device)


def _known_heads(start: Start, classifier: AgeClassifier, judges_age: bool) -> FeatureDiscriminator | None:
    """Those of the file that the training goes on from; None where they do not fit what it sees with now."""
    if start.heads is None:
        return None
    path, content = start.heads
    try:
        heads = load_heads(content, path, classifier)
    except InputError as error:
        say(f"begins with a fresh discriminator: {error}")
        return None
    return heads if (heads.age is not None) is judges_age else None


class FrozenOpponent:
    """The discriminator that a SAM trained against, which learns no more (not in the official code).

    A few photos of one person would teach it these photos; as SAM left it, it knows what faces of an age are.

    Args:
        heads: on its device.
    """

    def __init__(self, heads: FeatureDiscriminator) -> None:
        self.heads = heads.requires_grad_(False).eval()
        self._augment = SimpleAugment(probability=FEATURE_AUGMENT)

    def fool(self, images: Tensor, conditions: Tensor | None = None) -> Tensor:
        """The loss that makes (B, 3, R, R) pictures believable at ages (B,) in years."""
        ages = None if self.heads.age is None else conditions
        return generator_nonsaturating_loss(self.heads(self._augment(images), ages))


def frozen_opponent(sam: Mapping[str, Any], source: str, classifier: AgeClassifier) -> FrozenOpponent:
    """The opponent of personalisation, from the file of the SAM.

    Args:
        sam: the content of the file.
        source: its name, for error messages.
        classifier: that SAM's discriminator saw with, on the device.

    Raises:
        InputError: the file has none, or SAM trained with another classifier.
    """
    if HEADS not in sam:
        raise InputError(
            f"{source} has no discriminator, which --adversarial_lambda needs: "
            "train SAM with --discriminator=age_features --adversarial_lambda=1"
        )
    return FrozenOpponent(load_heads(sam[HEADS], source, classifier))


def _adversary(
    opts: EncoderTrainOptions,
    judge: Discriminator | AgedDiscriminator,
    precision: torch.dtype,
    device: torch.device,
    **more: Any,
) -> Adversary:
    """A StyleGAN2 discriminator that trains by the options; more arguments of :class:`Adversary`."""
    judge.compute_dtype = precision
    return Adversary(
        judge.to(device),
        learning_rate=opts.discriminator_learning_rate,
        r1=opts.r1,
        r1_every=R1_EVERY if opts.r1 else 0,
        every=opts.discriminator_every,
        **more,
    )


def _second(
    opts: EncoderTrainOptions, judges_age: bool, precision: torch.dtype, device: torch.device
) -> Adversary:
    """The discriminator of `--second_discriminator`."""
    path = opts.second_discriminator
    assert path is not None
    content = read_stylegan2(path, "--second_discriminator")
    if "d" not in content:
        raise InputError(f"--second_discriminator={path} has no discriminator")
    with described_by(path):
        config = discriminator_config(content["d"])
    groups = groups_of_classes(content, config.c_dim, path) if config.c_dim else None
    if groups is not None and not judges_age:
        raise InputError(f"--second_discriminator={path} judges ages, which --coach={opts.coach} has none of")
    network = built_from(lambda: Discriminator.from_config(config), content["d"], path)
    if opts.activation_checkpointing:
        network.recompute_activations()
    augment = SimpleAugment(probability=FEATURE_AUGMENT)
    judge = AgedDiscriminator(network, groups)
    return _adversary(opts, judge, precision, device, augment=augment, conditional=groups is not None)


def _stylegan2(opts: EncoderTrainOptions, start: Start) -> Discriminator:
    """The discriminator of the file that the training starts from, else that of `--stylegan_weights`."""
    known = start.discriminator or discriminator_of(
        (read_generator(opts.stylegan_weights), opts.stylegan_weights)
    )
    if known is None:
        path = opts.stylegan_weights
        raise InputError(f"{path} has no discriminator, which --adversarial_lambda needs")
    with described_by(known.source):
        config = discriminator_config(known.state)
    if config.size != start.net.config.generator.size:
        raise InputError(
            f"the discriminator of {known.source} sees pictures of {config.size} pixels, and the generator "
            f"makes {start.net.config.generator.size}; give another file"
        )
    return built_from(lambda: Discriminator.from_config(config), known.state, known.source)
