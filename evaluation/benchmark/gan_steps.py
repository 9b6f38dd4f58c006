"""Steps of StyleGAN2, with and without the lazy penalties, and its generator alone."""

from collections.abc import Callable

import torch
from torch import Tensor

from criteria.gan_losses import (
    PathLengthPenalty,
    discriminator_logistic_loss,
    generator_nonsaturating_loss,
    lazy_r1_loss,
)
from evaluation.benchmark.networks import Setting
from evaluation.benchmark.timing import Parts
from evaluation.benchmark.training_steps import Built
from models.stylegan2.model import Discriminator, Generator, StyleGAN2Config
from utils.compilation import begin_step, compile_networks, eagerly

# The official intervals, in steps, and the weights that go with them.
R1_EVERY, PATH_EVERY = 16, 4
R1_WEIGHT, PATH_WEIGHT = 10.0, 2.0
PATH_SHARE = 2  # path lengths are measured on a half of the batch
PLAIN, R1, PATH = "without penalties", "R1 alone", "path length alone"


class TrainingStep:
    """One step of both networks in one of the variants; the penalties are steps of their own.

    Args:
        config: sizes of the networks.
        batch: pictures a step.
        device: where it computes.
        grouped: one weight per sample and grouped convolutions, NCHW, as in the paper's code; else one shared
            weight, NHWC.
        dtype: of the activations; penalties are computed in float32.
        way: how the networks run outside the penalties, see ``utils.compilation.compile_networks``.
    """

    def __init__(
        self,
        config: StyleGAN2Config,
        batch: int,
        device: torch.device,
        grouped: bool,
        dtype: torch.dtype,
        way: str = "none",
    ) -> None:
        torch.manual_seed(0)
        self.generator = Generator.from_config(config).to(device)
        self.discriminator = Discriminator.from_config(config).to(device)
        self.generator.use_grouped_convolution(grouped)
        layout = torch.contiguous_format if grouped else torch.channels_last
        for net in (self.generator, self.discriminator):
            net.compute_dtype, net.memory_format = dtype, layout
        self.optimizers = [
            torch.optim.Adam(net.parameters(), 1e-4, betas=(0.0, 0.99), fused=device.type != "mps")
            for net in (self.generator, self.discriminator)
        ]
        self.path_length = PathLengthPenalty().to(device)
        self.real = torch.rand(batch, 3, config.size, config.size, device=device) * 2 - 1
        self.z = torch.randn(batch, config.style_dim, device=device)
        self.parts = Parts(device)
        self.parts.watch(self.generator, "generator")
        self.parts.watch(self.discriminator, "discriminator")
        compile_networks([self.generator, self.discriminator], way)

    def __call__(self) -> None:
        """Updates the discriminator, then the generator."""
        begin_step()
        fake, _ = self.generator([self.z])
        loss = discriminator_logistic_loss(self.discriminator(self.real), self.discriminator(fake.detach()))
        self._update(1, loss)
        self.discriminator.requires_grad_(False)
        self._update(0, generator_nonsaturating_loss(self.discriminator(fake)))
        self.discriminator.requires_grad_(True)

    def penalize_discriminator(self) -> None:
        """The update for R1 on the real pictures."""
        real = self.real.detach().requires_grad_(True)

        def penalty() -> Tensor:
            return lazy_r1_loss(self.discriminator(real), real, R1_WEIGHT, R1_EVERY)

        self._update_in_float32(1, self.discriminator, penalty)

    def penalize_generator(self) -> None:
        """The update for path lengths, on a part of the batch."""
        z = self.z[: max(1, len(self.z) // PATH_SHARE)]

        def penalty() -> Tensor:
            images, latents = self.generator([z], return_latents=True)
            # Zero times a pixel ties the penalty to every parameter, so that all receive a gradient.
            return PATH_WEIGHT * PATH_EVERY * self.path_length(images, latents)[0] + 0 * images[0, 0, 0, 0]

        self._update_in_float32(0, self.generator, penalty)

    def _update_in_float32(
        self, which: int, net: Generator | Discriminator, loss: Callable[[], Tensor]
    ) -> None:
        precision, net.compute_dtype = net.compute_dtype, torch.float32
        try:
            with eagerly():
                self._update(which, loss())
        finally:
            net.compute_dtype = precision

    def _update(self, which: int, loss: Tensor) -> None:
        self.optimizers[which].zero_grad(set_to_none=True)
        with self.parts("backward"):
            loss.backward()
        with self.parts("optimizer"):
            self.optimizers[which].step()


def _training(setting: Setting, grouped: bool, precision: torch.dtype) -> Built:
    step = TrainingStep(
        setting.sizes.generator, setting.batch, setting.device, grouped, precision, setting.compile
    )
    steps: dict[str, Callable[[], object]] = {
        PLAIN: step,
        R1: step.penalize_discriminator,
        PATH: step.penalize_generator,
    }
    return Built(steps, step.parts)


def stylegan2_training(setting: Setting, precision: torch.dtype) -> Built:
    """One shared weight, NHWC."""
    return _training(setting, False, precision)


def grouped_training(setting: Setting) -> Built:
    """One weight per sample and grouped convolutions, NCHW, float32."""
    return _training(setting, True, torch.float32)


def _forward(setting: Setting, grouped: bool, precision: torch.dtype) -> Built:
    torch.manual_seed(0)
    device = setting.device
    with device:
        generator = Generator.from_config(setting.sizes.generator).eval().requires_grad_(False)
        z = torch.randn(setting.batch, generator.style_dim)
    generator.use_grouped_convolution(grouped)
    generator.compute_dtype = precision
    generator.memory_format = torch.contiguous_format if grouped else torch.channels_last
    parts = Parts(device)
    parts.watch(generator.style, "mapping")
    parts.watch(generator, "synthesis")
    compile_networks([generator], setting.compile)

    @torch.no_grad()
    def step() -> None:
        generator([z], randomize_noise=False)

    return Built({"": step}, parts)


def generator_forward(setting: Setting, precision: torch.dtype) -> Built:
    """Pictures from z, as inference makes them."""
    return _forward(setting, False, precision)


def grouped_forward(setting: Setting) -> Built:
    """The same with one weight per sample and grouped convolutions, NCHW, float32."""
    return _forward(setting, True, torch.float32)
