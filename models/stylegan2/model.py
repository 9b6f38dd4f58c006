"""StyleGAN2 generator and discriminator (Karras et al. 2020) in rosinality's layout, sizes as arguments."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.recomputation import SIDES, recomputed
from models.stylegan2.layers import (
    ConstantInput,
    ConvLayer,
    EqualLinear,
    Factors,
    ModulatedConv2d,
    NoiseInjection,
    PixelNorm,
    ResBlock,
    StyledConv,
    ToRGB,
)
from models.stylegan2.noise import LayerNoise
from models.stylegan2.style_factors import Layer, StyleFactors
from utils.device import without_autocast


@dataclass(frozen=True)
class StyleGAN2Config:
    """Sizes of a generator and its discriminator; the defaults are those of `stylegan2-ffhq-config-f`.

    Attributes:
        channels: feature channels by resolution; None means the official table for `channel_multiplier`.
        c_dim: length of the class labels of a conditional pair (StyleGAN2-ADA), 0 without labels.
    """

    size: int = 1024
    style_dim: int = 512
    n_mlp: int = 8
    channel_multiplier: int = 2
    channels: Mapping[int, int] | None = None
    c_dim: int = 0

    @property
    def n_styles(self) -> int:
        """Number of W+ vectors: two for each resolution from 8 up, and two for 4x4 and the last to-RGB."""
        return 2 * int(math.log2(self.size)) - 2

    def to_dict(self) -> dict[str, Any]:
        """Its attributes, as a checkpoint stores them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "StyleGAN2Config":
        """The reverse of `to_dict`; JSON has turned the resolutions into strings."""
        channels = values.get("channels")
        return cls(**{**values, "channels": channels and {int(k): int(v) for k, v in channels.items()}})


