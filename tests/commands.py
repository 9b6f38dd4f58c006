"""The commands as tests run them: in this process, or as a user does."""

import importlib.util
import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from utils.errors import run_command

ROOT = Path(__file__).resolve().parents[1]


def script_main(script: str) -> Callable[..., None]:
    """The ``main`` of a script, found by its file: the name `inference` is that of a package, too."""
    if str(ROOT / "scripts") not in sys.path:
        sys.path.append(str(ROOT / "scripts"))  # the bootstrap line is imported from there
    rooms = (ROOT / "scripts", ROOT)  # `demo.py` stands at the top
    path = next(room / f"{script}.py" for room in rooms if (room / f"{script}.py").is_file())
    spec = importlib.util.spec_from_file_location(f"script_{script}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs a script's own ``main`` in this process: a tenth of the time of a new interpreter."""
    main = script_main(script)
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stop:
        run_command(lambda: main(arguments))
    return subprocess.CompletedProcess(
        [script, *arguments], int(stop.value.code or 0), out.getvalue(), err.getvalue()
    )


def run_command_line(script: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs a script as a user does."""
    command = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), *arguments]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=cwd, timeout=240, check=False)
