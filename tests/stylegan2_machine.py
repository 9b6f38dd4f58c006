"""StyleGAN2's compiled operators beside plain PyTorch, on this processor or a CUDA device."""

import importlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.stylegan2.op import choose_ops
from models.stylegan2.op.build import SOURCE
from models.stylegan2.op.compiled import CompiledOperators

SEAMS = [
    importlib.import_module(f"models.stylegan2.{name}")
    for name in ("op.fused_act", "op.modulation", "op.upfirdn2d", "layers", "style_factors")
]


def compile_for_cpu(folder: Path) -> CompiledOperators:
    """The very source of the CUDA kernels, compiled as C++."""
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        pytest.skip("no C++ compiler")
    library = folder / "stylegan2_ops.so"
    command = [compiler, "-x", "c++", "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"]
    result = subprocess.run(
        [*command, str(SOURCE), "-o", str(library)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return CompiledOperators(library)


@dataclass(frozen=True)
class Machine:
    """A device, and how to compute there with the compiled operators."""

    device: str
    operators: CompiledOperators | None

    @contextmanager
    def compiled(self) -> Iterator[None]:
        """Inside, the public functions use the compiled operators."""
        with pytest.MonkeyPatch.context() as patch:
            if self.operators is None:
                choose_ops("cuda")
            else:
                for seam in SEAMS:
                    patch.setattr(seam, "compiled_operators", lambda *_: self.operators)
            yield
        choose_ops("native")

    def compare(self, function: Callable[..., Any], *inputs: Tensor, **tolerance: float) -> None:
        """Asserts that `function(*inputs)` gives the same tensors with both kinds of operators."""
        choose_ops("native")
        expected = function(*inputs)
        with self.compiled():
            result = function(*inputs)
        torch.testing.assert_close(result, expected, **tolerance)


def derivatives(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Output, first and second derivatives along random directions, in every input."""
    generator = torch.Generator().manual_seed(1)

    def direction(like: Tensor) -> Tensor:
        values = torch.randn(like.shape, generator=generator, dtype=like.dtype)
        return values.to(like.device).requires_grad_()

    inputs = [value.detach().requires_grad_() for value in inputs]
    out = function(*inputs)
    along = direction(out)
    first = torch.autograd.grad(out, inputs, along, create_graph=True)
    second = torch.autograd.grad(first, [along, *inputs], [direction(g) for g in first], allow_unused=True)
    return (out, *first, *(value for value in second if value is not None))


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "channels_last": channels_last,
    "cut": lambda x: x[:, :, 1:, :-2],
    "channels_last cut": lambda x: channels_last(x)[:, 1:, 1:],
    "transposed": lambda x: x.transpose(2, 3),
    "one pixel": lambda x: x[:, :, :1, :1],
    "one channel": lambda x: channels_last(x)[:, :1],
    "repeated": lambda x: x[:1].expand(3, -1, -1, -1),
}
