"""pSp (Richardson et al. 2021) as SAM (Alaluf et al. 2021) and MyTimeMachine (Qi et al. 2024) use it.

``code = E(image, age) + P(image) + mean``, optionally personalised by the adapter; E is ``encoder``, P
``pretrained_encoder``, the mean ``latent_avg``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blender import Blender, BlenderConfig
from models.encoders.psp_encoders import EncoderConfig, GradualStyleEncoder
from models.psp_config import PSPConfig
from models.stylegan2.model import Generator, StyleGAN2Config
from utils.checkpoints import (
    Checkpoint,
    SkipInit,
    checkpoint_kind,
    describe,
    halved,
    load_checkpoint,
    load_into,
    subset,
)
from utils.errors import InputError

PARTS = ("encoder.", "pretrained_encoder.", "decoder.", "blender.")
# What the official test scripts read from `opts` of any file.
OFFICIAL_OPTS = {"label_nc": 0, "checkpoint_path": None, "device": "cuda", "dataset_type": "ffhq_aging"}


def scale_age(years: Tensor) -> Tensor:
    """Ages as the networks see them: years divided by 100."""
    return years / 100


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
        encoder: sizes of both encoders.
        input_nc, start_from_latent_avg, start_from_encoded_w_plus, blender: see :class:`PSPConfig`.
    """

    def __init__(
        self,
        generator: StyleGAN2Config | None = None,
        encoder: EncoderConfig | None = None,
        input_nc: int = 4,
        start_from_latent_avg: bool = False,
        start_from_encoded_w_plus: bool = True,
        blender: BlenderConfig | None = None,
    ) -> None:
        super().__init__()
        generator, encoder = generator or StyleGAN2Config(), encoder or EncoderConfig()
        self.config = PSPConfig(
            generator, encoder, input_nc, start_from_latent_avg, start_from_encoded_w_plus, blender
        )
        n_styles, style_dim = generator.n_styles, generator.style_dim
        self.encoder = GradualStyleEncoder.from_config(encoder, n_styles, style_dim, input_nc)
        self.decoder = Generator.from_config(generator)
        self.blender = Blender.from_config(blender, n_styles, style_dim) if blender else None
        self.pretrained_encoder: GradualStyleEncoder | None = None
        self.frozen_prior = True
        if start_from_encoded_w_plus:
            self.pretrained_encoder = GradualStyleEncoder.from_config(encoder, n_styles, style_dim, 3)
            self.pretrained_encoder.eval().requires_grad_(False)
        self.register_buffer("latent_avg", torch.zeros(n_styles, style_dim), persistent=False)

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

    def train(self, mode: bool = True) -> "pSp":
        super().train(mode)
        if self.pretrained_encoder is not None and self.frozen_prior:
            self.pretrained_encoder.eval()
        return self

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
        return codes if self.blender is None else self.blender(codes, scale_age(years))

    def decode(self, codes: Tensor, randomize_noise: bool = False, resize: bool = False) -> Tensor:
        """Renders codes as (B, 3, R, R); ``resize`` averages the picture to the encoder's input size."""
        image, _ = self.decoder([codes], input_is_latent=True, randomize_noise=randomize_noise)
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
                codes = self.blender(codes, x[:, 3, 0, 0])
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

    # ---------------------------------------------------------------- starting weights

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

    def load_generator(self, checkpoint: Mapping[str, Any], source: str) -> None:
        """Takes the averaged generator and the mean latent of a StyleGAN2 checkpoint.

        A file without a mean latent (of a training script) gets the mean of 10,000 mapped latents.

        Raises:
            InputError: it is another kind of file, or a generator of another size.
        """
        if checkpoint_kind(checkpoint) != "stylegan2":
            raise InputError(f"{source} is {describe(checkpoint)}, not a StyleGAN2 checkpoint")
        state = checkpoint.get("g_ema") or checkpoint.get("g") or checkpoint["state_dict"]
        load_into(self.decoder, state, source)
        latent = checkpoint.get("latent_avg")
        if latent is None:
            latent = self.decoder.average_latent()
        self.set_latent_avg(latent)

    def load_prior(self, checkpoint: Mapping[str, Any], source: str) -> None:
        """Takes the encoder of a pSp checkpoint as the frozen prior.

        Raises:
            InputError: it is another kind of file, of another size, or this network has no prior.
        """
        if self.pretrained_encoder is None:
            raise InputError(f"{source}: a pretrained encoder is only used with --start_from_encoded_w_plus")
        if checkpoint_kind(checkpoint) != "psp":
            raise InputError(f"{source} is {describe(checkpoint)}, not the checkpoint of a pSp encoder")
        load_into(self.pretrained_encoder, subset(checkpoint["state_dict"], "encoder."), source)

    def load_face_network(self, state: Mapping[str, Tensor], source: str, official: bool = False) -> None:
        """Starts the encoder's body from a face network (``model_ir_se50.pth``), as pSp and SAM do.

        The filters of an age plane start at zero, or from unit normal numbers as in the official code.

        Raises:
            InputError: its layers are of another shape.
        """
        body = {key: value for key, value in state.items() if key.startswith(("body.", "input_layer."))}
        if not body:
            raise InputError(
                f"{source} has no layers of IR-SE50, from which the encoder starts; give model_ir_se50.pth "
                "or choose another --encoder_start"
            )
        first = body.get("input_layer.0.weight")
        extra = self.config.input_nc - 3
        if first is not None and extra > 0:
            shape = (first.shape[0], extra, *first.shape[2:])
            plane = torch.randn(shape) if official else torch.zeros(shape)
            body["input_layer.0.weight"] = torch.cat([first, plane.to(first.dtype)], dim=1)
        load_into(self.encoder, body, source, strict=False)

    def start_encoder_from_prior(self) -> None:
        """Starts the ageing encoder as a copy of the prior that adds nothing yet: its last layers are zero.

        Not in the official code, which starts from a face recognition network and random heads.
        """
        if self.pretrained_encoder is None:
            raise ValueError("the network has no prior encoder")
        state = {key: value.clone() for key, value in self.pretrained_encoder.state_dict().items()}
        first = self.encoder.input_layer[0].weight
        plane = 0.1 * torch.randn_like(first[:, 3:]) * first[:, :3].std()
        state["input_layer.0.weight"] = torch.cat([state["input_layer.0.weight"], plane], dim=1).detach()
        load_into(self.encoder, state, "the prior encoder")
        for head in self.encoder.styles:
            head.add_nothing()

    def grow_encoder(self, small: "pSp") -> None:
        """Takes the encoder of a network with a smaller generator; the heads of new styles add nothing yet.

        The mean latent goes on with its last style.
        """
        load_into(self.encoder, small.encoder.state_dict(), "the smaller network", strict=False)
        for head in self.encoder.styles[small.n_styles :]:
            head.add_nothing()
        further = small.latent_avg[-1:].expand(self.n_styles - small.n_styles, -1)
        self.set_latent_avg(torch.cat([small.latent_avg, further]))

    # ---------------------------------------------------------------- files

    def to_checkpoint(self, opts: Mapping[str, Any] | None = None, half: bool = False) -> Checkpoint:
        """The content of an official file: ``state_dict``, ``opts``, ``latent_avg`` for every style.

        Args:
            opts: options of the training; what the official scripts need is added, and ``architecture``.
            half: store weights in half precision (vectors such as biases and norms stay float32).
        """
        state = {key: value.detach().cpu() for key, value in self.state_dict().items()}
        merged = {
            **OFFICIAL_OPTS,
            **{key: _storable(value) for key, value in (opts or {}).items()},
            "output_size": self.config.generator.size,
            "input_nc": self.config.input_nc,
            "start_from_latent_avg": self.config.start_from_latent_avg,
            "start_from_encoded_w_plus": self.config.start_from_encoded_w_plus,
            "architecture": self.config.to_dict(),
        }
        state = halved(state) if half else state
        return {"state_dict": state, "opts": merged, "latent_avg": self.latent_avg.detach().cpu().clone()}

    def load_checkpoint_content(self, checkpoint: Mapping[str, Any], source: str) -> None:
        """Copies weights and mean latent of a checkpoint with this network's own configuration.

        Raises:
            InputError: a layer is missing or of another shape, or there is no mean latent.
        """
        state = {key: value for key, value in checkpoint["state_dict"].items() if key.startswith(PARTS)}
        load_into(self, state, source)
        if checkpoint.get("latent_avg") is not None:
            self.set_latent_avg(checkpoint["latent_avg"])
        elif self.config.start_from_latent_avg or self.config.start_from_encoded_w_plus:
            raise InputError(f"{source} holds no latent_avg, without which its codes mean nothing")

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Mapping[str, Any], source: str, blender: BlenderConfig | None = None
    ) -> "pSp":
        """Builds the network that a checkpoint describes and loads it; in eval mode, encoders channels-last.

        Args:
            blender: adds a fresh adapter to the network of a SAM checkpoint; ignored where the file has one.

        Raises:
            InputError: the file is of another kind, or its layers do not fit.
        """
        config = PSPConfig.from_checkpoint(checkpoint, source)
        with SkipInit():
            model = cls.from_config(config)
        model.load_checkpoint_content(checkpoint, source)
        if blender is not None and config.blender is None:
            model.add_blender(blender)
        model.encoder.to(memory_format=torch.channels_last)
        if model.pretrained_encoder is not None:
            model.pretrained_encoder.to(memory_format=torch.channels_last)
        return model.eval()

    @classmethod
    def from_config(cls, config: PSPConfig) -> "pSp":
        """A network with random weights."""
        return cls(**{field: getattr(config, field) for field in config.__dataclass_fields__})

    @classmethod
    def from_file(cls, path: str | Path, blender: BlenderConfig | None = None) -> "pSp":
        """Reads a file and calls :meth:`from_checkpoint`."""
        return cls.from_checkpoint(load_checkpoint(path), str(path), blender)

    def add_blender(self, config: BlenderConfig) -> None:
        """Gives the network a fresh adapter, which makes it a MyTimeMachine network."""
        blender = Blender.from_config(config, self.n_styles, self.config.generator.style_dim)
        self.blender = blender.to(self.latent_avg.device)
        self.config = replace(self.config, blender=config)


def mix_styles(
    codes: Tensor, styles: Sequence[int], inject_latent: Tensor | None = None, alpha: float | None = None
) -> Tensor:
    """Replaces the given styles of (B, n_styles, style_dim) codes, or blends them with weight ``alpha``.

    Raises:
        InputError: a style does not exist in the code.
    """
    outside = [style for style in styles if not 0 <= style < codes.shape[1]]
    if outside:
        last = codes.shape[1] - 1
        raise InputError(f"--latent_mask: there is no style {outside[0]}, the codes have 0..{last}")
    mixed = codes.clone()
    index = list(styles)
    if inject_latent is None:
        mixed[:, index] = 0
    elif alpha is None:
        mixed[:, index] = inject_latent[:, index].to(codes.dtype)
    else:
        mixed[:, index] = alpha * inject_latent[:, index].to(codes.dtype) + (1 - alpha) * codes[:, index]
    return mixed


def _storable(value: Any) -> Any:
    """Options as plain values: paths and devices become text."""
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, Mapping):
        return {key: _storable(item) for key, item in value.items()}
    return [_storable(item) for item in value] if isinstance(value, (list, tuple)) else str(value)
