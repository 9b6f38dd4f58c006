"""The compiled operators and the choice between them and plain PyTorch.

Nothing is built at import: the first CUDA tensor builds them (or `choose_ops("cuda")`), CPU tensors never do.
"""

import ctypes
import math
import threading
import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from models.stylegan2.op.build import build
from utils.distributed import is_main
from utils.errors import InputError

CHOICES = ("auto", "cuda", "native")
DTYPES = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3}  # as in stylegan2_ops.cu
PACK = 16  # bytes that a thread reads at once
PIXELS_OF_A_SUM, NUMBER_OF_SUMS = 8, 200_000  # at least and about at most, of the threads of `channel_dot`


class CompiledOperators:
    """The functions of a library built from `stylegan2_ops.cu`; tensors lie where it computes.

    Raises:
        OSError: it cannot be loaded.
    """

    def __init__(self, library: Path) -> None:
        functions = ctypes.CDLL(str(library))
        pointer, number, real = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
        self._fused_bias_act = functions.agelab_fused_bias_act
        self._fused_bias_act.argtypes = [ctypes.c_int, *[pointer] * 6, *[number] * 5, real, real, pointer]
        self._channel_dot = functions.agelab_channel_dot
        self._channel_dot.argtypes = [ctypes.c_int, *[pointer] * 3, *[number] * 4, pointer]
        self._upfirdn2d = functions.agelab_upfirdn2d
        self._upfirdn2d.argtypes = [ctypes.c_int, *[pointer] * 3, ctypes.POINTER(number), pointer]
        self._error = functions.agelab_error
        self._error.restype = ctypes.c_char_p

    def fused_bias_act(
        self,
        x: Tensor,
        bias: Tensor | None,
        reference: Tensor | None,
        negative_slope: float,
        scale: float,
        factors: Tensor | None = None,
        shift: Tensor | None = None,
    ) -> Tensor:
        """Returns `scale * leaky_relu(x * factors + shift + bias)`.

        Args:
            x: (B, C, ...).
            bias: (C,) or None.
            reference: of the shape of `x`; its sign, not that of the sum, chooses between the slopes.
            factors: (B, C) or None.
            shift: (1 or B, 1, ...) or None.
        """
        layout = _layout(x if reference is None else reference)
        x = x.contiguous(memory_format=layout)
        reference = None if reference is None else reference.contiguous(memory_format=layout)
        bias, factors = (
            None if values is None else values.to(_arithmetic(x)).contiguous() for values in (bias, factors)
        )
        shift = None if shift is None else _dense_samples(shift.to(x.dtype))
        shift_stride = 0 if shift is None or len(shift) == 1 else shift.stride(0)
        out = torch.empty_like(x)
        with torch.cuda.device_of(x):
            code = self._fused_bias_act(
                DTYPES[x.dtype], out.data_ptr(), x.data_ptr(), _pointer(factors), _pointer(shift),
                _pointer(bias), _pointer(reference), *x.shape[:2], math.prod(x.shape[2:]), shift_stride,
                layout == torch.channels_last, negative_slope, scale, _stream(x),
            )  # fmt: skip
        self._check(code, "fused_bias_act")
        return out

    def channel_dot(self, a: Tensor, b: Tensor) -> Tensor:
        """Returns `(a * b).sum((2, 3))` of (B, C, H, W) tensors as (B, C), in float32 or wider.

        Channels-last maps are read once and their product is never written.
        """
        if torch.channels_last not in (_layout(a), _layout(b)):
            return (a * b).sum((2, 3), dtype=_arithmetic(a))
        a, b = (value.contiguous(memory_format=torch.channels_last) for value in (a, b))
        batch, channels, height, width = a.shape
        pixels = height * width
        packs = a.numel() * a.element_size() // PACK
        chunks = max(1, pixels // max(PIXELS_OF_A_SUM, packs // NUMBER_OF_SUMS))
        partial = torch.empty(batch, chunks, channels, dtype=_arithmetic(a), device=a.device)
        with torch.cuda.device_of(a):
            code = self._channel_dot(
                DTYPES[a.dtype], partial.data_ptr(), a.data_ptr(), b.data_ptr(), batch, channels, pixels,
                chunks, _stream(a),
            )  # fmt: skip
        self._check(code, "channel_dot")
        return partial[:, 0] if chunks == 1 else partial.sum(1)

    def upfirdn2d(
        self, x: Tensor, kernel: Tensor, up: int, down: int, pad: tuple[int, int, int, int]
    ) -> Tensor:
        """As the public function, with `pad` as (top, bottom, left, right)."""
        top, bottom, left, right = pad
        batch, channels, height, width = x.shape
        taps_y, taps_x = kernel.shape
        out_height = (height * up + top + bottom - taps_y) // down + 1
        out_width = (width * up + left + right - taps_x) // down + 1
        if min(out_height, out_width) < 1:
            raise RuntimeError(f"upfirdn2d: nothing is left of {height} x {width} samples with {pad=}")
        layout = _layout(x)
        out = torch.empty(
            batch, channels, out_height, out_width, dtype=x.dtype, device=x.device, memory_format=layout
        )
        kernel = kernel.to(_arithmetic(x)).contiguous()
        # the order of `enum Geometry`
        geometry = [batch, channels, height, width, out_height, out_width, *x.stride(), *out.stride()]
        geometry += [taps_y, taps_x, up, down, top, left, layout == torch.channels_last]
        numbers = (ctypes.c_int64 * len(geometry))(*geometry)
        with torch.cuda.device_of(x):
            code = self._upfirdn2d(
                DTYPES[x.dtype], out.data_ptr(), x.data_ptr(), kernel.data_ptr(), numbers, _stream(x)
            )
        self._check(code, "upfirdn2d")
        return out

    def _check(self, code: int, name: str) -> None:
        if code:
            raise RuntimeError(f"{name}: {self._error(code).decode()}")


def _layout(x: Tensor) -> torch.memory_format:
    """The order in which the values of `x` lie, dense or not."""
    channels_last = x.dim() == 4 and x.shape[1] > 1 and x.stride(1) == 1
    return torch.channels_last if channels_last else torch.contiguous_format


def _dense_samples(x: Tensor) -> Tensor:
    """`x` with samples that are dense each; they may lie apart."""
    return x if x[:1].is_contiguous() else x.contiguous()


def _arithmetic(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _pointer(x: Tensor | None) -> int | None:
    return None if x is None else x.data_ptr()


def _stream(x: Tensor) -> int | None:
    return torch.cuda.current_stream(x.device).cuda_stream if x.is_cuda else None


# ---------------------------------------------------------------- the choice

_lock = threading.Lock()
_choice = "auto"
_operators: CompiledOperators | None = None
_failure: str | None = None  # why they cannot be had, found out once in a process


def choose_ops(choice: str = "auto", device: torch.device | None = None) -> None:
    """Chooses what computes StyleGAN2's operators, for the whole process.

    Args:
        choice: `native`: plain PyTorch. `cuda`: the compiled operators for CUDA tensors, built now. `auto`:
            they are built when the first CUDA tensor comes; where that is impossible one warning says why and
            plain PyTorch computes. CPU tensors always take plain PyTorch.
        device: where the networks will run, if that is known.

    Raises:
        InputError: `cuda` cannot be had.
    """
    global _choice
    if choice not in CHOICES:
        raise InputError(f"--ops={choice}: use one of {', '.join(CHOICES)}")
    if choice == "cuda":
        if not torch.cuda.is_available():
            raise InputError("--ops=cuda: this machine has no CUDA device; use --ops=auto or native")
        if device is not None and device.type != "cuda":
            raise InputError(f"--ops=cuda does not go with --device={device}; use --ops=auto or native")
        if _load(device or torch.device("cuda"), warn=False) is None:
            raise InputError(f"--ops=cuda: {_failure}")
    _choice = choice


def compiled_operators(x: Tensor, *others: Tensor | None) -> CompiledOperators | None:
    """Returns the compiled operators if they are to compute with these tensors, else None."""
    if not x.is_cuda or _choice == "native" or x.dtype not in DTYPES or torch.compiler.is_compiling():
        return None
    if any(other is not None and other.device != x.device for other in others):
        return None  # plain PyTorch says what is wrong
    return _operators or (None if _failure else _load(x.device, warn=True))


def _load(device: torch.device, warn: bool) -> CompiledOperators | None:
    """Builds, loads and tries the operators, once; if that fails, None and the reason in `_failure`."""
    global _operators, _failure
    with _lock:
        if _operators or _failure:
            return _operators
        try:
            operators = CompiledOperators(build())
            check_operators(operators, device)
            _operators = operators
        except (InputError, OSError, RuntimeError) as error:
            _failure = str(error)
            if warn and is_main():
                warnings.warn(
                    f"StyleGAN2's operators run in plain PyTorch, which is slower: {_failure} "
                    "(--ops=native chooses that without a warning)",
                    stacklevel=4,
                )
    return _operators


@torch.no_grad()
def check_operators(operators: CompiledOperators, device: torch.device) -> None:
    """Computes small results and compares them with PyTorch's.

    Raises:
        RuntimeError: the operators do not run on this device, or give other numbers.
    """
    x = torch.linspace(-1, 1, 2 * 3 * 6 * 5, dtype=torch.float64, device=device).view(2, 3, 6, 5)
    bias, kernel = x[0, :, 0, 0], x[0, 0, :4, :4]
    last = x.repeat(1, 2, 1, 1).contiguous(memory_format=torch.channels_last)  # in whole packs
    factors, shift = last[:, :, 0, 0], x[:, :1]
    results = (
        operators.fused_bias_act(x, bias, None, 0.2, 3.0),
        operators.fused_bias_act(last, None, None, 0.2, 3.0, factors, shift),
        operators.channel_dot(last, last.exp()),
        operators.upfirdn2d(x, kernel, 1, 2, (1, 1, 1, 1)),
    )
    weight = kernel.flip(0, 1).expand(3, 1, 4, 4)
    expected = (
        F.leaky_relu(x + bias[:, None, None], 0.2) * 3,
        F.leaky_relu(last * factors[:, :, None, None] + shift, 0.2) * 3,
        (last * last.exp()).sum((2, 3)),
        F.conv2d(x, weight, stride=2, padding=1, groups=3),
    )
    for result, value in zip(results, expected, strict=True):
        if not torch.allclose(result, value):
            raise RuntimeError("the compiled operators give wrong numbers on this device")
