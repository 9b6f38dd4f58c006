"""The folder of a training run: options, logs, pictures, weights and resume state."""

import contextlib
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from training.state import is_training_state
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint, save_checkpoint
from utils.files.writing import write_json

STATE_NAMES = ("resume_state.pt", "resume_state_previous.pt")
LIBRARIES = ("torch", "torchvision", "numpy", "pillow", "lpips", "pytorch-optimizer")


class RunFolder:
    """`exp_dir` with the official names: `opt.json`, `logs/`, `checkpoints/` (weights and resume state)."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.logs = self.path / "logs"
        self.images = self.logs / "images"
        self.checkpoints = self.path / "checkpoints"

    def create(self, options: dict[str, Any]) -> None:
        """Makes the folders and writes the options with the versions that ran them."""
        try:
            for folder in (self.images, self.checkpoints):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"--exp_dir={self.path} cannot be created ({error.strerror}); choose another"
            ) from error
        write_json(options | {"environment": environment()}, self.path / "opt.json", sort_keys=True)

    def save_weights(self, weights: dict[str, Any], name: str, note: str) -> Path:
        """Writes `checkpoints/NAME.pt` and a line in `checkpoints/timestamp.txt`."""
        path = save_checkpoint(weights, self.checkpoints / f"{name}.pt")
        with (self.checkpoints / "timestamp.txt").open("a") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {name}: {note}\n")
        return path

    def save_state(self, state: dict[str, Any]) -> None:
        """Writes the resume state; the one before stays as a second chance."""
        current, previous = (self.checkpoints / name for name in STATE_NAMES)
        if current.exists():
            current.replace(previous)
        save_checkpoint(state, current)

    def load_state(self) -> dict[str, Any] | None:
        """Returns the newest readable resume state, or None if there is none."""
        found = [self.checkpoints / name for name in STATE_NAMES if (self.checkpoints / name).exists()]
        for path in found:
            try:
                state = load_checkpoint(path)
                if not is_training_state(state):
                    raise InputError(f"{path} is not the resume state of a training")
                return state
            except InputError as error:
                print(f"warning: {error}; trying the state before it", file=sys.stderr)
        if found:
            raise InputError(
                f"no resume state in {self.checkpoints} can be read; remove the folder to start afresh"
            )
        return None


def newest_run(exp_dir: str | Path, max_steps: int) -> Path:
    """The numbered folder below `exp_dir` to continue or to begin, as MyTimeMachine numbers its runs.

    The newest run goes on while it has fewer than `max_steps` steps; a finished one is followed by the next
    number.
    """
    numbers = [int(path.name) for path in Path(exp_dir).glob("[0-9]" * 5) if path.is_dir()]
    if not numbers:
        return Path(exp_dir) / "00000"
    newest = Path(exp_dir) / f"{max(numbers):05d}"
    state = RunFolder(newest).load_state()
    finished = state is not None and state["step"] >= max_steps
    return Path(exp_dir) / f"{max(numbers) + 1:05d}" if finished else newest


def environment() -> dict[str, str]:
    """Versions and revision of what runs, for the record beside the options."""
    known = {"python": platform.python_version(), "machine": platform.machine(), "git": git_revision()}
    for name in LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            known[name] = metadata.version(name)
    return known


def git_revision() -> str:
    """Revision of the checkout; `unknown` without git or a repository."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return result.stdout.strip()
