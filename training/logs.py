"""The logs of a run; when it continues, all end at the step of its state: nothing twice, nothing cut."""

import json
import os
import re
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from training.file_names import FileNames
from utils.distributed import is_main
from utils.files.writing import write_text
from utils.pictures.writing import save_pil

MUCH_WAITING = 0.05  # share of the time
EVENTS = "events.out.tfevents."
HEADER, FOOTER = 12, 4  # bytes about a record of TensorBoard: length and its checksum, checksum of the data
_STEP_TAG, _CLOCK = 0x10, 9  # an event begins with its clock time, then its step


class LineLog:
    """A text file with a line for each thing that happened at a step.

    Args:
        path: the file.
        step_of: the step of a line; raises ``ValueError`` for one that is none.
    """

    def __init__(self, path: Path, step_of: Callable[[str], int]) -> None:
        self.path = path
        self._step_of = step_of

    def append(self, line: str) -> None:
        """Adds a line, on the disk before this returns."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def steps(self) -> set[int]:
        """The steps that have a line."""
        return {step for line in self._lines() if (step := self._step(line)) is not None}

    def rows(self) -> tuple[list[dict[str, Any]], int]:
        """The lines of a file of JSON, and how many others there are."""
        lines = self._lines()
        rows = [json.loads(line) for line in lines if self._step(line) is not None]
        return rows, len(lines) - len(rows)

    def cut(self, step: int) -> None:
        """Leaves out what is said of later steps, and what an interruption left of a line."""
        lines = self._lines()
        kept = [line for line in lines if (found := self._step(line)) is not None and found <= step]
        if len(kept) < len(lines):
            write_text("".join(kept), self.path)

    def _lines(self) -> list[str]:
        if not self.path.exists():
            return []
        return self.path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)

    def _step(self, line: str) -> int | None:
        try:
            return self._step_of(line) if line.endswith("\n") else None
        except (ValueError, KeyError, TypeError):
            return None


def step_of_row(line: str) -> int:
    """The step of a line of JSON."""
    return int(json.loads(line)["step"])


def step_of_note(line: str) -> int:
    """The step of a line of `timestamp.txt`."""
    found = re.search(r": step (\d+)", line)
    if found is None:
        raise ValueError(line)
    return int(found[1])


class EventLog:
    """Figures and pictures for TensorBoard; a file for each time that the run was continued.

    Args:
        folder: of the files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: Any = None

    def scalar(self, name: str, value: float, step: int) -> None:
        """Adds a figure."""
        from torch.utils.tensorboard.summary import scalar

        self._write(step, summary=scalar(name, value))

    def image(self, name: str, sheet: Image.Image, step: int) -> None:
        """Adds a picture."""
        from torch.utils.tensorboard.summary import image

        self._write(step, summary=image(name, np.asarray(sheet.convert("RGB")), dataformats="HWC"))

    def flush(self) -> None:
        """Brings everything to the disk."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Ends the file."""
        if self._file is not None:
            self.flush()
            self._file.close()
            self._file = None

    def cut(self, step: int) -> None:
        """Leaves out events of later steps, and what an interruption left of one."""
        for path in self._files():
            _cut_events(path, step)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(EVENTS + "*"))

    def _write(self, step: int, **content: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        if self._file is None:
            self._file = self._next_file().open("ab")
            self._records = RecordWriter(self._file)
            self._records.write(
                Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString()
            )
        self._records.write(Event(wall_time=time.time(), step=step, **content).SerializeToString())

    def _next_file(self) -> Path:
        """A name that TensorBoard, which sorts them, reads after the others, also within a second."""
        known = self._files()
        begun = [int(found[1]) for path in known if (found := re.match(rf"{EVENTS}(\d+)", path.name))]
        return self.folder / f"{EVENTS}{max([int(time.time()), *begun]):010d}.{len(known):05d}"


def _cut_events(path: Path, step: int) -> None:
    """Ends a file of events before the first that is of a later step or not whole."""
    size = path.stat().st_size
    with path.open("rb+") as file:
        end = 0
        while end + HEADER <= size:
            (length,) = struct.unpack("<Q", file.read(HEADER)[:8])
            following = end + HEADER + length + FOOTER
            if following > size or _step_of_event(file.read(min(length, 32))) > step:
                break
            end = following
            file.seek(end)
        if end < size:
            file.truncate(end)
            os.fsync(file.fileno())
    if not end:
        path.unlink()


def _step_of_event(data: bytes) -> int:
    """The step in the first bytes of an event; protocol buffers leave out a 0."""
    if len(data) <= _CLOCK or data[_CLOCK] != _STEP_TAG:
        return 0
    step = 0
    for place, byte in enumerate(data[_CLOCK + 1 :]):
        step |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            break
    return step


def progress_bar(name: str, step: int, steps: int) -> tqdm:
    """The bar of a training, in the first process."""
    return tqdm(total=steps, initial=step, unit="step", desc=name, smoothing=0.02, disable=not is_main())


def shown(figures: Mapping[str, float], share_waited: float) -> dict[str, str]:
    """What the bar shows beside the steps: some figures, and how long steps wait for pictures, if long."""
    first = {name: f"{value:.3g}" for name, value in list(figures.items())[:4]}
    return first | ({"data": f"{share_waited:.0%}"} if share_waited >= MUCH_WAITING else {})


class RunLogs:
    """All that a run tells beside its weights.

    Args:
        logs: the folder `logs`.
        checkpoints: the folder of the weights, where `timestamp.txt` lies.
        keep_sheets: so many sheets of each name stay; 0: all.
    """

    def __init__(self, logs: Path, checkpoints: Path, keep_sheets: int = 0) -> None:
        self._run = logs.parent
        self.events = EventLog(logs)
        self.images = logs / "images"
        self.validation = LineLog(logs / "validation.jsonl", step_of_row)
        self.skipped = LineLog(logs / "skipped_steps.jsonl", step_of_row)
        self.journal = LineLog(logs / "journal.jsonl", step_of_row)  # starts, notes, ends: it is never cut
        self.weights = LineLog(checkpoints / "timestamp.txt", step_of_note)
        self._keep_sheets = keep_sheets

    def metric(self, name: str) -> LineLog:
        """The file `metric-NAME.jsonl`, which lies in the run folder as with stylegan2-ada-pytorch."""
        return LineLog(self._run / f"metric-{name}.jsonl", step_of_row)

    def cut(self, step: int) -> None:
        """Leaves out what happened after a step: it will happen again."""
        for log in (self.events, self.validation, self.skipped, self.weights):
            log.cut(step)
        for path in self._run.glob("metric-*.jsonl"):
            LineLog(path, step_of_row).cut(step)

    def sheet(self, name: str, sheet: Image.Image, step: int, names: FileNames) -> None:
        """Writes a picture below `images`, and to TensorBoard where all sheets are kept."""
        path = self.images / names.sheet(name, step)
        save_pil(sheet, path)
        if not self._keep_sheets:
            self.events.image(name, sheet, step)
            return
        known = sorted(other for other in path.parent.iterdir() if names.is_sheet(name, other))
        for old in [other for other in known if other <= path][: -self._keep_sheets]:
            old.unlink(missing_ok=True)
