"""How the bundled networks are made: one run of `scripts/train.py` a stage, its newest weights stored.

The stages are those of `configs/demo_stages.py`; the files are in half precision.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from configs.demo_stages import STAGES
from configs.paths_config import REPOSITORY
from datasets.faces import FaceFolder
from models.psp_files import load_psp
from models.stylegan2.shared_latent import SHIFT, with_shared_latent
from options.weights_options import DemoWeightsOptions, ShapeNoiseOptions
from training.noise_shaping import PLANE, shape_file
from utils.errors import STOPPED, InputError, StoppedError
from utils.files.checkpoints import Checkpoint, halved, load_checkpoint, save_checkpoint

START = "--checkpoint_path"
GENERATOR = "stylegan2.pt"
STRENGTH = ".noise.weight"


def train_stage(name: str, opts: DemoWeightsOptions) -> None:
    """Trains a stage in a process of its own; a stopped training continues where it was.

    Raises:
        InputError: it starts from a stage that has not been trained, or the training fails.
        StoppedError: the training was stopped.
    """
    command = train_command(name, opts)
    stage = STAGES[name]
    if stage.noise != 1:
        start = load_checkpoint(newest_weights(Path(opts.runs) / stage.runs[START]))
        save_checkpoint(with_noise(start, stage.noise), quiet_start(name, opts))
    print("+ " + " ".join(command), flush=True)
    code = subprocess.run(command, cwd=REPOSITORY, check=False).returncode
    if code == STOPPED:
        raise StoppedError(f"training {name} was stopped; the same command continues it")
    if code:
        raise InputError(f"training {name} ended with exit code {code}; the same command continues it")


def train_command(name: str, opts: DemoWeightsOptions) -> list[str]:
    """The command that trains a stage.

    Raises:
        InputError: it starts from a stage that has not been trained.
    """
    stage = STAGES[name]
    launcher = [sys.executable]
    if opts.processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={opts.processes}"]
    command = [*launcher, str(REPOSITORY / "scripts" / "train.py"), f"@{preset_file(stage.preset)}"]
    command += [f"--train_dataset={opts.training_faces}", f"--exp_dir={Path(opts.runs) / name}"]
    if opts.test_faces is not None and preset_option(stage.preset, "coach") != "stylegan2":
        command.append(f"--test_dataset={opts.test_faces}")
    weights = {flag: newest_weights(Path(opts.runs) / run) for flag, run in stage.runs.items()}
    if stage.noise != 1:
        weights[START] = quiet_start(name, opts)
    command += [f"{flag}={file}" for flag, file in weights.items()]
    command += [f"{flag}={Path(opts.output_dir) / file}" for flag, file in stage.files.items()]
    if opts.processes > 1:
        command.append("--threads=1")
    if opts.steps_scale != 1:
        command.append(f"--max_steps={max(1, round(preset_steps(stage.preset) * opts.steps_scale))}")
    return command


def quiet_start(name: str, opts: DemoWeightsOptions) -> Path:
    """The file with other noise that a stage goes on from."""
    return Path(opts.runs) / f"{name}_start.pt"


def with_noise(checkpoint: Mapping[str, Any], factor: float) -> Checkpoint:
    """The content of a file of pSp or SAM with this factor on the strengths of its generator's noise."""
    state = {
        name: factor * value if name.startswith("decoder.") and name.endswith(STRENGTH) else value
        for name, value in checkpoint["state_dict"].items()
    }
    return {**checkpoint, "state_dict": state}


def preset_file(preset: str) -> Path:
    """The argument file of a preset of the demo stack."""
    return REPOSITORY / "configs" / "demo" / f"{preset}.args"


def preset_option(preset: str, name: str) -> str:
    """The value of an option of a preset, which has it."""
    lines = preset_file(preset).read_text(encoding="utf-8").splitlines()
    return next(line.split("=")[1] for line in lines if line.startswith(f"--{name}="))


def preset_steps(preset: str) -> int:
    """`--max_steps` of a preset."""
    return int(preset_option(preset, "max_steps"))


def newest_weights(run: Path) -> Path:
    """The weights of the highest step in a run folder.

    Raises:
        InputError: there are none.
    """
    files = sorted(
        (run / "checkpoints").glob("iteration_*.pt"), key=lambda path: int(path.stem.split("_")[1])
    )
    if not files:
        raise InputError(f"no weights in {run / 'checkpoints'}; train that stage first")
    return files[-1]


def export_stage(name: str, opts: DemoWeightsOptions) -> None:
    """Stores the newest weights of a stage in half precision, without the discriminator beside an encoder.

    Of pSp that is its generator as `stylegan2.pt`; the whole pSp is inside SAM, whose noise both have.

    Raises:
        InputError: the stage has not been trained, or a file cannot be written.
    """
    stage = STAGES[name]
    if stage.file is None:
        return
    weights = load_checkpoint(newest_weights(Path(opts.runs) / name))
    if "state_dict" in weights:
        weights.pop("d", None)
    if name == "psp":
        weights = stylegan2_of_psp(weights, opts.training_faces)
    stored = halved(weights) | {"opts": portable(weights.get("opts") or {})}
    if "g" in weights and weights["g"] is weights["g_ema"]:
        stored["g"] = stored["g_ema"]  # the file then holds these numbers once
    path = save_checkpoint(stored, Path(opts.output_dir) / stage.file)
    if stage.shapes_noise:
        faces, file = str(opts.training_faces), str(path)
        shape_file(ShapeNoiseOptions(checkpoint_path=file, data_path=faces, output=file, overwrite=True))
        give_noise(path, Path(opts.output_dir) / GENERATOR)
    print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")


def give_noise(source: Path, target: Path) -> None:
    """Stores the noise of a SAM's generator, planes and strengths, in the file of that generator alone."""
    content = load_checkpoint(target)
    found = load_checkpoint(source)["state_dict"]
    noise = {name.removeprefix("decoder."): value for name, value in found.items() if is_noise(name)}
    content["g"] = content["g_ema"] = {**content["g_ema"], **noise}
    save_checkpoint(content, target)


def is_noise(name: str) -> bool:
    """Whether an entry of a SAM is noise of its generator."""
    return name.startswith("decoder.") and (name.endswith(STRENGTH) or PLANE in name)


def portable(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options without folders of the machine: bundled files below the repository, of all others the name."""

    def shortened(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [shortened(entry) for entry in value]
        if not isinstance(value, str) or "/" not in value:
            return value
        path = Path(value)
        inside = path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path
        return str(inside) if inside.parts[:2] == ("pretrained_models", "demo") else path.name

    return {name: shortened(value) for name, value in options.items()}


@torch.no_grad()
def stylegan2_of_psp(psp: Mapping[str, Any], folder: Path) -> Checkpoint:
    """A StyleGAN2 file from a pSp that trained its generator: W spans the codes of the training faces.

    Args:
        psp: the content of the file of pSp.
        folder: the training faces.

    Raises:
        InputError: the file of pSp does not fit, or the faces cannot be read.
    """
    net = load_psp(psp, "the weights of pSp")
    faces = FaceFolder(folder, net.input_size)
    parts = tqdm(torch.arange(len(faces)).split(100), "codes of the faces", unit="batch")
    codes = torch.cat([net.encode(faces.batch(part.tolist())["image"]) for part in parts])
    generator = with_shared_latent(net.decoder, codes)
    state = generator.state_dict()
    opts = {**psp["opts"], "architecture": {"generator": net.config.generator.to_dict()}}
    return {
        "g": state,
        "g_ema": state,
        "latent_avg": torch.full((generator.style_dim,), SHIFT),
        "opts": opts,
    }
