"""Makes the fictional person of `make demo`: pictures `{age}_{idx}.png` along an ageing path of their own.

Two faces that the bundled generator invented are aged by the bundled SAM. The person is the first of them
and, the older they get, becomes more like the second: a way of ageing that the global model cannot know. Each
picture has its own pose, light, blur and noise; its age is the one that the age classifier sees in the code
behind it.
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
from models.auxiliary import AgeClassifier, IdentityNetwork, load_age_classifier, load_identity
from models.aging_model import resize
from models.psp import append_age, pSp
from models.stylegan2.model import Generator, StyleGAN2Config
from training.coach_stylegan2 import load_stylegan2_file
from utils.files.checkpoints import load_checkpoint
from models.loading import load_into
from utils.device import select_device
from utils.errors import InputError, run_command
from utils.pictures.writing import write_image

DEMO = REPOSITORY / "pretrained_models" / "demo"
TRAIN_AGES = (20, 60)
HELD_OUT_AGES = (20, 75)
CANDIDATES = 300  # faces among which the two are chosen
GRID = torch.arange(0.0, 101.0, 4.0)  # ages asked of SAM
TRUNCATION = 0.6  # keeps their codes near the mean, where the generator draws best
ADULT = (20, 35)  # years
EXPRESSION = 0.08  # share of another face in the styles that shape mouth and eyes
RELATIVE = (-0.1, 0.15)  # similarity of two faces that are different people of one kind


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sam", default=str(DEMO / "sam.pt"), metavar="FILE", help="what ages the faces")
    parser.add_argument(
        "--stylegan_weights", default=str(DEMO / "stylegan2.pt"), metavar="FILE", help="what invents them"
    )
    parser.add_argument("--age_classifier", default=str(DEMO / "age_classifier.pt"), metavar="FILE")
    parser.add_argument("--identity_network", default=str(DEMO / "identity.pt"), metavar="FILE")
    parser.add_argument("--output_dir", default=str(REPOSITORY / "assets" / "demo_person"), metavar="DIR")
    parser.add_argument("--train", type=int, default=38, help="training pictures")
    parser.add_argument("--held_out", type=int, default=14, help="held-out pictures")
    parser.add_argument(
        "--deviation", type=float, default=1.0, help="share of the second face at 75 years, 0 to 1"
    )
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--device", default="auto")
    return parser.parse_args(arguments)


class Person:
    """A face and the code it has at every age.

    Args:
        net: SAM.
        generator: invents the faces; SAM's encoder and generator then draw them anew.
        classifier: tells the age of a picture.
        identity: tells which faces survive encoding.
        seed: which person.
        deviation: share of the second face at 75 years.
    """

    def __init__(
        self,
        net: pSp,
        generator: Generator,
        classifier: AgeClassifier,
        identity: IdentityNetwork,
        seed: int,
        deviation: float,
    ) -> None:
        self.net = net
        self.classifier = classifier
        self.deviation = deviation
        self.random = torch.Generator().manual_seed(seed)
        w = generator.get_latent(torch.randn(CANDIDATES, generator.style_dim, generator=self.random))
        w = w.mean(0) + TRUNCATION * (w - w.mean(0))
        invented = (
            generator([part], input_is_latent=True, randomize_noise=False)[0] for part in w.split(100)
        )
        faces = [resize(part.clamp(-1, 1), net.input_size) for part in invented]
        self.face_codes = torch.cat([net.encode_photo(part) for part in faces])
        images = torch.cat([self.render(part) for part in self.face_codes.split(100)])
        ages = torch.cat([classifier.predict_age(part) for part in images.split(100)])
        adults = ((ages > ADULT[0]) & (ages < ADULT[1])).nonzero().flatten()
        if len(adults) < 2:
            raise InputError(
                f"the generator made no two faces of {ADULT[0]}-{ADULT[1]} years; train it longer"
            )
        first, second = best_encoded(net, identity, images[adults])
        paths = torch.stack([self._age_path(images[adults[i]]) for i in (first, second)])
        share = ((GRID - 20) / 55).clamp(0, 1.2)[:, None, None] * deviation
        self.codes = paths[0].lerp(paths[1], share)
        self.ages_seen = classifier.predict_age(self.render(self.codes)).cummax(0).values
        self.pose_direction = self._pose_direction(images[:200])

    def _age_path(self, image: Tensor) -> Tensor:
        """SAM's (ages, n_styles, style_dim) codes of one picture at the ages of the grid."""
        photos = image[None].expand(len(GRID), -1, -1, -1)
        return self.net.encode(append_age(self.net.face_pool(photos), GRID))

    def render(self, codes: Tensor, randomize_noise: bool = False) -> Tensor:
        """Pictures of (B, style_dim) or (B, n_styles, style_dim) codes."""
        return self.net.decoder([codes], input_is_latent=True, randomize_noise=randomize_noise)[0].clamp(
            -1, 1
        )

    def _pose_direction(self, images: Tensor) -> Tensor:
        """How codes differ between pictures and their mirror images, along the main axis: head turns."""
        small = self.net.face_pool(images)
        difference = self.net.encode_photo(small.flip(3)) - self.net.encode_photo(small)
        _, _, axes = torch.linalg.svd(difference.flatten(1), full_matrices=False)
        return axes[0].view(difference.shape[1:]) * difference.flatten(1).norm(dim=1).mean()

    def code(self, age: float) -> Tensor:
        """The (n_styles, style_dim) code in which the classifier sees this age."""
        above = int(torch.searchsorted(self.ages_seen, torch.tensor(float(age))).clamp(1, len(GRID) - 1))
        low, high = self.ages_seen[above - 1], self.ages_seen[above]
        part = ((age - low) / (high - low).clamp_min(1e-3)).clamp(0, 1)
        return self.codes[above - 1].lerp(self.codes[above], part)

    def picture(self, age: float) -> Tensor:
        """One picture (3, S, S) at an age with its own pose, expression, light and noise."""
        code = self.code(age) + 0.35 * float(torch.randn((), generator=self.random)) * self.pose_direction
        other = self.face_codes[int(torch.randint(CANDIDATES, (), generator=self.random))]
        code[4:7] = code[4:7].lerp(other[4:7], EXPRESSION)
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


