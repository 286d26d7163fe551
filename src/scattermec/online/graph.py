"""The networks of price-net as ONNX. Needs the extra `export`.

Written out, operation by operation as in `scattermec.price_net.network`, and compared with it by a test. (The
converter jax2onnx needs an older orbax-checkpoint than our other packages, and brings twenty more.)
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

from scattermec.price_net.network import EquivariantNetwork, _Linear, _Round

OPSET = 18
"""Version of ONNX's operators, of 2022."""


class _Graph:
    """A graph under construction; values in it are known by names."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A new node; its output's name."""
        name = f"value{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def hold(self, values: ArrayLike) -> str:
        """A constant: weights in single precision, or the whole numbers that say axes and shapes."""
        name, array = f"weight{len(self.weights)}", np.asarray(values)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def linear(self, layer: _Linear, x: str) -> str:
        """An affine map of the last axis."""
        return self.add("Add", self.add("MatMul", x, self.hold(layer.weight.T)), self.hold(layer.bias))

    def silu(self, x: str) -> str:
        """x times its sigmoid."""
        return self.add("Mul", x, self.add("Sigmoid", x))

    def transposed(self, z: str) -> str:
        """Pairs (j, i) in place of (i, j)."""
        return self.add("Transpose", z, perm=[1, 0, 2])

    def mean(self, z: str, axis: int, *, keepdims: int) -> str:
        """Mean over an axis."""
        return self.add("ReduceMean", z, self.hold([axis]), keepdims=keepdims)


def network_model(network: EquivariantNetwork, num_users: int, features: int, pair_features: int) -> bytes:
    """A model from inputs users (N, F), pairs (N, N, P) and triples (N, N, N) to logits (N, N), for one N."""
    n, graph = num_users, _Graph()
    rows = graph.add("Expand", graph.add("Unsqueeze", "users", graph.hold([1])), graph.hold([n, n, features]))
    own = graph.hold(np.eye(n)[..., None])
    z = graph.add("Concat", rows, graph.transposed(rows), "pairs", own, axis=2)
    z = graph.silu(graph.linear(network.enter, z))
    z = graph.add("Add", z, graph.silu(graph.linear(network.first, z)))
    for exchange in network.rounds:
        z = _exchanged(graph, exchange, z, n)
    logits = graph.add("Squeeze", graph.linear(network.leave, graph.silu(z)), graph.hold([2]))
    shapes = {"users": [n, features], "pairs": [n, n, pair_features], "triples": [n, n, n], logits: [n, n]}
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    made = helper.make_graph(graph.nodes, "price-net", values[:3], values[3:], graph.weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _exchanged(graph: _Graph, exchange: _Round, z: str, n: int) -> str:
    """One round of messages among pairs."""
    sides, width = graph.linear(exchange.sides, z), exchange.triple.shape[0]
    first, second = (
        graph.add("Slice", sides, graph.hold([k * width]), graph.hold([(k + 1) * width]), graph.hold([2]))
        for k in range(2)
    )
    triples = graph.add(
        "Mul", graph.add("Unsqueeze", "triples", graph.hold([3])), graph.hold(exchange.triple)
    )
    through = graph.add("Unsqueeze", first, graph.hold([1]))
    through = graph.add("Add", through, graph.add("Unsqueeze", graph.transposed(second), graph.hold([0])))
    triangles = graph.mean(graph.silu(graph.add("Add", through, triples)), 2, keepdims=0)
    shape = graph.hold([n, n, width])
    row, column = (graph.add("Expand", graph.mean(z, axis, keepdims=1), shape) for axis in (1, 0))
    heard = graph.add("Concat", z, triangles, graph.transposed(z), row, column, axis=2)
    change = graph.linear(exchange.change, graph.silu(graph.linear(exchange.hidden, heard)))
    return graph.add("Add", z, change)


def in_int8(model: bytes) -> bytes:
    """The model with weights in 8 bits, except those of the first and the last layer, which need more.

    onnxruntime scales what flows between them as it runs.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared, made = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        read = onnx.load_from_string(model)
        quant_pre_process(read, prepared, skip_symbolic_shape=True, skip_optimization=True)
        layers = [node.name for node in read.graph.node if node.op_type == "MatMul"]
        kept = [layers[0], layers[-1]]
        quantize_dynamic(prepared, made, weight_type=QuantType.QInt8, per_channel=True, nodes_to_exclude=kept)
        return made.read_bytes()
