"""The folder of a training run: options, logs, pictures, weights and resume state."""

import time
from pathlib import Path
from typing import Any

from PIL import Image

from training.file_names import FileNames
from training.logs import RunLogs
from training.run_lock import RunLock
from training.state import is_training_state
from utils.distributed import is_main
from utils.errors import InputError
from utils.files.checkpoints import load_checkpoint, save_checkpoint
from utils.files.writing import write_json
from utils.notes import note
from utils.provenance import environment

NEWEST, PREVIOUS = "resume_state.pt", "resume_state_previous.pt"
NEXT = "resume_state_next.pt"  # written whole before it takes the place of the newest
Signature = tuple[int, int, int]


class RunFolder:
    """`exp_dir` with the official names: `opt.json`, `logs/`, `checkpoints/` (weights and resume state).

    Two sound resume states lie on the disk as soon as two were saved: a new one is whole before it moves the
    others, and one that cannot be read is never kept in the place of one that can.

    Args:
        path: the folder.
        keep_checkpoints: so many `iteration_N.pt` stay, the newest; 0: all.
        keep_sheets: so many sheets of each name stay; 0: all.

    Attributes:
        names: how the files of a step are called.
    """

    def __init__(self, path: str | Path, keep_checkpoints: int = 0, keep_sheets: int = 0) -> None:
        self.path = Path(path)
        self.images = self.path / "logs" / "images"
        self.checkpoints = self.path / "checkpoints"
        self.names = FileNames()
        self.logs = RunLogs(self.path / "logs", self.checkpoints, keep_sheets)
        self._keep_checkpoints = keep_checkpoints
        self._lock = RunLock(self.path)
        self._loaded: Path | None = None
        self._sound: Signature | None = None  # of the newest state, where it was read or written whole
        self._saved_at: int | None = None  # step of the newest state that this process wrote
        self._written: list[int] = []  # steps of the weights that it wrote

    # ---------------------------------------------------------------- whose it is

    def open(self) -> None:
        """Takes the folder, where there is one, so that no other training changes it.

        Raises:
            InputError: another training is at work there.
        """
        if self.path.is_dir():
            self._lock.acquire()

    def create(self, options: dict[str, Any]) -> None:
        """Makes the folders and writes the options with the versions that ran them.

        Raises:
            InputError: it cannot be made, or another training began there meanwhile.
        """
        try:
            for folder in (self.images, self.checkpoints):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"--exp_dir={self.path} cannot be created ({error.strerror}); choose another"
            ) from error
        if not self._lock.held:
            self._lock.acquire()
            if self._states():
                self.close()
                raise InputError(f"another training began in {self.path} meanwhile; start this one again")
        write_json(options | {"environment": environment()}, self.path / "opt.json", sort_keys=True)

    def close(self) -> None:
        """Ends the logs and gives the folder back."""
        self.logs.events.close()
        self._lock.release()

    # ---------------------------------------------------------------- weights

    def save_weights(self, weights: dict[str, Any], name: str, note: str) -> Path:
        """Writes `checkpoints/NAME.pt` and a line in `checkpoints/timestamp.txt`.

        Raises:
            InputError: the file cannot be written.
        """
        path = save_checkpoint(weights, self.checkpoints / f"{name}.pt")
        self.logs.weights.append(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {name}: {note}")
        return path

    def save_step(self, weights: dict[str, Any], step: int) -> Path:
        """Writes the weights of a step, and removes the oldest ones that are too many.

        Raises:
            InputError: the file cannot be written.
        """
        path = self.save_weights(weights, self.names.weights(step), f"step {step}")
        self._written.append(step)
        for old in self._weights_up_to(path)[: -self._keep_checkpoints] if self._keep_checkpoints else ():
            old.unlink(missing_ok=True)
        return path

    def weights_file(self, step: int) -> Path:
        """Where the weights of a step lie."""
        return self.checkpoints / f"{self.names.weights(step)}.pt"

    def _weights_up_to(self, newest: Path) -> list[Path]:
        """The weights of steps up to those of one, which come last."""
        numbers = {path: self.names.number(path) for path in self.checkpoints.glob("*.pt")}
        known = sorted((number, path) for path, number in numbers.items() if number is not None)
        return [path for number, path in known if number <= (numbers[newest] or 0)]

    def show(self, name: str, sheet: Image.Image, step: int) -> None:
        """Writes a sheet of pictures, see :meth:`RunLogs.sheet`."""
        self.logs.sheet(name, sheet, step, self.names)

    # ---------------------------------------------------------------- the resume state

    @property
    def state_file(self) -> Path:
        """Where the newest resume state lies."""
        return self.checkpoints / NEWEST

    def save_state(self, state: dict[str, Any]) -> None:
        """Writes the resume state; the one before stays as a second chance.

        Raises:
            InputError: it cannot be written; those that lie there stay.
        """
        newest, following = self.checkpoints / NEWEST, self.checkpoints / NEXT
        save_checkpoint(state, following)
        if newest.exists() and self._is_sound(newest):
            newest.replace(self.checkpoints / PREVIOUS)
        following.replace(newest)
        self._sound = signature(newest)
        self._saved_at = state["step"]

    def _is_sound(self, path: Path) -> bool:
        """Whether a state can be read; one that nobody touched since it was is not read again."""
        if signature(path) == self._sound:
            return True
        try:
            read_state(path)
        except InputError:
            return False
        return True

    def load_state(self) -> dict[str, Any] | None:
        """Returns the newest readable resume state, or None if there is none.

        Raises:
            InputError: there are some, and none can be read.
        """
        found = self._states()
        for path in found:
            try:
                state = read_state(path)
            except InputError as error:
                if is_main():
                    note(f"{error}; trying the state before it", "warning")
                continue
            self._loaded, self._sound = path, signature(path)
            return state
        if found:
            raise InputError(
                f"no resume state in {self.checkpoints} can be read; remove the folder to start afresh"
            )
        return None

    def tidy(self) -> None:
        """Ends what an interruption left half done: a state that was not yet in its place."""
        following, newest = self.checkpoints / NEXT, self.checkpoints / NEWEST
        if self._loaded == following:
            if newest.exists() and self._is_sound(newest):
                newest.replace(self.checkpoints / PREVIOUS)
            following.replace(newest)
            self._sound = signature(newest)
        else:
            following.unlink(missing_ok=True)

    def withdraw(self, since: int) -> None:
        """Takes back what this process saved from a step on, because no sound step followed."""
        newest, previous = self.checkpoints / NEWEST, self.checkpoints / PREVIOUS
        if self._saved_at is not None and self._saved_at >= since:
            if previous.exists():
                previous.replace(newest)
            else:
                newest.unlink(missing_ok=True)
        for step in self._written:
            if step >= since:
                self.weights_file(step).unlink(missing_ok=True)

    def _states(self) -> list[Path]:
        """The files of states, the newest first."""
        places = (self.checkpoints / name for name in (NEXT, NEWEST, PREVIOUS))
        return [path for path in places if path.exists()]


def read_state(path: Path) -> dict[str, Any]:
    """Reads a resume state.

    Raises:
        InputError: it cannot be read, or is something else.
    """
    state = load_checkpoint(path)
    if not is_training_state(state):
        raise InputError(f"{path} is not the resume state of a training")
    return state


def signature(path: Path) -> Signature:
    """What changes when a file is written anew."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def newest_run(exp_dir: str | Path, max_steps: int) -> Path:
    """The numbered folder below `exp_dir` to continue or to begin, as MyTimeMachine numbers its runs.

    The newest run goes on while it has fewer than `max_steps` steps, or lacks its weights; a finished one is
    followed by the next number.
    """
    numbers = [int(path.name) for path in Path(exp_dir).glob("[0-9]" * 5) if path.is_dir()]
    if not numbers:
        return Path(exp_dir) / "00000"
    newest = Path(exp_dir) / f"{max(numbers):05d}"
    run = RunFolder(newest)
    state = run.load_state()
    finished = state is not None and state["step"] >= max_steps and run.weights_file(state["step"]).exists()
    return Path(exp_dir) / f"{max(numbers) + 1:05d}" if finished else newest
