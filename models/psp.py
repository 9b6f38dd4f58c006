"""pSp (Richardson et al. 2021) as SAM (Alaluf et al. 2021) and MyTimeMachine (Qi et al. 2024) use it.

``code = E(image, age) + P(image) + mean``, optionally personalised by the adapter; E is ``encoder``, P
``pretrained_encoder``, the mean ``latent_avg`` (SAM, equation 1).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.adapters import build_adapter
from models.blender import BlenderConfig
from models.encoders.age_encoder import AgeEncoderConfig, ResNet18AgeEncoder
from models.encoders.psp_encoders import EncoderConfig, GradualStyleEncoder
from models.psp_config import PSPConfig, usual_crop
from models.stylegan2.model import Generator, StyleGAN2Config
from models.stylegan2.styles import mix_styles
from utils.ages import scale_age
from utils.errors import InputError


def append_age(images: Tensor, years: Tensor | float) -> Tensor:
    """Appends the constant age plane that the ageing encoder reads.

    Args:
        images: (B, 3, H, W).
        years: (B,) ages, or one age for all.

    Returns:
        (B, 4, H, W).
    """
    batch, _, height, width = images.shape
    years = torch.as_tensor(years, dtype=images.dtype, device=images.device).expand(batch)
    plane = scale_age(years)[:, None, None, None].expand(batch, 1, height, width)
    return torch.cat([images, plane], dim=1)


class pSp(nn.Module):  # noqa: N801 (the official name)
    """Encoder, frozen prior encoder, generator and adapter with the official state-dict keys.

    The prior encoder takes no gradient and stays in eval mode; ``frozen_prior = False`` lets its norms follow
    ``train()`` as in the official training. ``latent_avg`` (n_styles, style_dim) is a buffer that is not in
    the state dict.

    Args:
        generator: sizes of the StyleGAN2 generator; they fix the number and length of the styles.
        encoder: sizes of both encoders; of the prior alone where there is an ``age_encoder``.
        input_nc, start_from_latent_avg, start_from_encoded_w_plus, blender, crop, age_encoder: see
            :class:`PSPConfig`.
    """

    def __init__(
        self,
        generator: StyleGAN2Config | None = None,
        encoder: EncoderConfig | None = None,
        input_nc: int = 4,
        start_from_latent_avg: bool = False,
        start_from_encoded_w_plus: bool = True,
        blender: BlenderConfig | None = None,
        crop: str | None = None,
        age_encoder: AgeEncoderConfig | None = None,
    ) -> None:
        super().__init__()
        generator, encoder = generator or StyleGAN2Config(), encoder or EncoderConfig()
        self.config = PSPConfig(
            generator,
            encoder,
            input_nc,
            start_from_latent_avg,
            start_from_encoded_w_plus,
            blender,
            crop or usual_crop(encoder),
            age_encoder,
        )
        n_styles, style_dim = generator.n_styles, generator.style_dim
        self.encoder: GradualStyleEncoder | ResNet18AgeEncoder = (
            ResNet18AgeEncoder.from_config(age_encoder, n_styles, style_dim)
            if age_encoder
            else GradualStyleEncoder.from_config(encoder, n_styles, style_dim, input_nc)
        )
        self.decoder = Generator.from_config(generator)
        self.blender = build_adapter(n_styles, style_dim, blender) if blender else None
        self.pretrained_encoder: GradualStyleEncoder | None = None
        self.frozen_prior = True
        if start_from_encoded_w_plus:
            self.pretrained_encoder = GradualStyleEncoder.from_config(encoder, n_styles, style_dim, 3)
            self.pretrained_encoder.eval().requires_grad_(False)
        self.register_buffer("latent_avg", torch.zeros(n_styles, style_dim), persistent=False)

    @classmethod
    def from_config(cls, config: PSPConfig) -> "pSp":
        """A network with random weights."""
        return cls(**{field: getattr(config, field) for field in config.__dataclass_fields__})

    # ---------------------------------------------------------------- properties

    @property
    def n_styles(self) -> int:
        """Styles in a code."""
        return self.config.generator.n_styles

    @property
    def input_size(self) -> int:
        """Side of the encoder's input in pixels."""
        return self.config.encoder.input_size

    @property
    def kind(self) -> str:
        """``mytimemachine``, ``sam`` or ``psp``: what a checkpoint of this network is."""
        if self.blender is not None:
            return "mytimemachine"
        return "sam" if self.config.start_from_encoded_w_plus or self.config.input_nc == 4 else "psp"

    @property
    def average_code(self) -> Tensor | None:
        """The code that W-norms are measured from, or None for an encoder that starts from nothing."""
        starts = self.config.start_from_latent_avg or self.config.start_from_encoded_w_plus
        return self.latent_avg if starts else None

    def train(self, mode: bool = True) -> "pSp":
        super().train(mode)
        if self.pretrained_encoder is not None and self.frozen_prior:
            self.pretrained_encoder.eval()
        return self

    def recompute_activations(self) -> None:
        """Saves memory in training: a backward pass computes encoder and large levels again."""
        self.encoder.checkpointing = True
        self.decoder.recompute_activations()

    # ---------------------------------------------------------------- parts of the forward pass

    def encode_photo(self, images: Tensor) -> Tensor:
        """The part of the code that does not depend on the age, without gradient.

        Args:
            images: (B, 3, S, S) photos; further channels are ignored.

        Returns:
            (B, n_styles, style_dim): prior code plus mean latent (SAM), the mean latent (pSp), or zeros.
        """
        if self.config.start_from_latent_avg:
            return self.latent_avg.expand(images.shape[0], -1, -1)
        if self.pretrained_encoder is None:
            return torch.zeros_like(self.latent_avg).expand(images.shape[0], -1, -1)
        with torch.no_grad():
            return self.pretrained_encoder(images[:, :3]) + self.latent_avg

    def encode(self, x: Tensor, photo_codes: Tensor | None = None) -> Tensor:
        """Codes (B, n_styles, style_dim) of the global model, before any adapter.

        Args:
            x: (B, input_nc, S, S) photos, with an age plane where the encoder has one (:func:`append_age`).
            photo_codes: ``encode_photo`` of the same photos, where it was computed before.
        """
        if photo_codes is None:
            photo_codes = self.encode_photo(x)
        return self.encoder(x) + photo_codes

    def personalize(self, codes: Tensor, years: Tensor) -> Tensor:
        """Passes codes (B, n_styles, style_dim) at ages (B,) in years through the adapter, if any."""
        return codes if self.blender is None else self._adapted(codes, scale_age(years))

    def _adapted(self, codes: Tensor, ages: Tensor) -> Tensor:
        """Codes after the adapter, which may leave the last styles alone; ages as the network sees them."""
        assert self.blender is not None and self.config.blender is not None
        fixed = self.config.blender.fixed_styles
        if not fixed:
            return self.blender(codes, ages)
        count = codes.shape[1] - fixed
        return torch.cat([self.blender(codes[:, :count], ages), codes[:, count:]], dim=1)

    def decode(
        self,
        codes: Tensor,
        randomize_noise: bool = False,
        resize: bool = False,
        noise: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Renders codes as (B, 3, R, R).

        Args:
            codes: (B, n_styles, style_dim).
            randomize_noise: fresh noise instead of the fixed planes.
            resize: average the picture to the encoder's input size.
            noise: one plane (1 or B, 1, side, side) a layer, in place of both.
        """
        image, _ = self.decoder([codes], input_is_latent=True, randomize_noise=randomize_noise, noise=noise)
        return self.face_pool(image) if resize else image

    def face_pool(self, images: Tensor) -> Tensor:
        """Averages (or repeats) pixels to the encoder's input size."""
        size = self.input_size
        return images if images.shape[-1] == size else F.adaptive_avg_pool2d(images, size)

    def forward(
        self,
        x: Tensor,
        resize: bool = True,
        latent_mask: Sequence[int] | None = None,
        input_code: bool = False,
        randomize_noise: bool = True,
        inject_latent: Tensor | None = None,
        return_latents: bool = False,
        alpha: float | None = None,
        input_is_full: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Encodes and renders, with the options of the official code.

        Args:
            x: (B, input_nc, S, S) photos with age plane; with ``input_code`` (B, style_dim) z, or W+ codes.
            resize: average the picture to the encoder's input size.
            latent_mask: styles (from 0) to take from ``inject_latent``, or to set to zero without it.
            input_code: ``x`` is a latent; it passes through the mapping network unless ``input_is_full``.
            randomize_noise: fresh noise instead of the fixed planes.
            inject_latent: (B or 1, n_styles, style_dim) codes to mix in.
            return_latents: return ``(images, codes)``.
            alpha: share of ``inject_latent`` in the masked styles; all of it if None.
            input_is_full: with ``input_code``, ``x`` is a W+ code.
        """
        codes = x
        if not input_code:
            codes = self.encode(x)
            if self.blender is not None:
                codes = self._adapted(codes, x[:, 3, 0, 0])
        if latent_mask is not None:
            codes = mix_styles(codes, latent_mask, inject_latent, alpha)
        images, latents = self.decoder(
            [codes],
            input_is_latent=not input_code or input_is_full,
            randomize_noise=randomize_noise,
            return_latents=True,
        )
        images = self.face_pool(images) if resize else images
        return (images, latents) if return_latents else images

    def set_latent_avg(self, latent: Tensor) -> None:
        """Sets the mean latent from (style_dim,), (1, style_dim) or (n_styles, style_dim); one is repeated.

        Raises:
            InputError: it has another shape.
        """
        latent = latent.detach().reshape(-1, latent.shape[-1])
        if latent.shape[-1] != self.latent_avg.shape[-1] or latent.shape[0] not in (1, self.n_styles):
            wanted, found = list(self.latent_avg.shape), list(latent.shape)
            raise InputError(f"the mean latent in the file is {found}, the network needs {wanted}")
        self.latent_avg.copy_(latent.expand_as(self.latent_avg))
