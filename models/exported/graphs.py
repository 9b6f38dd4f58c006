"""Functions of tensors to ONNX graphs of native operators, and these to files."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.exported.card import Signature
from models.exported.packages import required
from models.exported.parts import Function
from utils.files.exported_folders import GRAPH_SUFFIX, WEIGHTS

OPSET = 18  # of the operators, the first with all that the networks are made of
INLINE_FROM, INLINE_TO = (
    1 << 10,
    1 << 30,
)  # bytes: smaller weights always, graphs up to these wholly, in one file


class _Function(nn.Module):
    """A function as a module that owns the weights which it reads."""

    def __init__(self, function: Function, model: nn.Module) -> None:
        super().__init__()
        self.model, self._function = model, function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self._function(*inputs)


def graph_of(
    function: Function, model: nn.Module, signature: Signature, example: Mapping[str, Tensor]
) -> Any:
    """The graph (``onnx_ir.Model``) of a function, its constants folded.

    ``torch.export`` writes down what PyTorch computes, onnxscript says it in ONNX's operators.

    Args:
        function: of the inputs, in their order.
        model: whose weights it reads, frozen.
        signature: its inputs and output.
        example: inputs whose numbers, where the signature has a word, are 2 or more.
    """
    words = {axis for shape in signature.inputs.values() for axis in shape if isinstance(axis, str)}
    dimensions = {word: torch.export.Dim(word) for word in sorted(words)}
    dynamic = tuple(
        {place: dimensions[axis] for place, axis in enumerate(shape) if isinstance(axis, str)}
        for shape in signature.inputs.values()
    )
    with torch.no_grad(), _silence():
        program = torch.export.export(
            _Function(function, model), tuple(example.values()), dynamic_shapes=(dynamic,), strict=False
        )
        graph = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(signature.inputs),
            output_names=[signature.output],
            optimize=False,
            verbose=False,
        ).model
    _fold_constants(graph)
    _name_dimensions(graph, signature)
    return graph


def _fold_constants(graph: Any) -> None:
    """Computes what depends on weights alone; they are initializers afterwards, which may stand elsewhere."""
    optimizer, passes = required("onnxscript.optimizer"), required("onnx_ir.passes.common")
    optimizer.inline(graph)
    optimizer.fold_constants(graph, input_size_limit=1 << 62, output_size_limit=1 << 62)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(graph)
    optimizer.remove_unused_nodes(graph)


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps back what both packages tell their developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _name_dimensions(graph: Any, signature: Signature) -> None:
    """Gives numbers that only a running graph knows the words of the signature."""
    shape = required("onnx_ir").Shape
    for value in graph.graph.inputs:
        value.shape = shape(signature.inputs[value.name])
    graph.graph.outputs[0].shape = shape(signature.output_shape)


def weights_size(graphs: Mapping[str, Any]) -> int:
    """Bytes of the weights of all graphs."""
    return sum(value.const_value.nbytes for graph in graphs.values() for value in _weights(graph))


def _weights(graph: Any) -> list[Any]:
    return list(graph.graph.initializers.values())


def write_graphs(graphs: Mapping[str, Any], folder: Path, external: bool) -> None:
    """Writes ``NAME.onnx`` for each graph.

    Args:
        graphs: by name; external weights are no longer in memory then.
        folder: is there.
        external: whether the weights of all of them stand in a file of their own.
    """
    if external:
        large = [value for graph in graphs.values() for value in _weights(graph)]
        large = [value for value in large if value.const_value.nbytes >= INLINE_FROM]
        convert = required("onnx_ir").external_data.convert_tensors_to_external
        moved = convert([value.const_value for value in large], folder, WEIGHTS)
        for value, tensor in zip(large, moved, strict=True):
            value.const_value = tensor
    for name, graph in graphs.items():
        required("onnx_ir").save(graph, graph_file(folder, name))


def graph_file(folder: Path, name: str) -> Path:
    """The file of a graph."""
    return folder / f"{name}{GRAPH_SUFFIX}"
