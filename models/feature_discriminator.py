"""Discriminator on the features of a frozen face network (Projected GAN, Sauer et al. 2021)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from models.auxiliary import AgeClassifier
from models.loading import checked_numbers, load_into
from utils.device import autocast
from utils.errors import InputError

HEADS = "age_feature_heads"  # entry of the file of a pSp or SAM that trained against one
AGE_CENTRES = range(0, 101, 10)  # years
AGE_WIDTH = 10.0  # years
REGIONS = 8  # rows, and columns, of regions that are judged apart
SMALL = 4  # the small picture has one pixel for so many, squared
TEST_SIDE = 64  # pixels of the picture that tells one frozen network from another
ANSWER_TOLERANCE = 0.02  # half precision of the frozen network moves its answers by less


class FeatureDiscriminator(nn.Module):
    """A small trained head on every stage of a frozen network: few photos and steps suffice.

    A discriminator that has to learn to see from a few thousand faces follows an encoder too slowly to teach
    it any detail; one that sees with the eyes of a face network tells photos from soft pictures after some
    twenty updates. One more head looks at the small picture itself, because a network that learned from
    recoloured photos hardly sees hues. Every region gets a logit of its own (PatchGAN, Isola et al. 2017):
    in a mean over the picture a small spot such as greenish teeth has no say. With ages, it judges whether a
    face is believable at its age (projection discriminator, Miyato & Koyama 2018), so that an age classifier
    cannot be satisfied by patterns that no face has.

    Args:
        extract: maps (B, 3, S, S) pictures in [-1, 1] to a list of (B, C_l, H_l, W_l) maps; differentiable
            in the pictures, its weights are left alone and do not appear in the state dict.
        channels: C_l of the maps.
        width: channels inside each head.
        knows_age: whether ``forward`` takes ages.
    """

    def __init__(
        self,
        extract: Callable[[Tensor], Sequence[Tensor]],
        channels: Sequence[int],
        width: int = 64,
        knows_age: bool = False,
    ) -> None:
        super().__init__()
        # In a list, so that the frozen network is not part of this module.
        self._extract = [extract]
        self.compute_dtype = torch.float32
        channels = (3, *channels)
        self.first = nn.ModuleList(spectral_norm(nn.Conv2d(count, width, 3, 2, 1)) for count in channels)
        self.last = nn.ModuleList(spectral_norm(nn.Conv2d(width, 1, 3, 1, 1)) for _ in channels)
        self.age = nn.Linear(len(AGE_CENTRES), len(channels) * (width + 1)) if knows_age else None
        if self.age is not None:
            nn.init.zeros_(self.age.weight)
            nn.init.zeros_(self.age.bias)

    def stages(self, images: Tensor) -> Sequence[Tensor]:
        """The maps (B, C_l, H_l, W_l) of the frozen network for (B, 3, S, S) pictures."""
        return self._extract[0](images)

    def forward(self, images: Tensor, ages: Tensor | None = None) -> Tensor:
        """Logits (B, 1 + stages, REGIONS^2) of (B, 3, S, S) pictures.

        Args:
            images: the pictures.
            ages: years (B,) that they are meant to show; needed by a discriminator that knows ages.

        Raises:
            ValueError: ages are missing, or of no use.
        """
        if (ages is None) is not (self.age is None):
            raise ValueError("a discriminator that knows ages needs them, and no other takes any")
        logits, pooled = [], []
        with autocast(images.device, self.compute_dtype):
            stages = [F.avg_pool2d(images, SMALL), *self.stages(images)]
            for first, last, maps in zip(self.first, self.last, stages, strict=True):
                # Every map at one scale, whatever the frozen network made of it.
                scale = maps.detach().float().square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-6
                hidden = F.leaky_relu(first(maps / scale.to(maps.dtype)), 0.2)
                logits.append(F.adaptive_avg_pool2d(last(hidden).float(), REGIONS).flatten(1))
                pooled.append(F.adaptive_avg_pool2d(hidden.float(), REGIONS).flatten(2))
        result = torch.stack(logits, 1)
        if self.age is None or ages is None:
            return result
        weights = self.age(age_features(ages)).view(len(images), len(pooled), -1)
        projected = torch.einsum("bsc,bscr->bsr", weights[..., 1:], torch.stack(pooled, 1))
        return result + weights[..., :1] + projected


@torch.no_grad()
def heads_content(discriminator: FeatureDiscriminator) -> dict[str, Any]:
    """What a file keeps of a discriminator: its heads, and how the frozen network answers a test picture."""
    state = {name: value.detach().cpu() for name, value in discriminator.state_dict().items()}
    return {"state_dict": state, "answers": _answers(discriminator)}


def load_heads(content: Any, source: str, classifier: AgeClassifier) -> FeatureDiscriminator:
    """The discriminator of an entry :data:`HEADS` on its age classifier, which the file does not hold.

    Args:
        content: the entry.
        source: the file, for error messages.
        classifier: the age classifier.

    Raises:
        InputError: the entry is none, or was trained with another age classifier.
    """
    if not isinstance(content, Mapping) or not isinstance(content.get("state_dict"), Mapping):
        raise InputError(f"{source}: {HEADS} holds no weights; give another file")
    state = content["state_dict"]
    knows_age = "age.weight" in state
    discriminator = FeatureDiscriminator(
        classifier.feature_maps, classifier.feature_channels, knows_age=knows_age
    )
    known = checked_numbers(content.get("answers"), "answers", source)
    discriminator.to(next(classifier.parameters()).device)
    answers = _answers(discriminator)
    if known.shape != answers.shape or not torch.allclose(known.float(), answers, rtol=ANSWER_TOLERANCE):
        raise InputError(
            f"the discriminator of {source} was trained with another age classifier; "
            "name that one by --age_classifier"
        )
    load_into(discriminator, state, source)
    return discriminator


@torch.no_grad()
def _answers(discriminator: FeatureDiscriminator) -> Tensor:
    """Root mean square of each stage of the frozen network for a picture of all colours, (stages,)."""
    device = next(discriminator.parameters()).device
    picture = torch.linspace(-1, 1, 3 * TEST_SIDE**2, device=device).view(1, 3, TEST_SIDE, TEST_SIDE)
    stages = discriminator.stages(picture)
    return torch.stack([maps.float().square().mean().sqrt().cpu() for maps in stages])


def age_features(ages: Tensor) -> Tensor:
    """Nearness (B, 11) of ages (B,) in years to 0, 10, ..., 100: a Gaussian of ten years."""
    first, end, step = AGE_CENTRES.start, AGE_CENTRES.stop, AGE_CENTRES.step
    centres = torch.arange(first, end, step, dtype=torch.float32, device=ages.device)
    return torch.exp(-0.5 * ((ages.float()[:, None] - centres) / AGE_WIDTH).square())
