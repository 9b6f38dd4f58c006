"""Trainings that die: a warm process forks one for each command and ends it where the test says.

Run as a program it reads a JSON line for each training and answers with one: exit codes, and how much of what
:class:`Death` counts there was. Nothing is imported twice, so a training of a toy takes well under a second.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 180.0  # seconds that a training may take before it counts as hung
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = ("os.rename", "os.remove", "os.truncate", "os.link")


@dataclass(frozen=True)
class Death:
    """Where a training is killed.

    Attributes:
        unit: what is counted: ``changes`` to the folder (files opened for writing, renamed, removed, cut),
            ``bytes`` of checkpoints and states, ``seconds``.
        amount: after so much of it.
    """

    unit: str
    amount: float


class Lab:
    """The warm process; a context."""

    def __enter__(self) -> "Lab":
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def train(
        self,
        command: list[str],
        log: Path,
        death: Death | None = None,
        processes: int = 1,
        sent: tuple[float, int, str] | None = None,
        cache: bool = True,
        patch: str = "",
        script: str = "train",
        longest: float = LONGEST,
    ) -> dict[str, Any]:
        """Runs a script; returns ``codes`` of the processes (negative: signals) and the counts.

        Args:
            command: its command line.
            log: file that takes what it prints.
            death: where its first process is killed.
            processes: so many of them train together.
            sent: after so many seconds, this signal goes to the ``first``, the ``last`` or ``all`` processes
                and their helpers.
            cache: whether pictures are held in memory; else helpers decode them.
            patch: Python that each process runs first; it knows its ``rank``.
            script: its name.
            longest: seconds after which it counts as hung and is killed.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        task = {
            "command": command,
            "log": str(log),
            "death": asdict(death) if death else None,
            "processes": processes,
            "sent": sent,
            "cache": cache,
            "patch": patch,
            "script": script,
            "longest": longest,
        }
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


# ---------------------------------------------------------------- in the warm process


class _Counter:
    """Counts what a training does, and kills it where its death stands."""

    def __init__(self, death: dict[str, Any] | None, folder: str, report: int) -> None:
        self.counts = {"changes": 0.0, "bytes": 0.0, "seconds": 0.0}
        self._death, self._folder, self._report = death, folder, report
        self._begin = time.monotonic()

    def add(self, unit: str, amount: float = 1) -> None:
        self.counts[unit] += amount
        if self._death and self._death["unit"] == unit and self.counts[unit] > self._death["amount"]:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        changes = event in CHANGES or (event == "open" and bool((arguments[2] or 0) & WRITING))
        if changes and str(arguments[0]).startswith(self._folder):
            self.add("changes")

    def watch_saves(self) -> None:
        import torch

        original = torch.save

        def save(content: Any, file: Any, *more: Any, **settings: Any) -> None:
            original(content, _Watched(file, self), *more, **settings)

        torch.save = save

    def finish(self) -> None:
        self.counts["seconds"] = time.monotonic() - self._begin
        os.write(self._report, json.dumps(self.counts).encode())


class _Watched:
    """A file that counts what is written, a page at a time, so that a killed training leaves a part."""

    def __init__(self, file: Any, counter: _Counter) -> None:
        self._file, self._counter = file, counter

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        for start in range(0, len(view), 4096):
            self._file.write(view[start : start + 4096])
            self._file.flush()
            self._counter.add("bytes", len(view[start : start + 4096]))
        return len(view)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _child(task: dict[str, Any], rank: int, port: int, report: int) -> None:
    """Trains, in a group of processes of its own, and ends this process."""
    os.setpgid(0, 0)
    # As in a terminal: a shell that starts the tests in the background has SIGINT ignored.
    for name, handler in (("SIGINT", signal.default_int_handler), ("SIGTERM", 0), ("SIGHUP", 0)):
        signal.signal(getattr(signal, name), handler)
    output = os.open(task["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    if task["processes"] > 1:
        os.environ |= {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(task["processes"]),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
    folder = next(word for word in task["command"] if word.startswith("--exp_dir=")).partition("=")[2]
    counter = _Counter(task["death"] if rank == 0 else None, folder, report)
    if rank == 0:
        sys.addaudithook(counter.audit)
        counter.watch_saves()

    from commands import script_main

    from datasets.faces import FaceFolder
    from utils.errors import run_command

    if not task["cache"]:
        FaceFolder.__init__.__kwdefaults__["cache_bytes"] = 0
    exec(task["patch"], {"rank": rank})
    code = 1
    try:
        run_command(lambda: script_main(task["script"])(task["command"]))
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        import traceback

        traceback.print_exc()
    if rank == 0:
        counter.finish()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(task: dict[str, Any]) -> dict[str, Any]:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reading, writing = os.pipe()
    children = []
    for rank in range(task["processes"]):
        process = os.fork()
        if not process:
            _child(task, rank, port, writing)
        children.append(process)
    os.close(writing)
    death = task["death"]
    if death and death["unit"] == "seconds":
        threading.Timer(death["amount"], _send, (children[0], signal.SIGKILL, False)).start()
    if task["sent"]:
        delay, number, whom = task["sent"]
        for child in {"first": children[:1], "last": children[-1:], "all": children}[whom]:
            threading.Timer(delay, _send, (child, number, True)).start()
    limit = threading.Timer(
        task["longest"], lambda: [_send(child, signal.SIGKILL, True) for child in children]
    )
    limit.start()
    codes = {child: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children}
    limit.cancel()
    counts = os.read(reading, 4096)
    os.close(reading)
    return {"codes": list(codes.values()), "counts": json.loads(counts) if counts else None}


def _send(process: int, number: int, group: bool) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process, number) if group else os.kill(process, number)


def main() -> None:
    """Serves until its input ends."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what a training prints is no answer
    for folder in (str(ROOT / "tests"), str(ROOT)):
        sys.path.insert(0, folder)
    import commands  # noqa: F401
    import pytorch_optimizer  # noqa: F401
    import tensorboard.compat.proto.event_pb2  # noqa: F401
    import tensorboard.summary.writer.record_writer  # noqa: F401
    import torch
    import torch._dynamo  # noqa: F401 - which every optimiser asks for
    import torch.utils.tensorboard.summary  # noqa: F401

    from options.train_options import COACHES
    from utils.lazy import implementation

    torch.set_num_threads(1)
    for entry in COACHES.values():
        implementation(entry.coach)
    for line in sys.stdin:
        os.write(answers, (json.dumps(_run(json.loads(line))) + "\n").encode())


if __name__ == "__main__":
    main()
