"""Trains every bundled network from a folder of `{age}_{idx}` faces: `make demo-weights DATA=folder`.

Each network is one run of `scripts/train.py` with a preset of `configs/demo`; a stopped command continues
where it was. The results are stored in half precision.
"""

import _bootstrap  # noqa: F401

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from datasets.faces import FaceFolder
from models.psp import pSp
from models.stylegan2.shared_latent import SHIFT, with_shared_latent
from utils.files.checkpoints import halved, load_checkpoint, save_checkpoint
from utils.errors import InputError, run_command

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Stage:
    """One training.

    Attributes:
        preset: its options, a file of `configs/demo`.
        file: the bundled file it makes; None for a stage on the way to another.
        runs: stages whose newest weights it starts from, by flag.
        files: bundled files that it needs, by flag.
    """

    preset: str
    file: str | None = None
    runs: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


LOSS_NETWORKS = {"--age_classifier": "age_classifier.pt", "--identity_network": "identity.pt"}
STYLEGAN2 = {"--stylegan_weights": "stylegan2.pt"}
STAGES = {
    "age_classifier": Stage("age_classifier", "age_classifier.pt"),
    "judge_age": Stage("judge_age", "judge_age.pt"),
    "identity": Stage("identity", "identity.pt"),
    "judge_identity": Stage("judge_identity", "judge_identity.pt"),
    "stylegan2_64": Stage("stylegan2_64"),
    "psp_64": Stage("psp_64", runs={"--stylegan_weights": "stylegan2_64"}, files=LOSS_NETWORKS),
    "psp": Stage("psp_128", "psp.pt", runs={"--grow_from": "psp_64"}, files=LOSS_NETWORKS),
    "sam": Stage("sam", "sam.pt", files=LOSS_NETWORKS | STYLEGAN2 | {"--pretrained_psp_path": "psp.pt"}),
}


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data", required=True, metavar="DIR", help="faces, or a folder with train/ and val/ in it"
    )
    parser.add_argument("--runs", default=str(ROOT / "runs" / "demo"), metavar="DIR", help="run folders")
    parser.add_argument("--output_dir", default=str(ROOT / "pretrained_models" / "demo"), metavar="DIR")
    parser.add_argument("--only", metavar="NAME,NAME", help=f"some of {', '.join(STAGES)}")
    parser.add_argument(
        "--processes", type=int, default=1, help="processes a training, e.g. one for each CPU core"
    )
    parser.add_argument("--steps_scale", type=float, default=1.0, help="factor on the steps of every preset")
    parser.add_argument(
        "--export_only", action="store_true", help="store what the runs hold now, without training"
    )
    return parser.parse_args(arguments)


def chosen_stages(only: str | None) -> list[str]:
    """Names of the stages to run, in order.

    Raises:
        InputError: an unknown name.
    """
    names = only.split(",") if only else list(STAGES)
    unknown = [name for name in names if name not in STAGES]
    if unknown:
        raise InputError(f"--only={only}: there is no stage {unknown[0]}; choose from {', '.join(STAGES)}")
    return [name for name in STAGES if name in names]


def train_command(name: str, opts: argparse.Namespace) -> list[str]:
    """The command that trains a stage.

    Raises:
        InputError: it starts from a stage that has not been trained.
    """
    stage, data = STAGES[name], Path(opts.data)
    launcher = [sys.executable]
    if opts.processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={opts.processes}"]
    command = [*launcher, str(ROOT / "scripts" / "train.py"), f"@{ROOT}/configs/demo/{stage.preset}.args"]
    command += [f"--train_dataset={training_folder(opts)}", f"--exp_dir={Path(opts.runs) / name}"]
    if (data / "val").is_dir() and name != "stylegan2_64":
        command.append(f"--test_dataset={data / 'val'}")
    command += [f"{flag}={newest_weights(Path(opts.runs) / run)}" for flag, run in stage.runs.items()]
    command += [f"{flag}={Path(opts.output_dir) / file}" for flag, file in stage.files.items()]
    if opts.processes > 1:
        command.append("--threads=1")
    if opts.steps_scale != 1:
        command.append(f"--max_steps={max(1, round(preset_steps(stage.preset) * opts.steps_scale))}")
    return command


def training_folder(opts: argparse.Namespace) -> Path:
    """The folder of training faces: `train` in the data folder, or that itself."""
    data = Path(opts.data)
    return data / "train" if (data / "train").is_dir() else data


def preset_steps(preset: str) -> int:
    """`--max_steps` of a preset."""
    lines = (ROOT / "configs" / "demo" / f"{preset}.args").read_text().splitlines()
    return int(next(line.split("=")[1] for line in lines if line.startswith("--max_steps=")))


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


def export(name: str, opts: argparse.Namespace) -> None:
    """Stores the newest weights of a stage in half precision, without the discriminator beside an encoder.

    The generator that pSp trained becomes `stylegan2.pt`, with that discriminator.
    """
    file = STAGES[name].file
    if file is None:
        return
    weights = load_checkpoint(newest_weights(Path(opts.runs) / name))
    discriminator = weights.pop("d") if "state_dict" in weights and "d" in weights else None
    contents = {file: weights}
    if name == "psp":
        contents["stylegan2.pt"] = stylegan2_of_psp(weights, discriminator, training_folder(opts))
    for file, content in contents.items():
        stored = halved(content) | {"opts": portable(content.get("opts") or {})}
        if "g" in content and content["g"] is content["g_ema"]:
            stored["g"] = stored["g_ema"]  # the file then holds these numbers once
        path = save_checkpoint(stored, Path(opts.output_dir) / file)
        print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")


def portable(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options without folders of the machine: bundled files below the repository, of all others the name."""

    def shortened(value: Any) -> Any:
        if not isinstance(value, str) or "/" not in value:
            return value
        path = Path(value)
        inside = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        return str(inside) if inside.parts[:2] == ("pretrained_models", "demo") else path.name

    return {name: shortened(value) for name, value in options.items()}


@torch.no_grad()
def stylegan2_of_psp(psp: Mapping[str, Any], discriminator: Any, folder: Path) -> dict[str, Any]:
    """A StyleGAN2 file from a pSp that trained its generator: W spans the codes of the training faces."""
    net = pSp.from_checkpoint(psp, "the weights of pSp")
    faces = FaceFolder(folder, net.input_size)
    parts = tqdm(torch.arange(len(faces)).split(100), "codes of the faces", unit="batch")
    codes = torch.cat([net.encode(faces.batch(part.tolist())["image"]) for part in parts])
    generator = with_shared_latent(net.decoder, codes)
    state = generator.state_dict()
    opts = {**psp["opts"], "architecture": {"generator": net.config.generator.to_dict()}}
    return {
        "g": state,
        "g_ema": state,
        "d": discriminator,
        "latent_avg": torch.full((generator.style_dim,), SHIFT),
        "opts": opts,
    }


def main() -> None:
    opts = parse_options()
    if not Path(opts.data).is_dir():
        raise InputError(f"--data={opts.data}: no such folder; give a folder of faces named {{age}}_{{idx}}")
    for name in chosen_stages(opts.only):
        if not opts.export_only:
            command = train_command(name, opts)
            print("+ " + " ".join(command), flush=True)
            code = subprocess.run(command, cwd=ROOT, check=False).returncode
            if code:
                raise InputError(
                    f"training {name} ended with exit code {code}; the same command continues it"
                )
        export(name, opts)


if __name__ == "__main__":
    run_command(main)