def default_channels(channel_multiplier: int = 2) -> dict[int, int]:
    """The official table: resolution to feature channels."""
    table = {4: 512, 8: 512, 16: 512, 32: 512}
    return table | {size: 16384 // size * channel_multiplier for size in (64, 128, 256, 512, 1024)}


class LabelMapping(nn.Module):
    """Maps (B, c_dim) labels to (B, dim) vectors: the mapping network of a conditional discriminator."""

    def __init__(self, c_dim: int, dim: int, n_mlp: int = 8, lr_mlp: float = 0.01) -> None:
        super().__init__()
        self.embed = EqualLinear(c_dim, dim)
        layers = [EqualLinear(dim, dim, lr_mul=lr_mlp, activation="fused_lrelu") for _ in range(n_mlp)]
        self.style = nn.Sequential(PixelNorm(), *layers)

    def forward(self, labels: Tensor) -> Tensor:
        return self.style(self.embed(labels))


class Generator(nn.Module):
    """Mapping and synthesis network.

    Args:
        size: output resolution, a power of two of at least 8.
        style_dim: length of z and w.
        n_mlp: layers of the mapping network.
        channels: feature channels by resolution, overriding `channel_multiplier`.
        c_dim: length of the labels, 0 for an unconditional network.

    `compute_dtype` (default float32) is the dtype of the activations, `memory_format` (default channels-last,
    which is faster on CPUs and on tensor cores) their layout; the image is always float32 or wider.
    `checkpoint_from` is the side from which levels are computed again in the backward pass, None for none.
    """

    def __init__(
        self,
        size: int,
        style_dim: int,
        n_mlp: int,
        channel_multiplier: int = 2,
        blur_kernel: Sequence[float] = (1, 3, 3, 1),
        lr_mlp: float = 0.01,
        channels: Mapping[int, int] | None = None,
        c_dim: int = 0,
    ) -> None:
        super().__init__()
        self.size = size
        self.c_dim = c_dim
        self.style_dim = style_dim
        self.compute_dtype: torch.dtype | None = None
        self.memory_format = torch.channels_last
        self.checkpoint_from: int | None = None
        table = dict(channels or default_channels(channel_multiplier))
        self.log_size = int(math.log2(size))
        self.num_layers = (self.log_size - 2) * 2 + 1
        self.n_latent = self.log_size * 2 - 2

        # The embedded label stands beside z at the input of the first layer.
        inputs = [2 * style_dim if c_dim else style_dim] + [style_dim] * (n_mlp - 1)
        mapping = [EqualLinear(width, style_dim, lr_mul=lr_mlp, activation="fused_lrelu") for width in inputs]
        self.embed = EqualLinear(c_dim, style_dim) if c_dim else None
        self.style = nn.Sequential(PixelNorm(), *mapping)
        self.input = ConstantInput(table[4])
        self.conv1 = StyledConv(table[4], table[4], 3, style_dim, blur_kernel=blur_kernel)
        self.to_rgb1 = ToRGB(table[4], style_dim, upsample=False)
        self.convs = nn.ModuleList()
        self.to_rgbs = nn.ModuleList()
        self.noises = nn.Module()
        for layer in range(self.num_layers):
            side = 2 ** ((layer + 5) // 2)
            self.noises.register_buffer(f"noise_{layer}", torch.randn(1, 1, side, side))
        in_channel = table[4]
        for level in range(3, self.log_size + 1):
            out_channel = table[2**level]
            self.convs.append(
                StyledConv(in_channel, out_channel, 3, style_dim, upsample=True, blur_kernel=blur_kernel)
            )
            self.convs.append(StyledConv(out_channel, out_channel, 3, style_dim, blur_kernel=blur_kernel))
            self.to_rgbs.append(ToRGB(out_channel, style_dim))
            in_channel = out_channel
        self._factors = StyleFactors(self._modulated_layers())
        sides = [plane.shape[-1] for plane in self.noise_buffers()]
        self._noise = LayerNoise([self.conv1, *self.convs], sides)

    @classmethod
    def from_config(cls, config: StyleGAN2Config) -> "Generator":
        """The generator of these sizes."""
        return cls(
            config.size,
            config.style_dim,
            config.n_mlp,
            config.channel_multiplier,
            channels=config.channels,
            c_dim=config.c_dim,
        )

    def silence(self) -> None:
        """Takes the noise away for good: its strengths are 0 and learn no more."""
        for layer in self.modules():
            if isinstance(layer, NoiseInjection):
                layer.weight.requires_grad_(False).zero_()

    def recompute_activations(self) -> None:
        """Saves memory in training: a backward pass computes the large levels again."""
        self.checkpoint_from = self.size // SIDES

    def modulated_convolutions(self) -> list[tuple[int, ModulatedConv2d]]:
        """Every modulated convolution with the number of the style that it reads, in the order of use."""
        return [(layer.style, layer.convolution) for layer in self._modulated_layers()]

    def _modulated_layers(self) -> list[Layer]:
        styled = [self.conv1, *self.convs]
        layers = [Layer(0, self.conv1.conv, self.conv1.activate.scale), Layer(1, self.to_rgb1.conv, 1.0)]
        for level, to_rgb in enumerate(self.to_rgbs):
            for style in (2 * level + 1, 2 * level + 2):
                layers.append(Layer(style, styled[style].conv, styled[style].activate.scale))
            layers.append(Layer(2 * level + 3, to_rgb.conv, 1.0))
        return layers

    def use_grouped_convolution(self, grouped: bool) -> None:
        """Chooses between the two equal forms of every modulated convolution."""
        for module in self.modules():
            if isinstance(module, ModulatedConv2d):
                module.grouped = grouped

    def noise_buffers(self) -> list[Tensor]:
        """Returns the fixed noise planes, one (1, 1, side, side) tensor a layer."""
        return [getattr(self.noises, f"noise_{layer}") for layer in range(self.num_layers)]

    def draw_noise(self, batch: int) -> list[Tensor]:
        """Fresh noise planes (batch, 1, side, side), one a layer: those that a forward pass would draw."""
        like = self.input.input
        return self._noise.draw(batch, self.compute_dtype or like.dtype, like.device)

    @torch.no_grad()
    def average_latent(self, n_latent: int = 10_000, seed: int = 0) -> Tensor:
        """Returns the (style_dim,) mean of random w, from a seed of its own: no other random number changes.

        A conditional network takes every label equally often.
        """
        z = torch.randn(n_latent, self.style_dim, generator=torch.Generator().manual_seed(seed))
        return self.get_latent(z.to(self.input.input), self._every_label(n_latent)).mean(0)

    def _every_label(self, count: int) -> Tensor | None:
        if not self.c_dim:
            return None
        return torch.eye(self.c_dim, device=self.input.input.device)[torch.arange(count) % self.c_dim]

    def get_latent(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Maps (B, style_dim) z, with (B, c_dim) labels where the network is conditional, to w.

        Raises:
            ValueError: labels are missing, or the network takes none.
        """
        if (labels is None) != (self.embed is None):
            raise ValueError("labels are for a conditional generator, and it needs them")
        if self.embed is None:
            return self.style(z)
        normalize = self.style[0]
        return self.style[1:](torch.cat([normalize(z), normalize(self.embed(labels))], dim=1))

    def forward(
        self,
        styles: Sequence[Tensor],
        return_latents: bool = False,
        inject_index: int | Tensor | None = None,
        truncation: float = 1.0,
        truncation_latent: Tensor | None = None,
        input_is_latent: bool = False,
        noise: Sequence[Tensor | None] | None = None,
        randomize_noise: bool = True,
        labels: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Renders images.

        Args:
            styles: one (B, style_dim) z or w, two of them for style mixing, or one (B, n_latent, style_dim)
                W+ code.
            inject_index: with two styles, the number of layers that take the first, or such a number for each
                picture, (B,); drawn at random if None.
            truncation: below 1, moves w towards `truncation_latent`.
            noise: one plane a layer; None means fresh noise, or the fixed buffers without `randomize_noise`.
            labels: (B, c_dim) class labels, for z of a conditional network.

        Returns:
            (B, 3, size, size) images, and the (B, n_latent, style_dim) codes if asked for (else None).
        """
        if not input_is_latent:
            styles = [self.get_latent(z, labels) for z in styles]
        if truncation < 1:
            styles = [truncation_latent + truncation * (w - truncation_latent) for w in styles]
        latent = self._broadcast(styles, inject_index)
        if noise is None:
            noise = [None] * self.num_layers if randomize_noise else self.noise_buffers()
        image = self.synthesize(latent, noise)
        return image, latent if return_latents else None

    def _broadcast(self, styles: Sequence[Tensor], inject_index: int | Tensor | None) -> Tensor:
        """Makes one W+ code of one or two styles."""
        if len(styles) == 1:
            w = styles[0]
            return w if w.dim() == 3 else w[:, None].expand(-1, self.n_latent, -1)
        if inject_index is None:
            inject_index = int(torch.randint(1, self.n_latent, ()))
        if isinstance(inject_index, Tensor):
            layers = torch.arange(self.n_latent, device=inject_index.device)
            takes_first = layers[:, None] < inject_index[:, None, None]
            return torch.where(takes_first, styles[0][:, None], styles[1][:, None])
        first = styles[0][:, None].expand(-1, inject_index, -1)
        second = styles[1][:, None].expand(-1, self.n_latent - inject_index, -1)
        return torch.cat([first, second], dim=1)

    def synthesize(self, latent: Tensor, noise: Sequence[Tensor | None]) -> Tensor:
        """Renders (B, n_latent, style_dim) codes; `noise` holds a plane a layer, None for fresh noise."""
        with without_autocast(latent.device):
            latent = latent.to(self.input.input.dtype)
            dtype = self.compute_dtype or latent.dtype
            x = self.input(latent).to(dtype).contiguous(memory_format=self.memory_format)
            factors = self._all_factors(latent, dtype)
            noise, shifts = self._noise.shifts(noise, latent.shape[0], dtype)
            x = self.conv1.render(x, factors[0], noise[0], shifts[0])
            image = self.to_rgb1.render(x, factors[1])
            for level in range(len(self.to_rgbs)):
                two, three = slice(2 * level + 1, 2 * level + 3), slice(3 * level + 2, 3 * level + 5)
                inputs = (level, x, image, factors[three], noise[two], shifts[two])
                if self.checkpoint_from is None or 2 * x.shape[-1] < self.checkpoint_from:
                    x, image = self._synthesize_level(*inputs)
                else:
                    x, image = recomputed(self._synthesize_level, *inputs)
            return image

    def _synthesize_level(
        self,
        level: int,
        x: Tensor,
        image: Tensor,
        factors: Sequence[Factors],
        noise: Sequence[Tensor | None],
        shifts: Sequence[Tensor | None],
    ) -> tuple[Tensor, Tensor]:
        """Features and image of a level from those of half its side; levels count from 0, which is 8x8."""
        x = self.convs[2 * level].render(x, factors[0], noise[0], shifts[0])
        x = self.convs[2 * level + 1].render(x, factors[1], noise[1], shifts[1])
        return x, self.to_rgbs[level].render(x, factors[2], image)

    def _all_factors(self, latent: Tensor, dtype: torch.dtype) -> list[Factors]:
        if not self.conv1.conv.grouped:
            return self._factors(latent, dtype)
        return [conv.factors(latent[:, style]) for style, conv in self.modulated_convolutions()]


class Discriminator(nn.Module):
    """Residual discriminator with minibatch standard deviation; conditional by projection (StyleGAN2-ADA).

    Args:
        size: input resolution.
        channels: feature channels by resolution, overriding `channel_multiplier`.
        c_dim: length of the labels, 0 for an unconditional network.

    `compute_dtype`, `memory_format` and `checkpoint_from` are those of the generator.
    """

    def __init__(
        self,
        size: int,
        channel_multiplier: int = 2,
        blur_kernel: Sequence[float] = (1, 3, 3, 1),
        channels: Mapping[int, int] | None = None,
        c_dim: int = 0,
    ) -> None:
        super().__init__()
        table = dict(channels or default_channels(channel_multiplier))
        self.size = size
        self.c_dim = c_dim
        self.compute_dtype: torch.dtype | None = None
        self.memory_format = torch.channels_last
        self.checkpoint_from: int | None = None
        self.stddev_group = 4
        log_size = int(math.log2(size))
        layers: list[nn.Module] = [ConvLayer(3, table[size], 1)]
        for level in range(log_size, 2, -1):
            layers.append(ResBlock(table[2**level], table[2 ** (level - 1)], blur_kernel))
        self.convs = nn.Sequential(*layers)
        self.final_conv = ConvLayer(table[4] + 1, table[4], 3)
        self.final_linear = nn.Sequential(
            EqualLinear(table[4] * 16, table[4], activation="fused_lrelu"),
            EqualLinear(table[4], table[4] if c_dim else 1),
        )
        self.mapping = LabelMapping(c_dim, table[4]) if c_dim else None

    @classmethod
    def from_config(cls, config: StyleGAN2Config) -> "Discriminator":
        """The discriminator of these sizes."""
        return cls(config.size, config.channel_multiplier, channels=config.channels, c_dim=config.c_dim)

    def recompute_activations(self) -> None:
        """The same as of the generator."""
        self.checkpoint_from = self.size // SIDES

    def first_layers(self, count: int) -> list[nn.Module]:
        """So many layers from the one that reads the picture on, as NVIDIA counts them to freeze them."""
        layers: list[nn.Module] = [self.convs[0]]
        for block in self.convs[1:]:
            layers += [block.conv1, block.conv2, block.skip]
        return layers[:count]

    def forward(self, image: Tensor, labels: Tensor | None = None) -> Tensor:
        """Returns (B, 1) logits of (B, 3, size, size) images, given (B, c_dim) labels if conditional.

        Raises:
            ValueError: B is neither at most 4 nor a multiple of 4, labels are missing, or it takes none.
        """
        if (labels is None) != (self.mapping is None):
            raise ValueError("labels are for a conditional discriminator, and it needs them")
        with without_autocast(image.device):
            x = image.to(self.compute_dtype or image.dtype).contiguous(memory_format=self.memory_format)
            for layer in self.convs:
                again = self.checkpoint_from is not None and x.shape[-1] >= self.checkpoint_from
                x = recomputed(layer, x) if again else layer(x)
            x = x.to(self.final_linear[0].weight.dtype)
            x = self.final_conv(torch.cat([x, self._minibatch_deviation(x)], dim=1))
            x = self.final_linear(x.flatten(1))
            if self.mapping is None:
                return x
            return (x * self.mapping(labels)).sum(1, keepdim=True) / math.sqrt(x.shape[1])

    def _minibatch_deviation(self, x: Tensor) -> Tensor:
        """One plane a sample: the mean over features of the standard deviation within its group."""
        batch, _, height, width = x.shape
        group = min(batch, self.stddev_group)
        if batch % group:
            raise ValueError(
                f"The discriminator takes a batch of at most {group} or a multiple of it, not {batch}."
            )
        grouped = x.reshape(group, batch // group, *x.shape[1:])
        deviation = torch.sqrt(grouped.var(0, unbiased=False) + 1e-8).mean((1, 2, 3))
        return deviation.repeat(group)[:, None, None, None].expand(batch, 1, height, width)
