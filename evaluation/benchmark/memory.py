"""Peak memory of a piece of work."""

import contextlib
import ctypes
import gc
import platform
import re
from pathlib import Path

import torch

_STATUS, _PEAK_SWITCH = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Memory that is needed beyond what was in use at the beginning.

    On a GPU what PyTorch took of it, on Linux that of the whole process; unknown elsewhere.

    Args:
        device: where the work computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._told = device.type in ("cuda", "cpu")
        gc.collect()
        self.begin_again()
        if device.type == "cuda":
            self._before = torch.cuda.memory_reserved(device)
        else:
            self._before = _kilobytes(_STATUS, "VmRSS") << 10

    def begin_again(self) -> None:
        """Forgets the highest point so far; what was in use at the beginning stays the measure."""
        _trim()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self._device)
            return
        try:
            _PEAK_SWITCH.write_text("5", encoding="utf-8")  # the peak of this process begins anew
        except OSError:
            self._told = False

    def peak(self) -> int | None:
        """Bytes at the highest point so far, None where the system does not tell."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_reserved(self._device) - self._before
        if not self._told:
            return None
        highest = _kilobytes(_STATUS, "VmHWM") << 10
        return max(0, highest - self._before) if highest else None


def give_back() -> None:
    """Gives the system the memory of what is no more, also where freed blocks are kept."""
    gc.collect()
    _trim()


def _trim() -> None:
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _kilobytes(file: Path, entry: str) -> int:
    """A figure of a file below ``/proc``; 0 where there is none."""
    with contextlib.suppress(OSError):
        found = re.search(rf"^{entry}:\s+(\d+) kB", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        return int(found[1]) if found else 0
    return 0
