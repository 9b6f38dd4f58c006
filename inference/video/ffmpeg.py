"""The program ffmpeg, which imageio-ffmpeg brings: started, fed, ended; its complaints as one sentence."""

import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from utils.errors import InputError
from utils.pictures.animation import require_video_writer
from utils.signals import held_signals

_QUIET = ("-hide_banner", "-nostdin", "-loglevel", "error")
_MESSAGES = 1 << 16  # bytes of what it says that are read: the last


def executable() -> str:
    """Where the program is.

    Raises:
        InputError: there is none.
    """
    require_video_writer(otherwise=None)
    import imageio_ffmpeg

    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise InputError("imageio-ffmpeg has no ffmpeg here; run: pip install imageio-ffmpeg") from error


def source(path: Path) -> tuple[str, ...]:
    """Arguments that name an input: a file and nothing else, so that no list in it leads to the network."""
    return "-protocol_whitelist", "file", "-i", f"file:{path}"


class Ffmpeg:
    """A running ffmpeg; a context at whose end it has ended.

    Signals reach the calling process alone, which ends this one itself.

    Args:
        arguments: of the program.
        fed: whether :attr:`input` is written here.
        read: whether :attr:`output` is read here.
    """

    def __init__(self, arguments: Sequence[str], fed: bool = False, read: bool = False) -> None:
        self._words = [executable(), *_QUIET, *arguments]
        self._fed, self._read = fed, read

    def __enter__(self) -> "Ffmpeg":
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115
        with held_signals():
            self._process = subprocess.Popen(
                self._words,
                stdin=subprocess.PIPE if self._fed else subprocess.DEVNULL,
                stdout=subprocess.PIPE if self._read else subprocess.DEVNULL,
                stderr=self._messages,
            )
        return self

    @property
    def input(self) -> IO[bytes]:
        """What the program reads."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def output(self) -> IO[bytes]:
        """What the program writes."""
        assert self._process.stdout is not None
        return self._process.stdout

    def finish(self) -> bool:
        """Waits for the end, after the input; tells whether all went well."""
        if self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except OSError:
                return False
        return self._process.wait() == 0

    def messages(self) -> str:
        """What it has said so far."""
        self._messages.seek(max(0, self._messages.seek(0, os.SEEK_END) - _MESSAGES))
        return self._messages.read().decode(errors="replace")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue
        self._process.wait()
        self._messages.close()


def run(arguments: Sequence[str]) -> tuple[bool, str]:
    """Runs the program to its end; tells whether all went well, and what it said."""
    with Ffmpeg(arguments) as program:
        return program.finish(), program.messages()


def reason(messages: str) -> str:
    """The last complaint in some messages, without the addresses that the program puts before it."""
    lines = [re.sub(r"\[[^\]]* @ [^\]]*\]\s*", "", line).strip() for line in messages.splitlines()]
    told = [line for line in lines if line and not line.startswith(("Last message", "Conversion failed"))]
    return re.sub(r"^(Error opening input:?|file:\S*:)\s*", "", told[-1]) if told else "it ended early"
