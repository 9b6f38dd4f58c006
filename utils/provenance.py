"""What a result was made with: versions, revision and machine."""

import contextlib
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path

import torch

LIBRARIES = ("torch", "torchvision", "numpy", "pillow", "lpips", "pytorch-optimizer")


def environment() -> dict[str, str]:
    """Versions and revision of what runs, and the machine that it runs on, for the record of a result."""
    known = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "processor": f"{processor()}, {os.cpu_count()} cores",
        "git": git_revision(),
    }
    if torch.cuda.is_initialized():  # a training on the processor starts none
        names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        known["gpu"] = ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
        known["cuda"] = str(torch.version.cuda)
    for name in LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            known[name] = metadata.version(name)
    return known


def processor() -> str:
    """Name of the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        found = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def git_revision() -> str:
    """Revision of the checkout; `unknown` without git or a repository."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return result.stdout.strip()
