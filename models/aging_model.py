"""The one contract of everything that ages a face: photos and target ages in, pictures out.

    model = load_aging_model("sam.pt", device)
    aged = model.transform(images, target_ages)

What only some methods have is a small interface of its own, for which a command asks by type.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from models.kinds import aging_loader, completed, what_is
from utils.age_groups import AgeGroups
from utils.device import select_precision
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint

# Rendered at a time: 4 pictures of 1024 or 256 of 128; a CPU is no faster with more than a quarter of that.
PIXELS_AT_A_TIME, PIXELS_ON_CPU = 1 << 22, 1 << 20
Ages: TypeAlias = Tensor | Sequence[float] | float


class AgingModel(nn.Module, ABC):
    """A frozen model that changes the age of faces.

    Attributes:
        kind: the method, a key of ``models.kinds.KINDS``.
        input_size: side in pixels of the photos the model works on; others are resized to it.
        output_size: side in pixels of the pictures it makes.
        crop: how its faces are cut, a key of ``utils.faces.alignment.CROPS``.
        fine_tuned: whether it was trained on one person's photos, without an adapter.
    """

    fine_tuned = False
    kind: str
    input_size: int
    output_size: int
    crop: str

    @abstractmethod
    def age_path(self, images: Tensor, ages: Ages) -> Tensor:
        """Each face at several ages; what does not depend on the age is computed once.

        Args:
            images: (B, 3, S, S) aligned faces in [-1, 1].
            ages: target ages in years: one, (A,) for all faces, or (B, A).

        Returns:
            (B, A, 3, R, R) pictures, float32, not clamped.
        """

    def encode(self, images: Tensor) -> Any:
        """What of faces (B, 3, S, S) does not depend on the age, see :meth:`age_encoded`; here themselves."""
        return images

    def age_encoded(self, encoded: Any, ages: Ages) -> Tensor:
        """What :meth:`age_path` gives for the same ages, for faces that are asked for age after age.

        Args:
            encoded: of :meth:`encode`.
            ages: as there.
        """
        return self.age_path(encoded, ages)

    def transform(self, images: Tensor, target_ages: Ages) -> Tensor:
        """Each face at one age.

        Args:
            images: (B, 3, S, S) aligned faces in [-1, 1].
            target_ages: (B,) years, or one age for all.

        Returns:
            (B, 3, R, R) pictures, float32, not clamped.
        """
        ages = torch.as_tensor(target_ages, dtype=torch.float32).flatten()
        return self.age_path(images, ages.expand(images.shape[0])[:, None])[:, 0]

    forward = transform

    def networks(self) -> list[nn.Module]:
        """Networks that are called for whole passes, see ``utils.compilation.compile_networks``."""
        return []


class StyleModel(AgingModel):
    """An ageing model that goes through W+ codes (..., n_styles, style_dim) of a StyleGAN2."""

    @abstractmethod
    def codes(self, images: Tensor, ages: Ages) -> Tensor:
        """W+ codes (B, A, n_styles, style_dim) of each face at each age; arguments as in :meth:`age_path`."""

    @abstractmethod
    def photo_codes(self, images: Tensor) -> Tensor:
        """W+ codes (B, n_styles, style_dim) of the photos as they are, at no target age."""

    @abstractmethod
    def random_codes(self, count: int, generator: torch.Generator) -> Tensor:
        """W+ codes (count, n_styles, style_dim) of faces that the generator invents; drawn on the CPU."""

    @abstractmethod
    def synthesize(self, codes: Tensor) -> Tensor:
        """Pictures (N, 3, R, R) of codes (N, n_styles, style_dim) with fixed noise; differentiable."""

    @abstractmethod
    def modulations(self) -> list[Tensor]:
        """For each style the weights (channels, style_dim) with which the generator's layer reads it."""

    @torch.no_grad()
    def render(self, codes: Tensor) -> Tensor:
        """Pictures (..., 3, R, R) of codes (..., n_styles, style_dim), float32, with fixed noise."""
        pixels = PIXELS_ON_CPU if codes.device.type == "cpu" else PIXELS_AT_A_TIME
        at_once = max(1, pixels // self.output_size**2)
        pictures = [self.synthesize(part).float() for part in codes.flatten(0, -3).split(at_once)]
        return torch.cat(pictures).unflatten(0, codes.shape[:-2])

    def age_path(self, images: Tensor, ages: Ages) -> Tensor:
        return self.render(self.codes(images, ages))


class HasAdapter(ABC):
    """A personalised model whose adapter can be switched off, which leaves the global one."""

    @abstractmethod
    def switch_off_adapter(self) -> None:
        """Ages like the global model from now on."""


class KeepsBackground(ABC):
    """A model that changes the face alone, in whole photos too."""

    @abstractmethod
    def face_masks(self, images: Tensor) -> Tensor | None:
        """Where faces (B, 3, S, S) may change: (B, 1, R, R) in [0, 1]; None for everywhere."""


class TakesGlobalEncoder(ABC):
    """A personalised model that may need the encoder of the global file it was trained from.

    Attributes:
        encoder_has_drifted: whether its own copy changed while it was trained, so that results differ.
        global_checkpoint: the global file that it says it was trained from, if it tells; None stands for the
            official one.
    """

    encoder_has_drifted: bool
    global_checkpoint: str | None

    @abstractmethod
    def take_global_encoder(self, path: str | Path) -> None:
        """Replaces the model's encoder by that of a global file.

        Raises:
            InputError: the file cannot be read, is of another kind, or does not belong to this model.
        """


def age_grid(ages: Ages, images: Tensor) -> Tensor:
    """Ages as a (B, A) float32 tensor on the device of the images."""
    years = torch.as_tensor(ages, dtype=torch.float32, device=images.device)
    if years.dim() < 2:
        years = years.reshape(1, -1)
    return years.expand(images.shape[0], -1)


def group_shares(groups: AgeGroups, ages: Tensor) -> Tensor:
    """Shares of age groups (N, groups) in ages (N,) in years: between two centres both have one."""
    return torch.tensor([groups.weights(age) for age in ages.tolist()], device=ages.device)


def load_aging_model(
    checkpoint: str | Path,
    device: str | torch.device = "cpu",
    global_checkpoint: str | Path | None = None,
    mixed_precision: str = "no",
    encoder_path: str | Path | None = None,
) -> AgingModel:
    """Loads whatever ages faces; the kind is read from the file.

    Args:
        checkpoint: a file of any method, ours or official.
        device: where to compute.
        global_checkpoint: the file that a personalised one was trained from: its encoder replaces that of the
            personalised file, which drifts in the official training. Files of ours need none.
        mixed_precision: ``no``, ``bf16``, or ``auto`` for bfloat16 where the processor is made for it.
        encoder_path: the file of the encoder, where ``checkpoint`` is a StyleGAN2 alone.

    Raises:
        InputError: a file cannot be read, is of another kind, or the two do not belong together.
    """
    content = load_checkpoint(checkpoint)
    if encoder_path is not None:
        content = completed(content, str(checkpoint), load_checkpoint(encoder_path), str(encoder_path))
    load = aging_loader(content, str(checkpoint))
    precision = select_precision(mixed_precision, torch.device(device))
    model: AgingModel = load(content, str(checkpoint), precision)
    if global_checkpoint is not None:
        if not isinstance(model, TakesGlobalEncoder):
            raise InputError(
                f"--global_checkpoint is for MyTimeMachine checkpoints; {checkpoint} is {what_is(content)}"
            )
        model.take_global_encoder(global_checkpoint)
    return model.to(device)
