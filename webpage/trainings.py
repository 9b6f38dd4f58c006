"""Personal models that are made on the page: they train beside it, one after the other, and outlive it."""

import json
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any

from configs.paths_config import REPOSITORY
from options.mytimemachine_options import MyTimeMachineOptions
from options.train_options import parse_train_options
from options.web_options import WebOptions
from utils.errors import STOPPED, InputError
from utils.files.writing import write_json

DATA, RUN, RESULT = "data", "run", "result"
LOG, STATE, FIGURES = "training.log", "state.json", "personalization.json"
WAITING, TRAINING, JUDGING, DONE, FAILED, HALTED = (
    "waiting",
    "training",
    "judging",
    "done",
    "failed",
    "stopped",
)
_PROGRESS = re.compile(r"Coach\w+: .*?(\d+)/(\d+) \[[\d:]+<([\d:?]+)")  # of the bar of a training
_OWNER = re.compile(r"[0-9a-f]{32}")
_LAST = 20_000  # bytes of a log that are looked at


@dataclass(frozen=True)
class Training:
    """A personal model.

    Attributes:
        folder: its data set, run, log and result.
    """

    folder: Path

    @property
    def name(self) -> str:
        """What its person is called."""
        return self.folder.name

    @property
    def state(self) -> dict[str, Any]:
        """What was written about it last; a page that was closed meanwhile finds it."""
        try:
            found = json.loads((self.folder / STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {"status": HALTED}
        return found if isinstance(found, dict) else {"status": HALTED}

    def note(self, status: str, sentence: str = "") -> None:
        """Writes how far it is."""
        write_json({"status": status, "sentence": sentence, "time": time.time()}, self.folder / STATE)

    @property
    def progress(self) -> tuple[int, int, str] | None:
        """Steps done, steps in all and time left, as the bar of the training shows them."""
        found = _PROGRESS.findall(self._log())
        return (int(found[-1][0]), int(found[-1][1]), found[-1][2]) if found else None

    @property
    def reason(self) -> str:
        """The last sentence of the log that says an error."""
        lines = [line for line in re.split(r"[\r\n]+", self._log()) if line.startswith("error: ")]
        return (
            lines[-1].removeprefix("error: ")
            if lines
            else f"it ended without a word; see {self.folder / LOG}"
        )

    @property
    def checkpoint(self) -> Path | None:
        """The newest weights."""
        found = (self.folder / RUN).glob("*/checkpoints/iteration_*.pt")
        return max(found, key=lambda path: path.stat().st_mtime, default=None)

    @property
    def figures(self) -> str:
        """What the judges say of it, in a sentence; empty where they could not judge."""
        try:
            gain = json.loads((self.folder / RESULT / FIGURES).read_text(encoding="utf-8"))["overall"]["gain"]
            similarity, years = float(gain["similarity"]), float(gain["age_error"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""
        held_out = (self.folder / DATA / "test").is_dir()
        photos = "photos that it has not seen" if held_out else "the photos that it was trained on"
        return (
            f"Compared with the global model, on {photos}: identity {similarity:+.3f}, "
            f"error of the judged age {years:+.1f} years."
        )

    def _log(self) -> str:
        try:
            with (self.folder / LOG).open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - _LAST))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""


class Trainings:
    """All personal models of the page.

    Args:
        opts: of the page.

    Raises:
        InputError: the preset cannot be used.
    """

    def __init__(self, opts: WebOptions) -> None:
        self.opts = opts
        self.root = Path(opts.exp_dir)
        self._pool = ThreadPoolExecutor(1, "training")
        self._running: dict[Path, subprocess.Popen[bytes] | None] = {}
        self._lock = Lock()
        self._closed = False

    def owner(self, token: str | None) -> str:
        """The owner that a browser remembers, or a new one."""
        return token if token and _OWNER.fullmatch(token) else secrets.token_hex(16)

    def of(self, owner: str) -> list[Training]:
        """The models of an owner, the newest first."""
        folder = self.root / self.owner(owner)
        found = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
        return [Training(path) for path in sorted(found, key=lambda path: -path.stat().st_mtime)]

    def made(self, path: Path) -> bool:
        """Whether a file is the result of a training; nobody knows the folder of another owner."""
        places = self.root.glob(f"*/*/{RUN}/*/checkpoints/{path.name}")
        return path.suffix == ".pt" and path.resolve() in {place.resolve() for place in places}

    def place(self, owner: str, name: str) -> Path:
        """The folder of a new model.

        Raises:
            InputError: the name is empty or taken.
        """
        plain = re.sub(r"[^\w -]+", "", name).strip()[:40]
        folder = self.root / self.owner(owner) / plain
        if not plain:
            raise InputError("give the person a name, of letters and digits")
        if folder.exists():
            raise InputError(f"there is a model of {plain} already; choose another name, or remove that one")
        return folder

    def start(self, training: Training) -> None:
        """Has a model trained, or trained further; at once, or after those that came before."""
        with self._lock:
            if training.folder not in self._running:
                self._running[training.folder] = None
                training.note(WAITING)
                self._pool.submit(self._run, training)

    def status(self, training: Training) -> str:
        """How far it is; of a training that nobody runs any more: stopped."""
        status = str(training.state.get("status"))
        unfinished = status in (WAITING, TRAINING, JUDGING)
        return HALTED if unfinished and training.folder not in self._running else status

    def remove(self, training: Training) -> None:
        """Stops a training and deletes all that belongs to it."""
        self._stop(training.folder)
        shutil.rmtree(training.folder, ignore_errors=True)

    def close(self) -> None:
        """Stops all: each saves its state and goes on when it is started again."""
        self._closed = True
        for folder in list(self._running):
            self._stop(folder)
        self._pool.shutdown()

    def _stop(self, folder: Path) -> None:
        with self._lock:
            process = self._running.pop(folder, None)
        if process is not None:
            process.terminate()
            process.wait()

    def _run(self, training: Training) -> None:
        """In the thread of the trainings: trains, then judges."""
        try:
            for status, command in ((TRAINING, self.training_command), (JUDGING, self.judging_command)):
                if self._closed or training.folder not in self._running:
                    return
                training.note(status)
                code = self._call(training, command(training))
                if code:
                    stopped = self._closed or code == STOPPED
                    training.note(HALTED if stopped else FAILED, training.reason)
                    return
            training.note(DONE)
        except (InputError, OSError) as error:
            if training.folder.is_dir():
                training.note(FAILED, str(error))
        finally:
            with self._lock:
                self._running.pop(training.folder, None)

    def _call(self, training: Training, words: Sequence[str]) -> int:
        with (training.folder / LOG).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *words], cwd=REPOSITORY, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
            with self._lock:
                if training.folder in self._running:
                    self._running[training.folder] = process
                else:
                    process.terminate()
            return process.wait()

    # ---------------------------------------------------------------- commands

    def _training_words(self, training: Training) -> list[str]:
        """The flags of a training."""
        data = training.folder / DATA / "train"
        return [
            f"@{self.opts.preset}",
            f"--train_dataset={data}",
            f"--exp_dir={training.folder / RUN}",
            f"--device={self.opts.device}",
        ]

    def training_command(self, training: Training) -> list[str]:
        """The words after `python` that train a model."""
        return ["scripts/train.py", *self._training_words(training)]

    @cached_property
    def global_checkpoint(self) -> str:
        """The model that is personalised.

        Raises:
            InputError: the preset cannot be used.
        """
        opts = parse_train_options(self._training_words(Training(self.root)))
        if not isinstance(opts, MyTimeMachineOptions):
            raise InputError(f"--preset={self.opts.preset} is none of --coach=mytimemachine; give another")
        return str(opts.checkpoint_path)

    def judging_command(self, training: Training) -> list[str]:
        """The words after `python` that set it beside the global model, on photos that it has not seen."""
        held_out = training.folder / DATA / "test"
        seen = held_out if held_out.is_dir() else training.folder / DATA / "train"
        return [
            "scripts/evaluate.py",
            f"--data_path={seen}",
            f"--checkpoint_path={self.global_checkpoint}",
            f"--personalized_checkpoint={training.checkpoint}",
            f"--exp_dir={training.folder / RESULT}",
            f"--device={self.opts.device}",
        ]
