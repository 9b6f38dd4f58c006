"""Times the StyleGAN2 training step in one run: grouped float32 convolutions in NCHW against what training
uses.

python scripts/benchmark.py --output_size=64 --batch_size=16
"""

import _bootstrap  # noqa: F401

import argparse
import json
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from criteria.gan_losses import discriminator_logistic_loss, generator_nonsaturating_loss
from models.stylegan2.op import choose_ops
from models.stylegan2.model import Discriminator, Generator, StyleGAN2Config
from options.base_options import add_ops
from options.stylegan2_options import parse_channels
from utils.device import keep_freed_memory, select_device, select_precision
from utils.errors import run_command

DEMO_CHANNELS = "4:128,8:128,16:128,32:128,64:64,128:32"


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output_size", type=int, default=64)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--channels", default=DEMO_CHANNELS)
    parser.add_argument("--style_dim", type=int, default=128)
    parser.add_argument("--n_mlp", type=int, default=4)
    parser.add_argument(
        "--rounds", type=int, default=5, help="the variants are timed in turn, this many times"
    )
    parser.add_argument("--steps", type=int, default=4, help="steps a round")
    parser.add_argument("--device", default="auto")
    add_ops(parser)
    parser.add_argument("--threads", type=int, default=0)
    return parser.parse_args(arguments)


class TrainingStep:
    """One step of both networks (without the lazy penalties) in one of the variants.

    Args:
        grouped: one weight per sample and grouped convolutions, NCHW, float32: the plain form of the paper's
        code.
        dtype: of the activations otherwise.
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


def seconds(step: Callable[[], None], count: int, device: torch.device) -> float:
    """Seconds a step, over `count` steps."""
    start = time.perf_counter()
    for _ in range(count):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / count


def median(values: Sequence[float]) -> float:
    """The middle value."""
    return sorted(values)[len(values) // 2]


def main() -> None:
    opts = parse_options()
    device = select_device(opts.device)
    choose_ops(opts.ops, device)
    if opts.threads:
        torch.set_num_threads(opts.threads)
    if device.type == "cpu":
        keep_freed_memory()
    config = StyleGAN2Config(
        opts.output_size, opts.style_dim, opts.n_mlp, channels=parse_channels(opts.channels)
    )
    variants = {
        "grouped float32 NCHW": TrainingStep(config, opts.batch_size, device, True, torch.float32),
        "shared float32 NHWC": TrainingStep(config, opts.batch_size, device, False, torch.float32),
    }
    fast = select_precision("auto", device)
    if fast != torch.float32:
        variants["shared bfloat16 NHWC"] = TrainingStep(config, opts.batch_size, device, False, fast)
    times: dict[str, list[float]] = {name: [] for name in variants}
    for step in variants.values():
        step()
    for _ in range(opts.rounds):
        for name, step in variants.items():
            times[name].append(seconds(step, opts.steps, device))
    base = times["grouped float32 NCHW"]
    threads = torch.get_num_threads()
    print(f"StyleGAN2 step, {opts.output_size} px, batch {opts.batch_size}, {device}, {threads} threads")
    rows = {}
    for name, values in times.items():
        ratio = median([b / v for b, v in zip(base, values, strict=True)])
        rows[name] = {"images_per_second": opts.batch_size / median(values), "ratio": ratio}
        print(f"{name:24s} {rows[name]['images_per_second']:8.1f} images/s   {ratio:5.2f} x")
    print(json.dumps(rows))


if __name__ == "__main__":
    run_command(main)