def best_encoded(net: pSp, identity: IdentityNetwork, images: Tensor) -> tuple[int, int]:
    """Indices of the face that survives encoding best, and of the best one of a similar, other person."""
    faces = identity.embed(images)
    decoded = torch.cat([net.decode(net.encode_photo(net.face_pool(part))) for part in images.split(100)])
    clear = (faces * identity.embed(decoded.clamp(-1, 1))).sum(1)
    first = int(clear.argmax())
    similarity = faces @ faces[first]
    relative = (similarity > RELATIVE[0]) & (similarity < RELATIVE[1])
    second = int((clear + relative.float()).argsort()[-1])
    return first, second


def load_generator(path: str) -> Generator:
    """The averaged generator of a StyleGAN2 file.

    Raises:
        InputError: the file is of another kind or size.
    """
    checkpoint = load_stylegan2_file(path)
    config = StyleGAN2Config.from_dict(checkpoint["opts"]["architecture"]["generator"])
    generator = Generator.from_config(config)
    load_into(generator, checkpoint["g_ema"], path)
    return generator


def spaced_ages(count: int, ages: tuple[int, int]) -> list[int]:
    """`count` whole ages evenly from the first to the last."""
    return [round(ages[0] + (ages[1] - ages[0]) * i / max(1, count - 1)) for i in range(count)]


@torch.no_grad()
def main() -> None:
    opts = parse_options()
    if opts.train < 2 or opts.held_out < 1:
        raise InputError("--train must be at least 2 and --held_out at least 1")
    net = pSp.from_checkpoint(load_checkpoint(opts.sam), opts.sam)
    generator = load_generator(opts.stylegan_weights)
    classifier = load_age_classifier(opts.age_classifier, select_device("cpu"))
    identity = load_identity(opts.identity_network)
    person = Person(net, generator, classifier, identity, opts.seed, opts.deviation)
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
