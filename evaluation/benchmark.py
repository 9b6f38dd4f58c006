"""Times the StyleGAN2 training step: grouped float32 convolutions in NCHW against what training uses."""

import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from criteria.gan_losses import discriminator_logistic_loss, generator_nonsaturating_loss
from models.stylegan2.model import Discriminator, Generator, StyleGAN2Config
from utils.device import select_precision

BASE = "grouped float32 NCHW"  # the variant that the others are compared with


class TrainingStep:
    """One step of both networks (without the lazy penalties) in one of the variants.

    Args:
        config: sizes of the networks.
        batch: pictures a step.
        device: where it computes.
        grouped: one weight per sample and grouped convolutions, NCHW, as in the paper's code; else one shared
            weight, NHWC.
        dtype: of the activations.
    """

    def __init__(
        self, config: StyleGAN2Config, batch: int, device: torch.device, grouped: bool, dtype: torch.dtype
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
        self.real = torch.rand(batch, 3, config.size, config.size, device=device) * 2 - 1
        self.z = torch.randn(batch, config.style_dim, device=device)

    def __call__(self) -> None:
        fake, _ = self.generator([self.z])
        loss = discriminator_logistic_loss(self.discriminator(self.real), self.discriminator(fake.detach()))
        self._update(1, loss)
        self.discriminator.requires_grad_(False)
        self._update(0, generator_nonsaturating_loss(self.discriminator(fake)))
        self.discriminator.requires_grad_(True)

    def _update(self, which: int, loss: Tensor) -> None:
        self.optimizers[which].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers[which].step()


def make_variants(config: StyleGAN2Config, batch: int, device: torch.device) -> dict[str, TrainingStep]:
    """The step in every variant by name, bfloat16 only where the device is made for it."""
    variants = {
        BASE: TrainingStep(config, batch, device, True, torch.float32),
        "shared float32 NHWC": TrainingStep(config, batch, device, False, torch.float32),
    }
    fast = select_precision("auto", device)
    if fast != torch.float32:
        variants["shared bfloat16 NHWC"] = TrainingStep(config, batch, device, False, fast)
    return variants


def time_in_turn(
    variants: Mapping[str, Callable[[], None]], rounds: int, steps: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds a step of each variant in each round, after one step that is not timed.

    Args:
        variants: by name; in every round each has its turn, so that a slow minute meets all of them.
        rounds: how many.
        steps: of each variant in a round.
        device: where they compute.
    """
    for step in variants.values():
        step()
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, step in variants.items():
            times[name].append(seconds(step, steps, device))
    return times


def seconds(step: Callable[[], None], count: int, device: torch.device) -> float:
    """Seconds a step, over ``count`` steps."""
    start = time.perf_counter()
    for _ in range(count):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / count


def median(values: Sequence[float]) -> float:
    """The middle value, of an even number the upper one."""
    return sorted(values)[len(values) // 2]


def speeds(times: Mapping[str, Sequence[float]], batch: int) -> dict[str, dict[str, float]]:
    """Images a second of each variant, and how many times as fast as :data:`BASE` it is in the same round.

    Args:
        times: of :func:`time_in_turn`.
        batch: pictures a step.
    """
    return {
        name: {
            "images_per_second": batch / median(values),
            "ratio": median([base / own for base, own in zip(times[BASE], values, strict=True)]),
        }
        for name, values in times.items()
    }
