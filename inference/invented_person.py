"""A fictional person with an ageing path of their own, made by a generator and SAM.

Two faces that the generator invented are aged by SAM. The person is the first of them and, the older they
get, becomes more like the second: a way of ageing that the global model cannot know. Each picture has its own
pose, light, blur and noise; its age is the one that the age classifier sees in the code behind it.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from models.aging_model import load_aging_model
from models.architecture import checked_sizes
from models.auxiliary import AgeClassifier, IdentityNetwork, load_age_classifier, load_identity
from models.kinds import KINDS, what_is
from models.loading import built_from, described_by
from models.psp_aging import PSPAgingModel
from models.stylegan2.files import load_converted
from models.stylegan2.model import Generator, StyleGAN2Config
from options.invented_person_options import InventedPersonOptions
from utils.errors import InputError
from utils.pictures.tensors import resize
from utils.pictures.writing import write_image

TRAIN_AGES = (20, 60)
HELD_OUT_AGES = (20, 75)
CANDIDATES = 300  # faces among which the two are chosen
AT_ONCE = 100  # of them that a network computes
GRID = torch.arange(0.0, 101.0, 4.0)  # ages asked of SAM
TRUNCATION = 0.6  # keeps their codes near the mean, where the generator draws best
ADULT = (20, 35)  # years
EXPRESSION = 0.08  # share of another face in the styles that shape mouth and eyes
EXPRESSIVE = slice(4, 7)  # those styles
TURN = 0.35  # deviation of the head's pose, in units of the difference between a picture and its mirror image
RELATIVE = (-0.1, 0.15)  # similarity of two faces that are different people of one kind


class InventedPerson:
    """A face and the code it has at every age.

    Args:
        model: SAM; it draws the invented faces anew and ages them.
        generator: invents the faces.
        classifier: tells the age of a picture.
        identity: tells which faces survive encoding.
        seed: which person.
        deviation: share of the second face at 75 years.

    Raises:
        InputError: the generator makes too few young adults.
    """

    @torch.no_grad()
    def __init__(
        self,
        model: PSPAgingModel,
        generator: Generator,
        classifier: AgeClassifier,
        identity: IdentityNetwork,
        seed: int,
        deviation: float,
    ) -> None:
        self.model = model
        self.random = torch.Generator().manual_seed(seed)
        faces = invented_faces(generator, model.input_size, self.random)
        self.face_codes = torch.cat([model.photo_codes(part) for part in faces.split(AT_ONCE)])
        images = torch.cat([self.render(part) for part in self.face_codes.split(AT_ONCE)])
        ages = torch.cat([classifier.predict_age(part) for part in images.split(AT_ONCE)])
        adults = ((ages > ADULT[0]) & (ages < ADULT[1])).nonzero().flatten()
        if len(adults) < 2:
            raise InputError(
                f"the generator made no two faces of {ADULT[0]}-{ADULT[1]} years; train it longer"
            )
        first, second = best_encoded(model, identity, images[adults])
        paths = [self._age_path(images[adults[chosen]]) for chosen in (first, second)]
        share = ((GRID - 20) / 55).clamp(0, 1.2)[:, None, None] * deviation
        self.codes = paths[0].lerp(paths[1], share)
        self.ages_seen = classifier.predict_age(self.render(self.codes)).cummax(0).values
        self.pose_direction = self._pose_direction(images[:200])

    def render(self, codes: Tensor) -> Tensor:
        """Pictures (B, 3, R, R) of (B, n_styles, style_dim) codes with fixed noise."""
        return self.model.render(codes).clamp(-1, 1)

    def _age_path(self, image: Tensor) -> Tensor:
        """SAM's (ages, n_styles, style_dim) codes of one picture at the ages of the grid."""
        return self.model.codes(reduced(self.model, image[None]), GRID)[0]

    def _pose_direction(self, images: Tensor) -> Tensor:
        """How codes differ between pictures and their mirror images, along the main axis: head turns."""
        small = reduced(self.model, images)
        difference = self.model.photo_codes(small.flip(3)) - self.model.photo_codes(small)
        _, _, axes = torch.linalg.svd(difference.flatten(1), full_matrices=False)
        return axes[0].view(difference.shape[1:]) * difference.flatten(1).norm(dim=1).mean()

    def code(self, age: float) -> Tensor:
        """The (n_styles, style_dim) code in which the classifier sees this age."""
        above = int(torch.searchsorted(self.ages_seen, torch.tensor(float(age))).clamp(1, len(GRID) - 1))
        low, high = self.ages_seen[above - 1], self.ages_seen[above]
        part = ((age - low) / (high - low).clamp_min(1e-3)).clamp(0, 1)
        return self.codes[above - 1].lerp(self.codes[above], part)

    @torch.no_grad()
    def picture(self, age: float) -> Tensor:
        """One picture (3, R, R) at an age with its own pose, expression, light and noise."""
        turn = TURN * float(torch.randn((), generator=self.random))
        code = self.code(age) + turn * self.pose_direction
        other = self.face_codes[int(torch.randint(CANDIDATES, (), generator=self.random))]
        code[EXPRESSIVE] = code[EXPRESSIVE].lerp(other[EXPRESSIVE], EXPRESSION)
        image = self.model.network.decode(code[None], randomize_noise=True).clamp(-1, 1)
        return photographed(image, self.random)[0]


