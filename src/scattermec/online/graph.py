"""The networks of price-net, and those of Algorithm 1, as ONNX. Needs the extra `export`.

Written out, operation by operation as in `scattermec.price_net.network`, and compared with it by a test. (The
converter jax2onnx needs an older orbax-checkpoint than our other packages, and brings twenty more.)
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

from scattermec.agents.networks import Actor, Critic
from scattermec.price_net.network import EquivariantNetwork, _Round

OPSET = 18
"""Version of ONNX's operators, of 2022."""

OBSERVATION = "observation"
"""Input of the networks of Algorithm 1."""

_ACTIVATIONS = {"sigmoid": "Sigmoid", "relu": "Relu", "tanh": "Tanh"}

BLOCK = 2**17
"""Numbers that are computed at once in sums over triples of users: half a MiB, which fits in a cache."""


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

    def split(self, x: str, sizes: Sequence[int], axis: int) -> list[str]:
        """Parts of these sizes along an axis."""
        if len(sizes) == 1:
            return [x]
        name = f"value{len(self.nodes)}"
        parts = [f"{name}part{k}" for k in range(len(sizes))]
        self.nodes.append(helper.make_node("Split", [x, self.hold(sizes)], parts, name, axis=axis))
        return parts

    def hold(self, values: ArrayLike) -> str:
        """A constant: weights in single precision, or the whole numbers that say axes and shapes."""
        name, array = f"weight{len(self.weights)}", np.asarray(values)
        array = array.astype(np.int64 if array.dtype.kind == "i" else np.float32)
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def linear(self, layer: Any, x: str) -> str:
        """An affine map of the last axis."""
        weight = np.asarray(layer.weight).T
        return self.add("Add", self.add("MatMul", x, self.hold(weight)), self.hold(layer.bias))

    def silu(self, x: str) -> str:
        """x times its sigmoid."""
        return self.add("Mul", x, self.add("Sigmoid", x))

    def transposed(self, z: str) -> str:
        """Pairs (j, i) in place of (i, j)."""
        return self.add("Transpose", z, perm=[1, 0, 2])

    def mean(self, z: str, axis: int, *, keepdims: int) -> str:
        """Mean over an axis."""
        return self.add("ReduceMean", z, self.hold([axis]), keepdims=keepdims)


def network_model(
    network: EquivariantNetwork, num_users: int, features: int, pair_features: int, *, own: bool = False
) -> bytes:
    """A model from inputs users (N, F), pairs (N, N, P) and triples (N, N, N) to logits (N, N), for one N.

    With ``own`` only to their diagonal (N,), so that the last round of messages is one among users. A network
    with several outputs has one axis more.
    """
    n, graph = num_users, _Graph()
    rows = graph.add("Expand", graph.add("Unsqueeze", "users", graph.hold([1])), graph.hold([n, n, features]))
    same = graph.hold(np.eye(n)[..., None])
    z = graph.add("Concat", rows, graph.transposed(rows), "pairs", same, axis=2)
    z = graph.silu(graph.linear(network.enter, z))
    z = graph.add("Add", z, graph.silu(graph.linear(network.first, z)))
    last = len(network.rounds) - 1
    for number, exchange in enumerate(network.rounds):
        z = (_exchanged_own if own and number == last else _exchanged)(graph, exchange, z, n)
    logits, outputs = graph.linear(network.leave, graph.silu(z)), network.leave.weight.shape[0]
    shape = [n, outputs] if own else [n, n, outputs]
    if outputs == 1:
        logits, shape = graph.add("Squeeze", logits, graph.hold([-1])), shape[:-1]
    shapes = {"users": [n, features], "pairs": [n, n, pair_features], "triples": [n, n, n]}
    return _model(graph, shapes, {logits: shape})


def actor_model(actor: Actor) -> bytes:
    """A model from an observation (K,) to an action (D,)."""
    graph = _Graph()
    action = _acted(graph, actor)
    first, last = actor.layers[0], actor.layers[-1]
    return _model(graph, {OBSERVATION: [first.weight.shape[1]]}, {action: [last.weight.shape[0]]})


