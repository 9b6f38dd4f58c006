"""The projector of StyleGAN2: the code w of a photo by gradient descent (Karras et al. 2020, appendix D)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from criteria.perceptual_loss import PerceptualLoss
from models.directed import means_of_classes
from models.stylegan2.model import Generator

W_SAMPLES, W_SEED = 10_000, 123  # random latents behind the mean and the spread of w
LEARNING_RATE = 0.1
RAMP_DOWN, RAMP_UP = 0.25, 0.05  # shares of the steps in which the learning rate falls and rises
NOISE_FACTOR, NOISE_RAMP = 0.05, 0.75  # of the noise on w, in units of its spread; share of the steps
NOISE_WEIGHT = 1e5  # of the regularity of the noise planes
SMALLEST_PLANE = 8  # pixels at which that is measured last
COMPARED_SIZE = 256  # pixels to which larger pictures are averaged for the distance


@dataclass(frozen=True)
class Projection:
    """What was found for B photos.

    Attributes:
        path: the codes after each step, (steps, B, style_dim), on the CPU.
        noise: a plane (B, 1, side, side) a layer.
        distances: perceptual distance of each photo at the last step, (B,).
    """

    path: Tensor
    noise: list[Tensor]
    distances: Tensor

    @property
    def codes(self) -> Tensor:
        """The codes that were found, (B, style_dim)."""
        return self.path[-1]


class Projector:
    """Finds codes and noise with which a generator renders given photos.

    Every photo gets the same random numbers and a loss of its own, so that the others in its batch do not
    matter.

    Args:
        generator: frozen; it renders in its own precision.
        perceptual: the distance.
        steps: of Adam.
        seed: of the noise.
        progress: whether a bar shows the steps.
    """

    def __init__(
        self,
        generator: Generator,
        perceptual: PerceptualLoss,
        steps: int = 1000,
        seed: int = 303,
        progress: bool = True,
    ) -> None:
        self.generator, self.perceptual = generator, perceptual
        self.steps, self.seed, self.progress = steps, seed, progress
        draws = torch.Generator().manual_seed(W_SEED)
        z = torch.randn(W_SAMPLES, generator.style_dim, generator=draws)
        self._z = z.to(generator.input.input)
        self._labels = torch.eye(generator.c_dim).to(self._z) if generator.c_dim else None

    @torch.no_grad()
    def class_means(self) -> Tensor:
        """The mean w (classes, style_dim) of every class."""
        assert self._labels is not None
        each = self._labels.split(1)
        return torch.cat([means_of_classes(self.generator, label, self._z) for label in each])

    @torch.no_grad()
    def _start(self, count: int, classes: Sequence[int] | None) -> tuple[Tensor, Tensor]:
        """Mean w (B, style_dim) and its spread (B, 1), in the class of each photo."""
        found = {}
        for number in set(classes or [-1]):
            labels = None if self._labels is None else self._labels[number].expand(len(self._z), -1)
            w = self.generator.get_latent(self._z, labels)
            found[number] = w.mean(0), (w - w.mean(0)).square().sum(1).mean().sqrt()[None]
        means, spreads = zip(*(found[number] for number in classes or [-1] * count), strict=True)
        return torch.stack(means), torch.stack(spreads)

    def project(self, photos: Tensor, classes: Sequence[int] | None = None) -> Projection:
        """Projects photos (B, 3, S, S) in [-1, 1] of the generator's size, each in its class.

        Args:
            photos: aligned faces.
            classes: B numbers; None for an unconditional generator.
        """
        device, count = self._z.device, len(photos)
        draws = torch.Generator().manual_seed(self.seed)
        mean, spread = self._start(count, classes)
        w = mean.clone().requires_grad_(True)
        noise = [
            torch.randn(plane.shape, generator=draws).to(device).repeat(count, 1, 1, 1).requires_grad_(True)
            for plane in self.generator.noise_buffers()
        ]
        optimizer = torch.optim.Adam([w, *noise], LEARNING_RATE, betas=(0.9, 0.999))
        with torch.no_grad():
            target = self.perceptual.features(compared(photos.to(device)))
        path, distance = torch.empty(self.steps, *w.shape), torch.zeros(count)
        what = "projecting" if count == 1 else f"projecting {count} photos"
        bar = tqdm(range(self.steps), what, leave=False, disable=not self.progress, unit="step")
        for step in bar:
            share = step / self.steps
            optimizer.param_groups[0]["lr"] = LEARNING_RATE * learning_rate_share(share)
            scale = spread * NOISE_FACTOR * max(0.0, 1 - share / NOISE_RAMP) ** 2
            shaken = w + scale * torch.randn(1, w.shape[1], generator=draws).to(device)
            distance = self._distances(shaken, noise, target)
            loss = distance.sum() + NOISE_WEIGHT * sum(irregularity(plane).sum() for plane in noise)
            gradients = torch.autograd.grad(loss, [w, *noise])
            for tensor, gradient in zip([w, *noise], gradients, strict=True):
                tensor.grad = gradient
            optimizer.step()
            with torch.no_grad():
                for plane in noise:
                    normalise(plane)
            path[step] = w.detach()
            bar.set_postfix(distance=f"{float(distance.detach().mean()):.3f}", refresh=False)
        return Projection(path, [plane.detach() for plane in noise], distance.detach().cpu())

    def _distances(self, w: Tensor, noise: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
        """Perceptual distances (B,) of the pictures of codes (B, style_dim) from features of photos."""
        pictures = compared(self._synthesize(w, noise).float())
        return self.perceptual.distance(self.perceptual.features(pictures), target)

    @torch.no_grad()
    def render(self, w: Tensor, noise: Sequence[Tensor]) -> Tensor:
        """Pictures (B, 3, R, R) in [-1, 1] of codes (B, style_dim) with noise planes (B, 1, side, side)."""
        return self._synthesize(w.to(self._z), noise).float().clamp(-1, 1)

    def _synthesize(self, w: Tensor, noise: Sequence[Tensor]) -> Tensor:
        return self.generator.synthesize(w[:, None].expand(-1, self.generator.n_latent, -1), noise)


def compared(pictures: Tensor) -> Tensor:
    """Pictures (B, 3, S, S) as the distance sees them: averaged down to 256 pixels where they are larger."""
    return F.adaptive_avg_pool2d(pictures, COMPARED_SIZE) if pictures.shape[-1] > COMPARED_SIZE else pictures


def learning_rate_share(share: float) -> float:
    """Share of the initial learning rate at a share of the steps: up in a line, down along a cosine."""
    down = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - share) / RAMP_DOWN))
    return down * min(1.0, share / RAMP_UP)


def irregularity(plane: Tensor) -> Tensor:
    """How far noise (B, 1, side, side) is from white, (B,): squared correlation of neighbours, all scales.

    Equation 7 of the paper, on the plane and on its averages of 2x2 down to 8 pixels.
    """
    total = plane.new_zeros(len(plane))
    while True:
        for dimension in (2, 3):
            total = total + (plane * plane.roll(1, dimension)).mean((1, 2, 3)).square()
        if plane.shape[-1] <= SMALLEST_PLANE:
            return total
        plane = F.avg_pool2d(plane, 2)


def normalise(plane: Tensor) -> None:
    """Gives noise (B, 1, side, side) mean 0 and variance 1, in place."""
    plane -= plane.mean((1, 2, 3), keepdim=True)
    plane *= plane.square().mean((1, 2, 3), keepdim=True).rsqrt()
