"""A graph in ONNX Runtime: tensors in, a tensor out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.exported.card import Shape, Signature
from models.exported.packages import required
from utils.errors import InputError, explained
from utils.notes import note

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
FATAL_ALONE = 4  # of what ONNX Runtime writes to the terminal; the rest comes as exceptions


class Session:
    """One graph, ready to run; with as many threads as PyTorch has.

    Args:
        path: the file.
        signature: what it takes and gives.
        device: where it computes, if ONNX Runtime can; else on the CPU, which is said.

    Raises:
        InputError: it cannot be run, or takes or gives something else.
    """

    def __init__(self, path: Path, signature: Signature, device: torch.device) -> None:
        runtime = required("onnxruntime")
        self.path, self.signature = path, signature
        settings = runtime.SessionOptions()
        settings.intra_op_num_threads = torch.get_num_threads()
        settings.inter_op_num_threads = 1
        settings.log_severity_level = FATAL_ALONE
        providers = _providers(runtime, device)
        try:
            self._session = runtime.InferenceSession(str(path), settings, providers=providers)
        except Exception as error:  # onnxruntime has many
            raise InputError(f"{path} cannot be run: {_reason(error)}") from error
        if len(providers) > 1 and CUDA not in self._session.get_providers():
            note(f"{path} runs on the CPU: ONNX Runtime finds no CUDA that it can use")
        self._check(self._session.get_inputs(), self._session.get_outputs())

    def _check(self, inputs: Any, outputs: Any) -> None:
        found = {value.name: tuple(value.shape) for value in inputs}
        plain = {value.type for value in (*inputs, *outputs)} == {"tensor(float)"}
        if found != dict(self.signature.inputs) or not plain or len(outputs) != 1:
            raise InputError(
                f"{self.path} takes {str(found)[:200]}, which is another graph than the card names"
            )

    def __call__(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The result for inputs by their names, on the CPU.

        Raises:
            InputError: it cannot be computed, or has another shape than the card says.
        """
        arrays = {name: inputs[name].detach().float().cpu().numpy() for name in self.signature.inputs}
        try:
            (found,) = self._session.run(None, arrays)
        except Exception as error:
            raise InputError(f"{self.path} cannot be run: {_reason(error)}") from error
        numbers = {
            axis: size
            for name, shape in self.signature.inputs.items()
            for axis, size in zip(shape, arrays[name].shape, strict=True)
        }
        wanted: Shape = tuple(numbers.get(axis, axis) for axis in self.signature.output_shape)
        if found.shape != wanted:
            raise InputError(f"{self.path} gives {list(found.shape)} numbers instead of {list(wanted)}")
        return torch.from_numpy(found)


def _providers(runtime: Any, device: torch.device) -> list[Any]:
    if device.type == "cuda" and CUDA in runtime.get_available_providers():
        return [(CUDA, {"device_id": device.index or 0}), CPU]
    if device.type != "cpu":
        remedy = "; pip install onnxruntime-gpu brings it" if device.type == "cuda" else ""
        note(f"exported models run on the CPU here: this ONNX Runtime has nothing for {device.type}{remedy}")
    return [CPU]


def _reason(error: Exception) -> str:
    """What went wrong, in one line."""
    return explained(error) or (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
