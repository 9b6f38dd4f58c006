"""Directed generation: a face generated again in another age group, behind the contract of ageing models.

An encoder recovers the latent of a face; a conditional StyleGAN2 renders it as a member of any age group.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from models.aging_model import Ages, StyleModel, age_grid, group_shares, repeated
from models.architecture import checked_sizes
from models.kinds import checkpoint_kind, what_is
from models.latent_encoder import LatentEncoder
from models.loading import built_from, described_by, weights_of
from models.stylegan2.directions import modulations
from models.stylegan2.layout import averaged_generator, rosinality_config
from models.stylegan2.model import Generator
from models.stylegan2.nvidia import from_nvidia
from utils.age_groups import AgeGroups, parse_age_groups
from utils.device import autocast
from utils.errors import InputError, naming
from utils.exporting import exporting
from utils.faces.alignment import CROPS
from utils.files.checkpoints import Checkpoint
from utils.pictures.tensors import resize

KIND = "directed"
MEAN_OF = 512  # random latents behind the mean code of a class


class DirectedModel(StyleModel):
    """A conditional generator and the encoder into its latent space.

    Ages between the centres of two groups are mixtures of the two classes before their embedding, so the age
    is continuous.

    Args:
        generator: conditional on the age group.
        encoder: of its latents.
        groups: one for each class.
        crop: how its faces are cut.
        precision: dtype of the activations.

    Raises:
        ValueError: generator, encoder and groups do not belong together.
    """

    kind = KIND

    def __init__(
        self,
        generator: Generator,
        encoder: LatentEncoder,
        groups: AgeGroups,
        crop: str = "ffhq",
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if generator.c_dim != len(groups):
            raise ValueError(f"{len(groups)} age groups for a generator of {generator.c_dim} classes")
        if encoder.shape[-1] != generator.style_dim or encoder.shape[:-1] not in ((), (generator.n_latent,)):
            raise ValueError(
                f"an encoder of latents {list(encoder.shape)} for a generator of {generator.n_latent} styles "
                f"of {generator.style_dim} numbers"
            )
        self.generator = generator.eval().requires_grad_(False)
        self.encoder = encoder.eval().requires_grad_(False)
        self.groups = groups
        self.input_size = self.output_size = generator.size
        self.crop = crop
        self.compute_in(precision)
        fixed = torch.Generator().manual_seed(0)
        self.register_buffer("_fixed_z", torch.randn(MEAN_OF, generator.style_dim, generator=fixed))

    _fixed_z: Tensor

    def compute_in(self, precision: torch.dtype) -> None:
        super().compute_in(precision)
        self.generator.compute_dtype = None if precision == torch.float32 else precision

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        return self.identity(images)

    @torch.no_grad()
    def age_encoded(self, encoded: Tensor, ages: Ages) -> Tensor:
        return self.render(self.at_ages(encoded, ages))

    def identity(self, images: Tensor) -> Tensor:
        """Latents (B, ...) of faces (B, 3, S, S), the same at every age."""
        with autocast(self._fixed_z.device, self.precision):
            return self.encoder(images.to(self._fixed_z.device)).float()

    def at_ages(self, latents: Tensor, ages: Ages) -> Tensor:
        """W+ codes (B, A, n_styles, style_dim) of latents (B, ...) of the encoder; differentiable in these.

        Args:
            latents: of B faces.
            ages: years: one, (A,) for all faces, or (B, A).
        """
        grid = age_grid(ages, latents)
        classes = group_shares(self.groups, grid.flatten()).unflatten(0, grid.shape)
        if self.encoder.latent_space == "z":
            z = latents[:, None].expand(-1, grid.shape[1], -1).flatten(0, 1)
            codes = self.generator.get_latent(z, classes.flatten(0, 1)).unflatten(0, grid.shape)
        else:
            codes = self._class_means(classes)
            if self.encoder.latent_space == "w+":
                return codes[:, :, None] + latents[:, None]
            codes = codes + latents[:, None]
        return codes[:, :, None].expand(-1, -1, self.generator.n_latent, -1)

    def class_means(self) -> Tensor:
        """The mean code of each class, (classes, style_dim)."""
        return self._class_means(torch.eye(len(self.groups), device=self._fixed_z.device))

    def output_picture(self, images: Tensor) -> Tensor:
        """Faces (B, 3, S, S) at the size of the pictures that it makes."""
        return resize(images, self.output_size)

    def _class_means(self, classes: Tensor) -> Tensor:
        """Mean codes (..., style_dim) of classes (..., classes); each distinct one is computed once."""
        rows = classes.flatten(0, -2)
        if exporting():  # how many are distinct is not known yet
            return means_of_classes(self.generator, rows, self._fixed_z).unflatten(0, classes.shape[:-1])
        distinct, places = rows.unique(dim=0, return_inverse=True)
        means = means_of_classes(self.generator, distinct, self._fixed_z)
        return means[places].unflatten(0, classes.shape[:-1])

    @torch.no_grad()
    def codes(self, images: Tensor, ages: Ages) -> Tensor:
        return self.at_ages(self.identity(images), ages)

    @torch.no_grad()
    def photo_codes(self, images: Tensor) -> Tensor:
        return self.at_ages(self.identity(images), self.groups.centres).mean(1)

    @torch.no_grad()
    def random_codes(self, count: int, generator: torch.Generator) -> Tensor:
        z = torch.randn(count, self.generator.style_dim, generator=generator).to(self._fixed_z)
        numbers = torch.randint(self.generator.c_dim, (count,), generator=generator)
        labels = torch.eye(self.generator.c_dim)[numbers].to(self._fixed_z)
        w = self.generator.get_latent(z, labels)
        return w[:, None].expand(-1, self.generator.n_latent, -1)

    def synthesize(self, codes: Tensor) -> Tensor:
        pictures, _ = self.generator([codes], input_is_latent=True, randomize_noise=False)
        return pictures

    def modulations(self) -> list[Tensor]:
        return modulations(self.generator)

    def networks(self) -> list[nn.Module]:
        return [self.encoder, self.generator]


def means_of_classes(generator: Generator, shares: Tensor, z: Tensor) -> Tensor:
    """The mean w (M, style_dim) of latents z (N, style_dim) in each of M mixtures (M, classes)."""
    everywhere = z.expand(shares.shape[0], -1, -1).flatten(0, 1)
    w = generator.get_latent(everywhere, repeated(shares, len(z)))
    return w.unflatten(0, (-1, len(z))).mean(1)


# ---------------------------------------------------------------- files


def load_directed(content: Mapping[str, Any], source: str, precision: torch.dtype) -> DirectedModel:
    """Makes the ageing model of a file that holds generator and encoder.

    Raises:
        InputError: the file does not fit, or its parts do not belong together.
    """
    generator, groups = load_conditional_generator(content, source)
    part = content.get("encoder")
    if not isinstance(part, Mapping):
        raise InputError(f"{source} holds no encoder; give one with --encoder_path")
    with described_by(source):
        sizes = checked_sizes(LatentEncoder, part["architecture"])
    encoder = built_from(partial(LatentEncoder, **sizes), weights_of(part, source), f"{source}, encoder")
    crop = content.get("crop", "ffhq")
    if not isinstance(crop, str) or crop not in CROPS:
        raise InputError(f"{source} needs faces cut as {str(crop)[:40]!r}, which is not known here")
    with described_by(source):
        return DirectedModel(generator, encoder, groups, crop, precision)


def load_conditional_generator(content: Mapping[str, Any], source: str) -> tuple[Generator, AgeGroups]:
    """The averaged generator of a file and the age groups that are its classes.

    Raises:
        InputError: it is unconditional, or nothing in the file says which ages its classes have.
    """
    c_dim = rosinality_config(content, source).c_dim
    if not c_dim:
        raise InputError(
            f"{source} is an unconditional StyleGAN2; directed generation needs one of age groups"
        )
    return averaged_generator(content, source), groups_of_classes(content, c_dim, source)


def groups_of_classes(content: Mapping[str, Any], c_dim: int, source: str) -> AgeGroups:
    """The age groups that are the classes of a StyleGAN2.

    Args:
        content: of its file.
        c_dim: how many classes its networks have.
        source: name of the file.

    Raises:
        InputError: the file does not say it.
    """
    classes = content.get("classes")
    text = classes.get("age_groups") if isinstance(classes, Mapping) else None
    if not isinstance(text, str):
        raise InputError(
            f"{source} does not say which ages its {c_dim} classes have; name them with "
            "scripts/convert_weights.py --age_groups"
        )
    with naming(source):
        groups = parse_age_groups(text)
        if len(groups) != c_dim:
            raise InputError(f"{len(groups)} age groups for a network of {c_dim} classes")
    return groups


def paired(generator: Mapping[str, Any], source: str, encoder: Mapping[str, Any], path: str) -> Checkpoint:
    """The content of one file from that of a conditional StyleGAN2 and that of an encoder.

    Args:
        generator: content of a StyleGAN2 file of any layout, or of a pair whose encoder is replaced.
        source: its name.
        encoder: content of an encoder's file, or of a pair.
        path: its name.

    Raises:
        InputError: one of them is another kind of file.
    """
    kind = checkpoint_kind(generator)
    if kind == "stylegan2_nvidia":
        generator = {**from_nvidia(generator, source), "classes": generator.get("classes")}
    elif kind not in ("stylegan2", KIND):
        raise InputError(f"{source} is {what_is(generator)}, not a StyleGAN2; --encoder_path goes with one")
    if checkpoint_kind(encoder) != KIND or not isinstance(encoder.get("encoder"), Mapping):
        raise InputError(f"--encoder_path={path} is {what_is(encoder)}, not the encoder of a StyleGAN2")
    known = {name: encoder[name] for name in ("classes", "crop") if name in encoder}
    own = {name: value for name, value in generator.items() if value is not None}
    return {**known, **own, "kind": KIND, "encoder": encoder["encoder"]}
