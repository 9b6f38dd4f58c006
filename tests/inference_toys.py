"""Photos for the inference commands, and files of the networks they run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from toy_networks import SMALL_ENCODER, SMALL_GENERATOR, tiny_psp

import parity
from models.blender import BlenderConfig
from models.psp import pSp
from models.psp_files import OFFICIAL_OPTS, psp_checkpoint
from utils.files.checkpoints import save_checkpoint

INPUT, OUTPUT = SMALL_ENCODER.input_size, SMALL_GENERATOR.size


def toy(seed: int = 0, blender: BlenderConfig | None = None) -> pSp:
    """A SAM or MyTimeMachine network; 8 styles."""
    return tiny_psp(SMALL_GENERATOR, SMALL_ENCODER, seed, blender=blender)


def save_toy(path: Path, network: pSp, opts: Mapping[str, Any] | None = None) -> Path:
    """Writes the file of a network, with the options of a training if there were one."""
    return save_checkpoint(psp_checkpoint(network, opts), path)


def official_sam(path: Path) -> Path:
    """A SAM file with the official keys and options and nothing of ours, filled by the parity recipe."""
    entry = parity.first("psp", "latents", size=1024)
    network = parity.fill(parity.quick(pSp), entry)
    parity.check_layout(network.state_dict(), "sam_ffhq_aging")
    opts = {**OFFICIAL_OPTS, "output_size": 1024, "input_nc": 4, "start_from_encoded_w_plus": True}
    latent = parity.tensor(entry["weights"]["latent_avg"])
    content = {"state_dict": network.state_dict(), "opts": opts, "latent_avg": latent}
    return save_checkpoint(content, path)


def make_photo(path: Path, seed: int = 0, size: int = 80) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 255, (5, 5, 3), dtype=np.uint8)
    Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC).save(path)
    return path


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)
