"""The whole of a latent model: the graphs of its encoder and its generator in one, with the same weights."""

from pathlib import Path

import numpy as np

from models.exported.card import Signature
from models.exported.packages import required

_PREFIX = "generator/"  # of names that come from there


def join_graphs(encoder: Path, generator: Path, target: Path, signature: Signature) -> None:
    """Writes what the generator makes of the codes of the encoder.

    Args:
        encoder, generator: files; weights that stand outside of them stay where they are.
        target: beside them.
        signature: of the whole.
    """
    onnx = required("onnx")
    whole = onnx.load(encoder, load_external_data=False)
    rest = required("onnx.compose").add_prefix(onnx.load(generator, load_external_data=False), _PREFIX).graph
    graph, node = whole.graph, onnx.helper.make_node
    codes, pictures = graph.output[0].name, rest.output[0].name
    code = [axis.dim_value for axis in rest.input[0].type.tensor_type.shape.dim[1:]]
    for name, numbers in (("flat", [-1, *code]), ("picture", signature.output_shape[2:])):
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(numbers, np.int64), name))
    graph.node.append(node("Reshape", [codes, "flat"], [rest.input[0].name]))
    graph.node.extend(rest.node)
    graph.node.append(node("Shape", ["ages"], ["faces"]))
    graph.node.append(node("Concat", ["faces", "picture"], ["shape"], axis=0))
    graph.node.append(node("Reshape", [pictures, "shape"], [signature.output]))
    graph.initializer.extend(rest.initializer)
    for value in rest.value_info:
        for axis in value.type.tensor_type.shape.dim:  # a word of both graphs would be one number
            if axis.dim_param:
                axis.dim_param = f"{_PREFIX}{axis.dim_param}"
    graph.value_info.extend(rest.value_info)
    del graph.output[:]
    output = onnx.helper.make_tensor_value_info(
        signature.output, onnx.TensorProto.FLOAT, signature.output_shape
    )
    graph.output.append(output)
    onnx.save(whole, target)
