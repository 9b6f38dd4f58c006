"""How much memory there is for a device, and how much of it this process holds."""

import ctypes
import platform
from pathlib import Path

import psutil
import torch

GROUP = Path("/sys/fs/cgroup")
PROC = Path("/proc")


def held(device: torch.device) -> int:
    """Bytes that this process holds on a device; on the CPU all that it has, libraries included."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return torch.mps.current_allocated_memory()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)  # gives back what was freed and kept
    return psutil.Process().memory_info().rss


def free(device: torch.device) -> int:
    """Bytes that this process could have besides those that it holds."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    known = [psutil.virtual_memory().available, *_left_in_groups()]
    return max(0, min(value for value in known if value is not None))


def _left_in_groups() -> list[int | None]:
    """What the limits of containers leave: of version 2 with all groups above this one, or of version 1."""
    own = next((line[3:] for line in _lines(PROC / "self/cgroup") if line.startswith("0::")), "/")
    folder = GROUP / own.strip("/")
    folders = [folder, *folder.parents]
    left = [_left(place, "memory.max", "memory.current") for place in folders if place.is_relative_to(GROUP)]
    return [*left, _left(GROUP / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes")]


def _left(folder: Path, limit: str, usage: str) -> int | None:
    most, used = _words(folder / limit), _words(folder / usage)
    if not most or not used or not most[0].isdigit():
        return None
    files = [line.split()[1] for line in _lines(folder / "memory.stat") if line.startswith("inactive_file ")]
    return int(most[0]) - int(used[0]) + sum(map(int, files))  # files that are only cached make room


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def _words(path: Path) -> list[str]:
    lines = _lines(path)
    return lines[0].split() if lines else []
