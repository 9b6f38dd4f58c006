"""Trains every bundled network from a folder of `{age}_{idx}` faces: `make demo-weights DATA=folder`.

Each network is one run of `scripts/train.py` with a preset of `configs/demo`; a stopped command continues
where it was. The results are stored in half precision.
"""

import _bootstrap  # noqa: F401

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from utils.checkpoints import halved, load_checkpoint, save_checkpoint
from utils.errors import InputError, run_command

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Stage:
    """One training: its preset and the file it makes."""

    preset: str
    file: str


STAGES = {
    "age_classifier": Stage("age_classifier", "age_classifier.pt"),
    "judge_age": Stage("judge_age", "judge_age.pt"),
    "identity": Stage("identity", "identity.pt"),
    "judge_identity": Stage("judge_identity", "judge_identity.pt"),
    "stylegan2": Stage("stylegan2_64", "stylegan2.pt"),
    "psp": Stage("psp", "psp.pt"),
    "sam": Stage("sam", "sam.pt"),
}
NETWORK_FLAGS = {
    "stylegan2.pt": "--stylegan_weights",
    "age_classifier.pt": "--age_classifier",
    "identity.pt": "--identity_network",
    "psp.pt": "--pretrained_psp_path",
}
NEEDED = {
    "psp": ("stylegan2.pt", "age_classifier.pt", "identity.pt"),
    "sam": ("stylegan2.pt", "age_classifier.pt", "identity.pt", "psp.pt"),
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
    """The command that trains a stage."""
    stage, data = STAGES[name], Path(opts.data)
    train = data / "train" if (data / "train").is_dir() else data
    command = [
        sys.executable,
        str(ROOT / "scripts" / "train.py"),
        f"@{ROOT}/configs/demo/{stage.preset}.args",
    ]
    command += [f"--train_dataset={train}", f"--exp_dir={Path(opts.runs) / name}"]
    if (data / "val").is_dir() and not name.startswith("stylegan2"):
        command.append(f"--test_dataset={data / 'val'}")
    command += [f"{NETWORK_FLAGS[file]}={Path(opts.output_dir) / file}" for file in NEEDED.get(name, ())]
    if opts.steps_scale != 1:
        command.append(f"--max_steps={max(1, round(preset_steps(stage.preset) * opts.steps_scale))}")
    return command


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
        weights = load_checkpoint(newest_weights(Path(opts.runs) / name))
        path = save_checkpoint(halved(weights), Path(opts.output_dir) / STAGES[name].file)
        print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    run_command(main)
