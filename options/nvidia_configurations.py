"""The configurations that `--cfg` of NVIDIA's train.py (StyleGAN2-ADA) names."""

import math
from dataclasses import dataclass

PICTURES_A_TICK = 4000  # NVIDIA's unit of time between snapshots
FULL, MOST = 32_768, 512  # feature maps times side where the table is full; the most of a layer


@dataclass(frozen=True)
class Configuration:
    """What one name stands for.

    Attributes:
        gpus: among so many a batch is divided; with fewer, each makes its part of a step in several.
        batch: pictures a step.
        deviation_group: pictures that the discriminator compares with each other.
        maps: feature maps as a share of the full table.
        learning_rate: of both networks.
        gamma: weight of the R1 penalty.
        ema_kimg: half-life of the averaged generator, in thousands of pictures.
        ema_rampup: most of that half-life as a share of the pictures seen; 0: no such bound.
        mapping_layers: of the generator's mapping network.
        kimg: length of the training, in thousands of pictures.
        is_regularised: whether there are a path length penalty and style mixing.
    """

    gpus: int
    batch: int
    deviation_group: int
    maps: float
    learning_rate: float
    gamma: float
    ema_kimg: float
    ema_rampup: float = 0.0
    mapping_layers: int = 8
    kimg: int = 25_000
    is_regularised: bool = True

    @property
    def pictures_a_gpu(self) -> int:
        """Pictures that a GPU holds at a time."""
        return self.batch // self.gpus

    def channels(self, side: int) -> dict[int, int]:
        """Feature maps by resolution, up to pictures of a side."""
        sides = [2**level for level in range(2, side.bit_length())]
        return {each: min(int(self.maps * FULL) // each, MOST) for each in sides}


FIXED = {
    "stylegan2": Configuration(8, 32, 4, 1, 0.002, 10, 10),
    "paper256": Configuration(8, 64, 8, 0.5, 0.0025, 1, 20),
    "paper512": Configuration(8, 64, 8, 1, 0.0025, 0.5, 20),
    "paper1024": Configuration(8, 32, 4, 1, 0.002, 2, 10),
    "cifar": Configuration(2, 64, 32, 1, 0.0025, 0.01, 500, 0.05, 2, 100_000, False),
    # Of the fork by dvschultz: `stylegan2` on one GPU, with as large a batch as the memory in its name takes.
    "11gb-gpu": Configuration(1, 4, 4, 1, 0.002, 10, 10),
    "24gb-gpu": Configuration(1, 8, 8, 1, 0.002, 10, 10),
    "48gb-gpu": Configuration(1, 16, 16, 1, 0.002, 10, 10),
}
AUTO = "auto"
NAMES = (AUTO, *FIXED)


def configuration(name: str, side: int, gpus: int) -> Configuration:
    """The configuration of a name, for pictures of a side in pixels and a number of GPUs."""
    return automatic(side, gpus) if name == AUTO else FIXED[name]


def automatic(side: int, gpus: int) -> Configuration:
    """The configuration `auto`, made for the pictures and the GPUs."""
    batch = max(min(gpus * min(4096 // side, 32), 64), gpus)
    return Configuration(
        gpus=gpus,
        batch=batch,
        deviation_group=min(batch // gpus, 4),
        maps=1 if side >= 512 else 0.5,
        learning_rate=0.002 if side >= 1024 else 0.0025,
        gamma=0.0002 * side**2 / batch,
        ema_kimg=batch * 10 / 32,
        ema_rampup=0.05,
        mapping_layers=2,
    )


def steps(kimg: float, batch: int) -> int:
    """Steps that see so many thousand pictures, the last one whole."""
    return math.ceil(kimg * 1000 / batch)


def snapshot_steps(ticks: int, batch: int) -> int:
    """Steps between snapshots that are so many ticks apart; a tick ends with a step."""
    return ticks * math.ceil(PICTURES_A_TICK / batch)
