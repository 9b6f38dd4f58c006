"""How every command ends: four exit codes, and one door at which any trouble becomes a sentence."""

import contextlib
import errno
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TextIO

DONE, BUG, BAD_INPUT, STOPPED = 0, 1, 2, 3

# What to do about the commonest troubles of a system.
_REMEDIES = {
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some space or choose another folder",
    errno.EFBIG: "choose a folder that takes files of this size",
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "change its permissions or choose another",
    errno.EPERM: "change its permissions or choose another",
    errno.ENAMETOOLONG: "shorten the name",
    errno.ELOOP: "it is a link to itself; name the file that it should lead to",
    errno.EMFILE: "close other programs or raise the limit (ulimit -n)",
    errno.ENFILE: "close other programs or raise the limit (ulimit -n)",
    errno.ENOMEM: "close other programs, or work on smaller or fewer pictures at a time",
}
_LONGEST = 1000  # characters of a message
_MEMORY_REMEDY = (
    "close other programs, or use a smaller batch, smaller pictures, fewer workers or --compile=none"
)


def one_line(text: str) -> str:
    """Text for one line of a terminal.

    A file's name or a value may hold line breaks, control codes and what is no text, and fill a screen.
    """
    text = re.sub(r"\s*[\t\n\r\f\v]\s*", " ", text.strip())
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 3 :]}"


class InputError(Exception):
    """The user's input cannot be used; one sentence names the file or flag and the remedy."""

    def __init__(self, sentence: str = "") -> None:
        super().__init__(one_line(sentence))


class StoppedError(Exception):
    """The work was stopped before its end and the same command continues it; the message says where."""


def run_command(main: Callable[[], int | None]) -> None:
    """Runs a script's ``main`` and exits: 0 done, 2 bad input, 3 stopped and resumable; a bug ends in 1.

    Bad input is any ``InputError`` and any refusal of the system (a full disk, no permission, too little
    memory): one sentence, no traceback. SIGTERM and SIGHUP stop as Ctrl-C does. Text that the terminal cannot
    show is written with escapes, and a reader who closed the pipe does not end the work.
    """
    outputs = [_forgiving(name) for name in ("stdout", "stderr")]
    _stop_on_signals()
    if not sys.warnoptions:
        warnings.showwarning = _show_warning
    code = _outcome(main)
    sys.exit(max(code, *(output.finish() for output in outputs)))


def _outcome(main: Callable[[], int | None]) -> int:
    try:
        return main() or DONE
    except InputError as error:
        return _say(f"error: {error}", BAD_INPUT)
    except StoppedError as error:
        return _say(str(error), STOPPED)
    except KeyboardInterrupt:
        return _say("stopped; what was finished is kept", STOPPED)
    except (OSError, MemoryError, RuntimeError) as error:
        sentence = explained(error)
        if sentence is None:
            raise
        return _say(f"error: {sentence}", BAD_INPUT)


def _say(text: str, code: int) -> int:
    print(one_line(text), file=sys.stderr)
    return code


@contextlib.contextmanager
def naming(flag: str) -> Iterator[None]:
    """Begins the message of an ``InputError`` with the flag that was meant, unless it begins with one."""
    try:
        yield
    except InputError as error:
        if not flag or str(error).startswith("--"):
            raise
        raise InputError(f"{flag}: {error}") from error


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    """A warning for users as one line, without source code; those for programmers not at all."""
    if category is UserWarning:
        _say(f"warning: {message}", DONE)


def explained(error: BaseException) -> str | None:
    """What the system refused, as a sentence with a remedy; None for errors that are not the system's."""
    if isinstance(error, OSError) and error.errno is not None:
        place = f"{error.filename}: " if error.filename else ""
        remedy = _REMEDIES.get(error.errno)
        return f"{place}{os.strerror(error.errno)}" + (f"; {remedy}" if remedy else "")
    # torch reports a lack of memory as RuntimeErrors of its own.
    text = str(error).lower()
    if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
        return f"there is not enough memory; {_MEMORY_REMEDY}"
    if isinstance(error, RuntimeError) and "no space left" in text:
        return f"{os.strerror(errno.ENOSPC)}; {_REMEDIES[errno.ENOSPC]}"
    return None


# ---------------------------------------------------------------- signals


def _stop_on_signals() -> None:
    """Lets a polite end of the process run the clean-up that Ctrl-C runs; ``nohup`` stays in force."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        with contextlib.suppress(ValueError):  # not in the main thread
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                signal.signal(number, _interrupt)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


# ---------------------------------------------------------------- output


def _forgiving(name: str) -> "_Output":
    """Puts a forgiving stream in the place of ``sys.stdout`` or ``sys.stderr``."""
    stream = getattr(sys, name)
    if stream is None:  # no terminal at all
        stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")
    output = stream if isinstance(stream, _Output) else _Output(stream)
    setattr(sys, name, output)
    return output


class _Output:
    """A text stream whose end, full disk or narrow encoding does not end the work."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._trouble: OSError | None = None

    def write(self, text: str) -> int:
        with self._forgiven():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._forgiven():
            self._stream.flush()

    def finish(self) -> int:
        """Flushes; the exit code that the stream asks for."""
        self.flush()
        if self._trouble is None or self._trouble.errno == errno.EPIPE:
            return DONE
        return _say(f"error: the output cannot be written: {explained(self._trouble)}", BAD_INPUT)

    @contextlib.contextmanager
    def _forgiven(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._trouble = self._trouble or error
            self._discard_the_rest()

    def _discard_the_rest(self) -> None:
        """Leads the stream nowhere, else Python tries once more at its end and prints a traceback."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
