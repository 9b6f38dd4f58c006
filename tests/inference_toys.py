"""A toy SAM and MyTimeMachine, photos for them, and the way to run an inference command in a test."""

import importlib.util
import io
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from models.blender import BlenderConfig
from models.encoders.psp_encoders import EncoderConfig
from models.psp import pSp
from models.psp_files import psp_checkpoint
from models.stylegan2.model import StyleGAN2Config
from utils.errors import run_command
from utils.files.checkpoints import save_checkpoint

ROOT = Path(__file__).resolve().parents[1]
INPUT, OUTPUT = 64, 32  # sides of the toy network
ADAPTER = BlenderConfig(bottleneck=4, global_dim=8, age_dim=4, hidden=8, zero_init=False)


def toy(seed: int = 0, blender: BlenderConfig | None = None) -> pSp:
    """A network with random weights in eval mode; 8 styles."""
    torch.manual_seed(seed)
    generator = StyleGAN2Config(size=OUTPUT, style_dim=16, n_mlp=2, channels={4: 8, 8: 8, 16: 8, 32: 8})
    encoder = EncoderConfig(input_size=INPUT, channels=(8, 8, 8, 8, 8), units=(1, 1, 1, 1), style_channels=8)
    return pSp(generator, encoder, blender=blender).eval()


def save_toy(path: Path, network: pSp, opts: Mapping[str, Any] | None = None) -> Path:
    """Writes the file of a network, with the options of a training if there were one."""
    return save_checkpoint(psp_checkpoint(network, opts), path)


def make_photo(path: Path, seed: int = 0, size: int = 80) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 255, (5, 5, 3), dtype=np.uint8)
    Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC).save(path)
    return path


def script_main(script: str) -> Callable[..., None]:
    """The ``main`` of a script, found by its file: the name `inference` is that of a package, too."""
    if str(ROOT / "scripts") not in sys.path:
        sys.path.append(str(ROOT / "scripts"))  # the bootstrap line is imported from there
    spec = importlib.util.spec_from_file_location(f"script_{script}", ROOT / "scripts" / f"{script}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a script's own ``main`` in this process: a tenth of the time of a new interpreter."""
    main = script_main(script)
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stop:
        run_command(lambda: main(arguments))
    return subprocess.CompletedProcess(
        [script, *arguments], int(stop.value.code or 0), out.getvalue(), err.getvalue()
    )


def run_command_line(script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a script as a user does."""
    command = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=cwd, timeout=240, check=False)


def files_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)