def value_model(actor: Actor, critic: Critic) -> bytes:
    """A model from an observation (K,) to the critic's value of what the actor does there (1,)."""
    graph = _Graph()
    given = graph.linear(critic.state_layer, OBSERVATION)
    hidden = graph.add(
        "Relu", graph.add("Add", given, graph.linear(critic.action_layer, _acted(graph, actor)))
    )
    value = graph.linear(critic.output_layer, hidden)
    return _model(graph, {OBSERVATION: [critic.state_layer.weight.shape[1]]}, {value: [1]})


def _acted(graph: _Graph, actor: Actor) -> str:
    x, last = OBSERVATION, len(actor.layers) - 1
    for number, layer in enumerate(actor.layers):
        x = graph.add(_ACTIVATIONS["sigmoid" if number == last else actor.activation], graph.linear(layer, x))
    return x


def _model(graph: _Graph, inputs: Mapping[str, list[int]], outputs: Mapping[str, list[int]]) -> bytes:
    """The graph as a model, with the shapes of its inputs and outputs."""
    given, made = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
        for shapes in (inputs, outputs)
    )
    built = helper.make_graph(graph.nodes, "scattermec", given, made, graph.weights)
    model = helper.make_model(built, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _exchanged(graph: _Graph, exchange: _Round, z: str, n: int) -> str:
    """One round of messages among pairs."""
    width = exchange.triple.shape[0]
    first, second = graph.split(graph.linear(exchange.sides, z), [width, width], 2)
    triangles = _triangles(graph, exchange, first, graph.transposed(second), n)
    shape = graph.hold([n, n, width])
    row, column = (graph.add("Expand", graph.mean(z, axis, keepdims=1), shape) for axis in (1, 0))
    return _changed(
        graph, exchange, z, graph.add("Concat", z, triangles, graph.transposed(z), row, column, axis=2)
    )


def _triangles(graph: _Graph, exchange: _Round, first: str, second: str, n: int) -> str:
    """Means over k of silu(first_ik + second_jk + triples_ijk w), some rows i at a time: all N^3 numbers per
    channel at once would have to be fetched from memory for each of the operations.
    """
    width = exchange.triple.shape[0]
    most = max(1, BLOCK // (n * n * width))
    sizes = [min(most, n - start) for start in range(0, n, most)]
    weight = graph.hold(exchange.triple[None])
    firsts = graph.split(graph.add("Unsqueeze", first, graph.hold([1])), sizes, 0)
    triples = graph.split(graph.add("Unsqueeze", "triples", graph.hold([3])), sizes, 0)
    means = []
    for rows, told in zip(firsts, triples, strict=True):
        through = graph.add("Add", graph.add("MatMul", told, weight), second)
        means.append(graph.mean(graph.silu(graph.add("Add", through, rows)), 2, keepdims=0))
    return graph.add("Concat", *means, axis=0)


def _exchanged_own(graph: _Graph, exchange: _Round, z: str, n: int) -> str:
    """What `_exchanged` returns for the pairs (i, i), (N, D)."""
    width = exchange.triple.shape[0]
    first, second = graph.split(graph.linear(exchange.sides, z), [width, width], 2)
    through = graph.add("Add", first, graph.transposed(second))
    told = graph.add("Unsqueeze", _own_pairs(graph, "triples", n, n), graph.hold([2]))
    through = graph.add("Add", through, graph.add("MatMul", told, graph.hold(exchange.triple[None])))
    triangles = graph.mean(graph.silu(through), 1, keepdims=0)
    row, column = (graph.mean(z, axis, keepdims=0) for axis in (1, 0))
    own = _own_pairs(graph, z, n, width)
    return _changed(graph, exchange, own, graph.add("Concat", own, triangles, own, row, column, axis=1))


def _own_pairs(graph: _Graph, z: str, n: int, width: int) -> str:
    """The pairs (i, i) of (N, N, width)."""
    pairs = graph.add("Reshape", z, graph.hold([n * n, width]))
    return graph.add("Gather", pairs, graph.hold(np.arange(n) * (n + 1)), axis=0)


def _changed(graph: _Graph, exchange: _Round, z: str, heard: str) -> str:
    """z after a round in which it has heard this."""
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
