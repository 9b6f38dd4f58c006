"""The one contract of everything that ages a face: photos and target ages in, pictures out.

    model = load_aging_model("sam.pt", device)
    aged = model.transform(images, target_ages)

What only some methods have (W+ codes, an adapter) lives on their own class.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.psp import append_age, pSp
from utils.checkpoints import checkpoint_kind, describe, load_checkpoint, load_into, subset
from utils.device import autocast, select_precision
from utils.errors import InputError

Ages: TypeAlias = Tensor | Sequence[float] | float
DECODER_PIXELS = 1 << 22  # pixels rendered at a time: 4 pictures of 1024, 256 of 128


class AgingModel(nn.Module, ABC):
    """A frozen model that changes the age of faces.

    Attributes:
        kind: the method, a key of ``utils.checkpoints.KINDS``.
        input_size: side in pixels of the photos the model works on; others are resized to it.
        output_size: side in pixels of the pictures it makes.
    """

    kind: str
    input_size: int
    output_size: int

    @abstractmethod
    def age_path(self, images: Tensor, ages: Ages) -> Tensor:
        """Each face at several ages; what does not depend on the age is computed once.

        Args:
            images: (B, 3, S, S) aligned faces in [-1, 1].
            ages: target ages in years: one, (A,) for all faces, or (B, A).

        Returns:
            (B, A, 3, R, R) pictures, float32, not clamped.
        """

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


class PSPAgingModel(AgingModel):
    """SAM and MyTimeMachine.

    Args:
        network: the loaded network.
        precision: dtype of the activations.
    """

    def __init__(self, network: pSp, precision: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.kind = network.kind
        self.input_size = network.input_size
        self.output_size = network.config.generator.size
        self.precision = precision
        network.decoder.compute_dtype = None if precision == torch.float32 else precision

    def _autocast(self) -> Any:
        return autocast(self.network.latent_avg.device, self.precision)

    @torch.no_grad()
    def codes(self, images: Tensor, ages: Ages) -> Tensor:
        """W+ codes (B, A, n_styles, style_dim) of each face at each age; arguments as in :meth:`age_path`."""
        network = self.network
        images = resize(images.to(network.latent_avg.device), self.input_size)
        grid = _age_grid(ages, images)
        years, count = grid.flatten(), grid.shape[1]
        with self._autocast():
            photo_codes = network.encode_photo(images).float()
            x = append_age(images.repeat_interleave(count, dim=0), years)
            codes = network.encoder(x).float() + photo_codes.repeat_interleave(count, dim=0)
        codes = network.personalize(codes, years)
        return codes.view(images.shape[0], count, *codes.shape[1:])

    @torch.no_grad()
    def photo_codes(self, images: Tensor) -> Tensor:
        """W+ codes (B, n_styles, style_dim) of the photos as they are: the prior's, at no target age."""
        network = self.network
        images = resize(images.to(network.latent_avg.device), self.input_size)
        with self._autocast():
            return network.encode_photo(images).float()

    @torch.no_grad()
    def random_codes(self, count: int, generator: torch.Generator) -> Tensor:
        """W+ codes (count, n_styles, style_dim) of faces that StyleGAN2 invents; drawn on the CPU."""
        decoder = self.network.decoder
        z = torch.randn(count, decoder.style_dim, generator=generator)
        w = decoder.get_latent(z.to(self.network.latent_avg))
        return w[:, None].expand(-1, self.network.n_styles, -1)

    @torch.no_grad()
    def render(self, codes: Tensor) -> Tensor:
        """Pictures (..., 3, R, R) of codes (..., n_styles, style_dim), with the network's fixed noise."""
        flat = codes.flatten(0, -3)
        at_once = max(1, DECODER_PIXELS // self.output_size**2)
        pictures = [self.network.decode(part) for part in flat.split(at_once)]
        return torch.cat(pictures).float().unflatten(0, codes.shape[:-2])

    def age_path(self, images: Tensor, ages: Ages) -> Tensor:
        return self.render(self.codes(images, ages))


def resize(images: Tensor, size: int) -> Tensor:
    """Resizes (B, 3, S, S) to the given side, bilinear with antialiasing as for pictures from files."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)


def _age_grid(ages: Ages, images: Tensor) -> Tensor:
    """Ages as a (B, A) float32 tensor on the device of the images."""
    years = torch.as_tensor(ages, dtype=torch.float32, device=images.device)
    if years.dim() < 2:
        years = years.reshape(1, -1)
    return years.expand(images.shape[0], -1)


def has_drifted_encoder(checkpoint: Mapping[str, Any]) -> bool:
    """Whether a file comes from a personalisation whose frozen encoders ran in train mode.

    The official program and our ``--recipe=official`` do that; their results need ``global_checkpoint``.
    """
    opts = checkpoint.get("opts") or {}
    ours = bool(opts.get("architecture")) and opts.get("recipe") != "official"
    return checkpoint_kind(checkpoint) == "mytimemachine" and not ours


def load_aging_model(
    checkpoint: str | Path,
    device: str | torch.device = "cpu",
    global_checkpoint: str | Path | None = None,
    mixed_precision: str = "no",
) -> AgingModel:
    """Loads whatever ages faces; the kind is read from the file.

    Args:
        checkpoint: a SAM or MyTimeMachine file, ours or official.
        device: where to compute.
        global_checkpoint: the SAM file that an official MyTimeMachine file was trained from: its ageing
            encoder replaces that of the personalised file, whose batch statistics have drifted. Files of
            ours need none.
        mixed_precision: ``no``, ``bf16``, or ``auto`` for bfloat16 where the processor is made for it.

    Raises:
        InputError: a file cannot be read, is of another kind, or the two do not belong together.
    """
    content = load_checkpoint(checkpoint)
    kind = checkpoint_kind(content)
    if kind not in _LOADERS:
        raise InputError(f"{checkpoint} is {describe(content)}, not an ageing model ({', '.join(_LOADERS)})")
    precision = select_precision(mixed_precision, torch.device(device))
    return _LOADERS[kind](content, str(checkpoint), global_checkpoint, precision).to(device)


def _load_psp(
    content: Mapping[str, Any], source: str, global_checkpoint: str | Path | None, precision: torch.dtype
) -> AgingModel:
    network = pSp.from_checkpoint(content, source)
    if network.config.input_nc != 4:
        raise InputError(f"{source} has an encoder without an age plane, so it cannot change an age")
    if global_checkpoint is not None:
        _take_encoder(network, global_checkpoint, source)
    return PSPAgingModel(network, precision)


def _take_encoder(network: pSp, global_checkpoint: str | Path, source: str) -> None:
    if network.blender is None:
        raise InputError(f"--global_checkpoint is for MyTimeMachine checkpoints; {source} is a SAM one")
    content = load_checkpoint(global_checkpoint)
    if checkpoint_kind(content) != "sam":
        found = describe(content)
        raise InputError(f"--global_checkpoint: {global_checkpoint} is {found}, not a SAM checkpoint")
    load_into(network.encoder, subset(content["state_dict"], "encoder."), str(global_checkpoint))


_LOADERS: dict[str, Callable[..., AgingModel]] = {"sam": _load_psp, "mytimemachine": _load_psp}
