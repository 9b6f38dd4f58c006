"""One choice of device and precision for every command, and the settings that make a CPU fast."""

import ctypes
import os
import platform
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from utils.errors import InputError


def select_device(name: str = "auto") -> torch.device:
    """Returns the device called `name`; `auto` takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        InputError: the device does not exist on this machine.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"--device={name} is not a device; use auto, cpu, cuda, cuda:N or mps") from error
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(device.type, False):
        raise InputError(f"--device={name}: this machine has no {device.type} device; use --device=cpu")
    return device


def cpu_computes_bfloat16() -> bool:
    """Whether the processor has bfloat16 arithmetic (AMX or AVX512-BF16); elsewhere float32 is faster."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)


def select_precision(name: str, device: torch.device) -> torch.dtype:
    """Returns the dtype of activations for `--mixed_precision` = auto, bf16 or no.

    `auto` is bfloat16 on CUDA devices and processors made for it, float32 elsewhere.
    """
    if name == "no":
        return torch.float32
    if name == "bf16":
        return torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if device.type == "cpu" and cpu_computes_bfloat16() else torch.float32


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """Mixed precision in `dtype`, or nothing for float32."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype=dtype)


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Arithmetic in the dtype of the tensors, whatever precision is chosen around it."""
    chosen = torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if chosen else nullcontext()


def be_deterministic() -> None:
    """Makes torch choose operations whose results are the same in every run; to be called before all else.

    An operation that has no such implementation raises, see :func:`deterministic_forms`.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


@contextmanager
def deterministic_forms(device: torch.device) -> Iterator[None]:
    """Words what torch raises at an operation that :func:`be_deterministic` does not allow.

    Raises:
        InputError: there was one.
    """
    try:
        yield
    except RuntimeError as error:
        found = re.match(r"(\S+) does not have a deterministic implementation", str(error))
        if found is None:
            raise
        raise InputError(
            f"--deterministic: {found[1]} has no deterministic form on {device.type}; leave the flag out or "
            f"use --device=cpu"
        ) from error


def keep_freed_memory() -> None:
    """Tells glibc to keep freed blocks instead of giving each large tensor back to the system.

    Training allocates the same sizes at every step; without this each elementwise operation on the CPU pays
    for fresh pages. Does nothing where there is no glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    m_trim_threshold, m_top_pad, m_mmap_max = -1, -2, -4
    libc = ctypes.CDLL(None)
    libc.mallopt(m_mmap_max, 0)
    libc.mallopt(m_trim_threshold, 2**31 - 1)
    libc.mallopt(m_top_pad, 64 << 20)
