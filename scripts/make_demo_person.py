"""Makes the fictional person of `make demo`: pictures `{age}_{idx}.png` along an ageing path of their own.

The path starts from one face of the bundled generator. Ageing moves its code along the direction in which
the age
classifier's age grows over random faces, and, more and more, along a direction that only this person has.
Each
picture has its own pose, light, blur and noise.
"""

import _bootstrap  # noqa: F401

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from configs.paths_config import REPOSITORY
from models.auxiliary import AgeClassifier, load_age_classifier
from models.psp import pSp
from utils.checkpoints import load_checkpoint
from utils.device import select_device
from utils.errors import InputError, run_command
from utils.images import write_image

DEMO = REPOSITORY / "pretrained_models" / "demo"
TRAIN_AGES = (20, 60)
HELD_OUT_AGES = (20, 75)


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--psp", default=str(DEMO / "psp.pt"), metavar="FILE", help="encoder and generator")
    parser.add_argument("--age_classifier", default=str(DEMO / "age_classifier.pt"), metavar="FILE")
    parser.add_argument("--output_dir", default=str(REPOSITORY / "assets" / "demo_person"), metavar="DIR")
    parser.add_argument("--train", type=int, default=38, help="training pictures")
    parser.add_argument("--held_out", type=int, default=14, help="held-out pictures")
    parser.add_argument("--deviation", type=float, default=0.6, help="size of the person's own way of ageing")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--device", default="auto")
    return parser.parse_args(arguments)


class Person:
    """A face and the code it has at every age.

    Args:
        net: encoder and generator.
        classifier: tells the age of a picture.
        seed: which person.
        deviation: length of the person's own direction, relative to the spread of codes.
    """

    def __init__(self, net: pSp, classifier: AgeClassifier, seed: int, deviation: float) -> None:
        self.net = net
        self.classifier = classifier
        self.random = torch.Generator().manual_seed(seed)
        generator = net.decoder
        w = generator.get_latent(torch.randn(4000, generator.style_dim, generator=self.random))
        ages = torch.cat([classifier.predict_age(self.render(part)) for part in w.split(100)])
        self.age_direction = regression_direction(w, ages)
        adults = w[(ages > 22) & (ages < 45)]
        self.start = adults[0].lerp(w.mean(0), 0.3)
        own = w[1] - w[2]
        own = own - (own @ self.age_direction) / self.age_direction.square().sum() * self.age_direction
        self.own_direction = deviation * own / own.norm() * (w - w.mean(0)).norm(dim=1).mean()
        self.pose_direction = self._pose_direction(w[:200])

    def render(self, codes: Tensor, randomize_noise: bool = False) -> Tensor:
        """Pictures of (B, style_dim) or (B, n_styles, style_dim) codes."""
        return self.net.decoder([codes], input_is_latent=True, randomize_noise=randomize_noise)[0].clamp(
            -1, 1
        )

    def _pose_direction(self, w: Tensor) -> Tensor:
        """How codes differ between pictures and their mirror images, along the main axis: head turns."""
        images = self.render(w)
        difference = self.net.encode(images.flip(3)) - self.net.encode(images)
        _, _, axes = torch.linalg.svd(difference.flatten(1), full_matrices=False)
        return axes[0].view(difference.shape[1:]) * difference.flatten(1).norm(dim=1).mean()

    def code(self, age: float) -> Tensor:
        """The (n_styles, style_dim) code at an age: the amount of ageing is found by bisection on the
        classifier.
        """
        own = self.own_direction * ((age - 20) / 55)
        low, high = -6.0, 6.0
        for _ in range(14):
            middle = (low + high) / 2
            w = (self.start + own + middle * self.age_direction)[None]
            if self.classifier.predict_age(self.render(w)).item() < age:
                low = middle
            else:
                high = middle
        return (self.start + own + low * self.age_direction).expand(self.net.n_styles, -1)

    def picture(self, age: float) -> Tensor:
        """One picture (3, S, S) at an age with its own pose, expression, light and noise."""
        code = self.code(age) + 0.35 * float(torch.randn((), generator=self.random)) * self.pose_direction
        other = self.net.decoder.get_latent(
            torch.randn(1, self.net.decoder.style_dim, generator=self.random)
        )[0]
        code = code.clone()
        code[4:7] = code[4:7].lerp(other, 0.08)
        image = self.render(code[None], randomize_noise=True)
        return self._light(image)[0]

    def _light(self, image: Tensor) -> Tensor:
        """Brightness, contrast, a light from one side, some blur and sensor noise."""
        draw = torch.rand(6, generator=self.random) * 2 - 1
        ramp = torch.linspace(-1, 1, image.shape[-1])
        image = image * (1 + 0.15 * draw[0]) + 0.12 * draw[1]
        image = image + 0.15 * draw[2] * ramp + 0.08 * draw[3] * ramp[:, None]
        image = image * (1 + 0.06 * draw[4] * torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1))
        if draw[5] > 0.5:
            small = F.interpolate(image, scale_factor=0.7, mode="bilinear", antialias=True)
            image = F.interpolate(small, image.shape[-2:], mode="bicubic")
        noise = torch.randn(image.shape, generator=self.random)
        return (image + 0.02 * noise).clamp(-1, 1)


def regression_direction(w: Tensor, ages: Tensor) -> Tensor:
    """The (style_dim,) step in w that goes with one standard deviation of age (least squares, slightly
    damped).
    """
    centred, target = w - w.mean(0), (ages - ages.mean()) / ages.std()
    gram = centred.t() @ centred
    gram += 1e-2 * gram.diagonal().mean() * torch.eye(len(gram))
    slope = torch.linalg.solve(gram, centred.t() @ target)
    return centred.t() @ (centred @ slope) / (centred @ slope).square().sum()


def spaced_ages(count: int, ages: tuple[int, int]) -> list[int]:
    """`count` whole ages evenly from the first to the last."""
    return [round(ages[0] + (ages[1] - ages[0]) * i / max(1, count - 1)) for i in range(count)]


@torch.no_grad()
def main() -> None:
    opts = parse_options()
    if opts.train < 2 or opts.held_out < 1:
        raise InputError("--train must be at least 2 and --held_out at least 1")
    net = pSp.from_checkpoint(load_checkpoint(opts.psp), opts.psp)
    classifier = load_age_classifier(opts.age_classifier, select_device("cpu"))
    person = Person(net, classifier, opts.seed, opts.deviation)
    sets = {
        "train": spaced_ages(opts.train, TRAIN_AGES),
        "held_out": spaced_ages(opts.held_out, HELD_OUT_AGES),
    }
    for name, ages in sets.items():
        folder = Path(opts.output_dir) / name
        for index, age in enumerate(tqdm(ages, name, unit="picture")):
            write_image(person.picture(age), folder / f"{age}_{index:02d}.png")
    print(f"wrote {sum(map(len, sets.values()))} pictures to {opts.output_dir}")


if __name__ == "__main__":
    run_command(main)
