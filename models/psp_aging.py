"""SAM and MyTimeMachine behind the contract of ageing models."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.aging_model import Ages, HasAdapter, StyleModel, TakesGlobalEncoder, age_grid
from models.kinds import checkpoint_kind, what_is
from models.loading import load_into, subset, weights_of
from models.psp import append_age, pSp
from models.psp_files import load_psp
from models.stylegan2.directions import modulations
from utils.device import autocast
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint
from utils.pictures.tensors import resize


class PSPAgingModel(StyleModel):
    """SAM, or a network that has become one.

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
        self.crop = network.config.crop
        self.precision = precision
        network.decoder.compute_dtype = None if precision == torch.float32 else precision

    def _autocast(self) -> AbstractContextManager:
        return autocast(self.network.latent_avg.device, self.precision)

    def _prepared(self, images: Tensor) -> Tensor:
        return resize(images.to(self.network.latent_avg.device), self.input_size)

    @torch.no_grad()
    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The photos (B, 3, S, S) as the encoders see them, and their codes (B, n_styles, style_dim)."""
        images = self._prepared(images)
        with self._autocast():
            return images, self.network.encode_photo(images).float()

    def age_encoded(self, encoded: tuple[Tensor, Tensor], ages: Ages) -> Tensor:
        return self.render(self._aged_codes(*encoded, ages))

    def codes(self, images: Tensor, ages: Ages) -> Tensor:
        return self._aged_codes(*self.encode(images), ages)

    @torch.no_grad()
    def _aged_codes(self, images: Tensor, photo_codes: Tensor, ages: Ages) -> Tensor:
        network = self.network
        grid = age_grid(ages, images)
        years, count = grid.flatten(), grid.shape[1]
        with self._autocast():
            x = append_age(images.repeat_interleave(count, dim=0), years)
            codes = network.encoder(x).float() + photo_codes.repeat_interleave(count, dim=0)
        codes = network.personalize(codes, years)
        return codes.view(images.shape[0], count, *codes.shape[1:])

    def photo_codes(self, images: Tensor) -> Tensor:
        return self.encode(images)[1]

    @torch.no_grad()
    def random_codes(self, count: int, generator: torch.Generator) -> Tensor:
        decoder = self.network.decoder
        z = torch.randn(count, decoder.style_dim, generator=generator)
        w = decoder.get_latent(z.to(self.network.latent_avg))
        return w[:, None].expand(-1, self.network.n_styles, -1)

    def synthesize(self, codes: Tensor) -> Tensor:
        return self.network.decode(codes)

    def modulations(self) -> list[Tensor]:
        return modulations(self.network.decoder)

    def networks(self) -> list[nn.Module]:
        network = self.network
        return [
            part
            for part in (network.encoder, network.pretrained_encoder, network.decoder)
            if part is not None
        ]


class PersonalizedModel(PSPAgingModel, HasAdapter, TakesGlobalEncoder):
    """MyTimeMachine.

    Args:
        network: the loaded network, with its adapter.
        precision: dtype of the activations.
        opts: options of its training, as its file records them.
    """

    def __init__(
        self, network: pSp, precision: torch.dtype = torch.float32, opts: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(network, precision)
        opts = opts or {}
        ours = bool(opts.get("architecture"))
        # The official program and our --recipe=official run the frozen encoders in train mode, in which their
        # batch statistics move.
        self.encoder_has_drifted = not ours or opts.get("recipe") == "official"
        self.global_checkpoint = opts.get("checkpoint_path") if ours else None

    def switch_off_adapter(self) -> None:
        self.network.blender = None

    def take_global_encoder(self, path: str | Path) -> None:
        content = load_checkpoint(path)
        if checkpoint_kind(content) != "sam":
            raise InputError(f"--global_checkpoint: {path} is {what_is(content)}, not a SAM checkpoint")
        load_into(self.network.encoder, subset(weights_of(content, str(path)), "encoder."), str(path))


def load_psp_aging(content: Mapping[str, Any], source: str, precision: torch.dtype) -> PSPAgingModel:
    """Makes the ageing model of a SAM or MyTimeMachine file.

    Raises:
        InputError: the file does not fit, or its encoder reads no age.
    """
    network = load_psp(content, source)
    if network.config.input_nc != 4:
        raise InputError(f"{source} has an encoder without an age plane, so it cannot change an age")
    if network.blender is None:
        model = PSPAgingModel(network, precision)
        model.fine_tuned = (content.get("opts") or {}).get("personalize") == "encoder"
        return model
    return PersonalizedModel(network, precision, content.get("opts"))