def invented_faces(generator: Generator, size: int, random: torch.Generator) -> Tensor:
    """Faces (N, 3, size, size) that a generator invents, near its mean."""
    w = generator.get_latent(torch.randn(CANDIDATES, generator.style_dim, generator=random))
    w = w.mean(0) + TRUNCATION * (w - w.mean(0))
    parts = [generator([part], input_is_latent=True, randomize_noise=False)[0] for part in w.split(AT_ONCE)]
    return torch.cat([resize(part.clamp(-1, 1), size) for part in parts])


def reduced(model: PSPAgingModel, images: Tensor) -> Tensor:
    """Pictures (B, 3, R, R) averaged down to what the model sees."""
    return model.network.face_pool(images)


def best_encoded(model: PSPAgingModel, identity: IdentityNetwork, images: Tensor) -> tuple[int, int]:
    """Indices of the face that survives encoding best, and of the best one of a similar, other person."""
    faces = identity.embed(images)
    codes = [model.photo_codes(reduced(model, part)) for part in images.split(AT_ONCE)]
    decoded = torch.cat([model.render(part) for part in codes])
    clear = (faces * identity.embed(decoded.clamp(-1, 1))).sum(1)
    first = int(clear.argmax())
    similarity = faces @ faces[first]
    relative = (similarity > RELATIVE[0]) & (similarity < RELATIVE[1])
    second = int((clear + relative.float()).argsort()[-1])
    return first, second


def photographed(image: Tensor, random: torch.Generator) -> Tensor:
    """A picture (1, 3, R, R) with brightness, contrast, a light from one side, some blur and sensor noise."""
    draw = torch.rand(6, generator=random) * 2 - 1
    ramp = torch.linspace(-1, 1, image.shape[-1])
    image = image * (1 + 0.15 * draw[0]) + 0.12 * draw[1]
    image = image + 0.15 * draw[2] * ramp + 0.08 * draw[3] * ramp[:, None]
    image = image * (1 + 0.06 * draw[4] * torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1))
    if draw[5] > 0.5:
        small = F.interpolate(image, scale_factor=0.7, mode="bilinear", antialias=True)
        image = F.interpolate(small, image.shape[-2:], mode="bicubic")
    noise = torch.randn(image.shape, generator=random)
    return (image + 0.02 * noise).clamp(-1, 1)


def invent_person(opts: InventedPersonOptions) -> InventedPerson:
    """Loads the networks of a command and invents its person.

    Raises:
        InputError: a file cannot be used, or the generator makes too few young adults.
    """
    model = load_aging_model(opts.sam)
    if not isinstance(model, PSPAgingModel):
        raise InputError(f"--sam: {opts.sam} is {KINDS[model.kind].title}, not a SAM checkpoint")
    torch.manual_seed(opts.seed)  # of the generator's noise; all else is drawn from the person's own numbers
    return InventedPerson(
        model,
        load_inventor(opts.stylegan_weights),
        load_age_classifier(opts.age_classifier),
        load_identity(opts.identity_network),
        opts.seed,
        opts.deviation,
    )


def load_inventor(path: str) -> Generator:
    """The averaged generator of a StyleGAN2 file of ours.

    Raises:
        InputError: the file is of another kind or size.
    """
    checkpoint = load_converted(path)
    architecture = (checkpoint.get("opts") or {}).get("architecture")
    if "g_ema" not in checkpoint or not architecture:
        raise InputError(
            f"{path} is {what_is(checkpoint)}; a file of --coach=stylegan2 is needed, which tells its sizes"
        )
    with described_by(path):
        sizes = checked_sizes(StyleGAN2Config, architecture["generator"])
        config = StyleGAN2Config.from_dict(sizes)
    return built_from(lambda: Generator.from_config(config), checkpoint["g_ema"], path)


def write_album(person: InventedPerson, ages: Sequence[int], folder: Path) -> None:
    """Writes a picture ``{age}_{index}.png`` at each age.

    Raises:
        InputError: a file cannot be written.
    """
    for index, age in enumerate(tqdm(ages, folder.name, unit="picture")):
        write_image(person.picture(age), folder / f"{age}_{index:02d}.png")


def spaced_ages(count: int, ages: tuple[int, int]) -> list[int]:
    """``count`` whole ages evenly from the first to the last."""
    return [round(ages[0] + (ages[1] - ages[0]) * i / max(1, count - 1)) for i in range(count)]
