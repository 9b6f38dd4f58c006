"""The command line of `scripts/benchmark.py`."""

from dataclasses import dataclass

from options.machine_options import DeviceOptions
from options.stylegan2_options import GeneratorSizes, check_discriminator_batch
from utils.typed_options import depth, group, option, pixels, positive, processes, width

DEMO_CHANNELS = "4:128,8:128,16:128,32:128,64:64,128:32"


@dataclass(frozen=True, kw_only=True)
class BenchmarkOptions(GeneratorSizes, DeviceOptions):
    """Options of `scripts/benchmark.py`; the sizes are those of the bundled networks."""

    title = "what is timed"

    output_size: int = option(64, pixels, "side of the pictures in pixels")
    style_dim: int = option(128, width, "length of a style")
    n_mlp: int = option(4, depth, "layers of the mapping network")
    channels: str | None = option(DEMO_CHANNELS, str, "channels by resolution", metavar="4:N,8:N,...")
    batch_size: int = option(16, group, "pictures a step")
    rounds: int = option(5, positive, "the variants are timed in turn, this many times")
    steps: int = option(4, positive, "steps a round")
    ops: str = option(
        "auto",
        str,
        "StyleGAN2's operators: cuda compiles them, native is plain PyTorch, auto compiles where it can",
        choices=("auto", "cuda", "native"),
    )
    threads: int = option(0, processes, "CPU threads; 0 leaves torch's choice")

    def check(self) -> None:
        """Raises ``InputError`` for a batch that the discriminator cannot take."""
        check_discriminator_batch(self.batch_size)
