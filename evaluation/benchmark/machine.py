"""What a benchmark ran on, and the most that this machine gives: arithmetic and memory."""

import platform
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from evaluation.benchmark.timing import clock, seconds

_ENOUGH = 0.25  # seconds that a ceiling is measured
_CPU_FEATURES = {
    "AMX": "_is_amx_tile_supported",
    "AVX512-BF16": "_is_avx512_bf16_supported",
    "AVX512": "_is_avx512_supported",
    "AVX2": "_is_avx2_supported",
}


def processor_features() -> list[str]:
    """Vector units of the processor that matter for convolutions and matrix products."""
    return [name for name, check in _CPU_FEATURES.items() if getattr(torch.cpu, check, bool)()]


def named(precision: torch.dtype) -> str:
    """A precision as tables call it, such as ``float32``."""
    return str(precision).removeprefix("torch.")


def describe_machine(device: torch.device, ops: str, precisions: Sequence[torch.dtype]) -> dict[str, Any]:
    """Device, processor, threads, versions and precisions, as a dictionary."""
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processor": _processor(),
        "features": processor_features(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "precisions": [named(precision) for precision in precisions],
        "ops": ops,
    }
    if device.type == "cuda":
        found["cuda"] = torch.version.cuda
        found["memory_gb"] = torch.cuda.get_device_properties(device).total_memory / 2**30
    return found


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        found = re.search(r"^model name\s*:\s*(.+)$", text, flags=re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def ceilings(device: torch.device, precisions: Sequence[torch.dtype]) -> dict[str, float]:
    """One large convolution and matrix product, in TFLOP/s by precision, and a large copy, in GB/s."""
    big = device.type != "cpu"
    side, channels, pixels, batch = (8192, 512, 64, 16) if big else (1024, 128, 64, 2)
    found = {}
    for dtype in precisions:
        name = named(dtype)
        matrix = torch.randn(side, side, device=device, dtype=dtype)
        product = 2 * side**3 / _quickest(lambda matrix=matrix: matrix @ matrix, device)
        found[f"matrix product {name}"] = product / 1e12
        x = torch.randn(batch, channels, pixels, pixels, device=device, dtype=dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        weight = torch.randn(channels, channels, 3, 3, device=device, dtype=dtype)
        weight = weight.contiguous(memory_format=torch.channels_last)
        work = 2 * batch * pixels**2 * channels**2 * 9
        convolution = _quickest(lambda x=x, weight=weight: F.conv2d(x, weight, padding=1), device)
        found[f"convolution {name}"] = work / convolution / 1e12
    source = torch.empty((1 << 30) if big else (64 << 20), dtype=torch.uint8, device=device).fill_(1)
    target = torch.empty_like(source)
    found["copy"] = 2 * source.numel() / _quickest(lambda: target.copy_(source), device) / 1e9
    return found


@torch.no_grad()
def _quickest(work: Callable[[], object], device: torch.device) -> float:
    """Seconds of the quickest of several runs."""
    work()
    best, end = float("inf"), clock(device) + _ENOUGH
    while clock(device) < end:
        best = min(best, seconds(work, 1, device))
    return best if best < float("inf") else seconds(work, 1, device)
