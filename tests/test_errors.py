"""Every command ends in one of four codes; trouble is a sentence; output that nobody reads ends nothing."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT

from utils.errors import InputError, StoppedError, explained

PROGRAM = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from utils.errors import *
"""


def ended(body: str, shell: str = "", **settings) -> subprocess.CompletedProcess[str]:
    """A command with this body in a process of its own; ``shell`` is what follows it on the command line."""
    program = PROGRAM + f"def main():\n    {body}\nrun_command(main)\n"
    line = f'"$0" -c "$1" {shell}'
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line, sys.executable, program],
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # which nohup ignores
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **settings,
    )


@pytest.mark.parametrize(
    ("body", "code", "sentence"),
    [
        ("pass", 0, ""),
        ("raise InputError('a.png is no picture')", 2, "error: a.png is no picture\n"),
        (
            "raise InputError('two\\\\nlines \\\\x1b[31m \\\\udc80')",
            2,
            "error: two lines \\x1b[31m \\udc80\n",
        ),
        ("raise StoppedError('stopped at step 3')", 3, "stopped at step 3\n"),
        ("raise KeyboardInterrupt", 3, "stopped; what was finished is kept\n"),
        ("import os; os.kill(os.getpid(), 15)", 3, "stopped; what was finished is kept\n"),
        ("import os; os.kill(os.getpid(), 1)", 3, "stopped; what was finished is kept\n"),
        ("open('/none/x')", 2, "error: /none/x: No such file or directory\n"),
        ("open('x' * 300, 'w')", 2, f"error: {'x' * 300}: File name too long; shorten the name\n"),
        ("raise OSError(28, 'full', 'r.png')", 2, "error: r.png: No space left on device; free some space"),
        ("raise MemoryError", 2, "error: there is not enough memory; "),
        (
            "raise RuntimeError('DefaultCPUAllocator: can\\'t allocate memory: 3')",
            2,
            "error: there is not enough",
        ),
        ("raise RuntimeError('CUDA out of memory. Tried')", 2, "error: there is not enough memory; "),
    ],
)
def test_every_end_has_its_code_and_sentence(body: str, code: int, sentence: str) -> None:
    result = ended(body.replace("\\\\", "\\"))
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr.startswith(sentence) and result.stderr.count("\n") == bool(sentence)


@pytest.mark.parametrize("error", ["KeyError('a')", "RuntimeError('shapes differ')", "OSError('no number')"])
def test_a_bug_keeps_its_traceback(error: str) -> None:
    result = ended(f"raise {error}")
    assert result.returncode == 1 and "Traceback" in result.stderr and error.split("(")[0] in result.stderr


WORK = "[print('line', i, flush=True) for i in range(2000)]; open(r'{}', 'w').write('finished')"


@pytest.mark.parametrize("stream", ["| head -1", "2>&1 | head -1", ">&-", ">&- 2>&-"])
def test_a_reader_who_leaves_does_not_end_the_work(stream: str, tmp_path: Path) -> None:
    result = ended(WORK.format(tmp_path / "result"), stream)
    assert result.returncode == 0 and "Traceback" not in result.stderr
    assert (tmp_path / "result").read_text(encoding="utf-8") == "finished"


def test_output_on_a_full_disk_is_said_after_the_work_is_done(tmp_path: Path) -> None:
    result = ended(WORK.format(tmp_path / "result"), "> /dev/full")
    assert result.returncode == 2 and (tmp_path / "result").read_text(encoding="utf-8") == "finished"
    assert result.stderr == (
        "error: the output cannot be written: No space left on device; "
        "free some space or choose another folder\n"
    )


def test_text_that_the_terminal_cannot_show_is_escaped() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    result = ended("print('J\\xfcrgen \\udc80'); raise InputError('\\xfc')", env=environment)
    assert (result.stdout, result.stderr) == ("J\\xfcrgen \\udc80\n", "error: \\xfc\n")


@pytest.mark.parametrize("number", [number for number in errno.errorcode if number != 0])
def test_every_refusal_of_the_system_is_one_sentence(number: int) -> None:
    sentence = explained(OSError(number, os.strerror(number), "a.png"))
    assert sentence is not None and sentence.startswith("a.png: ") and "\n" not in sentence


def test_errors_of_the_program_are_none_of_the_system() -> None:
    for error in (
        ValueError("a"),
        RuntimeError("shapes"),
        OSError("no number"),
        StoppedError(),
        InputError(),
    ):
        assert explained(error) is None


def test_ctrl_c_among_the_imports_of_a_command() -> None:
    scripts = str(ROOT / "scripts")
    code = f"import sys; sys.path.insert(0, {scripts!r}); import _bootstrap; raise KeyboardInterrupt"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (result.returncode, result.stderr) == (3, "stopped\n")
