"""ONNX nodes from plain arithmetic: what the record of a neuron's equations becomes in an ONNX
graph.

A ``Value`` stands for a tensor that is known only when the exported model runs. Operators and
numpy's functions on it append a node and return the result's ``Value``, a comparison as 0 or 1;
numpy arrays and numbers used with it become constants, and what depends only on constants is
computed at once. So no neuron is written a second time. What is under way between layers with
delays (``nn/delays.py``) becomes nodes, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from ...errors import need
from ...nn.network import FrozenLayer

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto, ValueInfoProto

Array = np.ndarray[Any, Any]
Dimension = int | str

_OPERATORS: Mapping[np.ufunc, str] = {
    np.add: "Add",
    np.subtract: "Sub",
    np.multiply: "Mul",
    np.divide: "Div",
    np.negative: "Neg",
    np.exp: "Exp",
    np.absolute: "Abs",
    np.maximum: "Relu",
    np.greater: "Greater",
    np.greater_equal: "GreaterOrEqual",
    np.less: "Less",
    np.less_equal: "LessOrEqual",
}
"""All that equations may use."""
_COMPARISONS = (np.greater, np.greater_equal, np.less, np.less_equal)


class Graph:
    """Nodes of one graph, in the order in which they are computed; and its numbers, each stored
    once.

    outer: the graph whose loop has this one as its body; the body sees the outer graph's numbers,
    and has none of its own.
    """

    def __init__(self, name: str, dtype: np.dtype[Any], outer: Graph | None = None) -> None:
        self._onnx = need("onnx", "An ONNX model", "onnx")
        self.name, self.dtype, self.outer = name, dtype, outer
        self.nodes: list[NodeProto] = []
        self.inputs: list[ValueInfoProto] = []
        self.outputs: list[ValueInfoProto] = []
        if outer is None:
            self.constants: dict[tuple[str, tuple[int, ...], bytes], TensorProto] = {}
        else:
            self.constants = outer.constants

    def constant(self, value: Any, hint: str = "constant") -> Value:
        """A number or array of the graph, stored once.

        Args:
            value: floats are converted to the model's dtype, integers to int64.
            hint: its name, unless that is taken.
        """
        array = np.asarray(value)
        array = np.ascontiguousarray(
            array, np.int64 if array.dtype.kind in "iu" else self.dtype
        ).reshape(array.shape)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            taken = {tensor.name for tensor in self.constants.values()}
            # A neuron's variable may have the same name as a weight.
            taken |= {value.name for value in (self.outer or self).inputs}
            if hint not in taken:
                name = hint
            else:
                name = f"{hint}.{len(taken)}"
            self.constants[key] = self._onnx.numpy_helper.from_array(array, name)
        return Value(self, self.constants[key].name)

    def input(self, name: str, shape: Sequence[Dimension]) -> Value:
        """A new input of the graph.

        Args:
            name: its name.
            shape: its shape, with names for axes of any length.
        """
        self.inputs.append(self._info(name, shape))
        return Value(self, name)

    def output(self, name: str, value: Value, shape: Sequence[Dimension]) -> None:
        """Make a value an output of the graph.

        Args:
            name: the output's name.
            value: what is put out.
            shape: its shape, with names for axes of any length.
        """
        self.outputs.append(self._info(name, shape))
        self.add("Identity", [value], [name])

    def add(
        self, operator: str, operands: Sequence[Any], outputs: Sequence[str] = (), **attributes: Any
    ) -> list[Value]:
        """Append a node, and return its outputs as values.

        Args:
            operator: ONNX's name of it.
            operands: values, or numbers and arrays, which become constants.
            outputs: names of the outputs; (): one, with a name of its own.
            attributes: the operator's.
        """
        names = list(outputs) or [f"{self.name}/{operator}.{len(self.nodes)}"]
        inputs = [value if isinstance(value, Value) else self.constant(value) for value in operands]
        self.nodes.append(
            self._onnx.helper.make_node(operator, [x.name for x in inputs], names, **attributes)
        )
        return [Value(self, name) for name in names]

    def one(self, operator: str, *operands: Any, **attributes: Any) -> Value:
        """Append a node with one output, and return that.

        Args:
            operator: ONNX's name of it.
            operands: values, or numbers and arrays, which become constants.
            attributes: the operator's.
        """
        return self.add(operator, operands, **attributes)[0]

    def proto(self) -> GraphProto:
        """The finished graph."""
        if self.outer is None:
            constants = [*self.constants.values()]
        else:
            constants = []
        return self._onnx.helper.make_graph(
            self.nodes, self.name, self.inputs, self.outputs, constants
        )

    def _info(self, name: str, shape: Sequence[Dimension]) -> ValueInfoProto:
        helper = self._onnx.helper
        return helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(self.dtype), shape
        )


class Value(NDArrayOperatorsMixin):
    """A tensor of the exported model, by its name in a graph."""

    def unit_step(self) -> Value:
        """What ``arithmetic.unit_step`` makes of it."""
        return self > 0.0

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph, self.name = graph, name

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *operands: Any, **options: Any) -> Any:
        if ufunc not in _OPERATORS or method != "__call__" or options:
            return NotImplemented
        if ufunc is np.maximum:  # which equations take of x and 0 only
            operands = operands[:1]
        result = self.graph.one(_OPERATORS[ufunc], *operands)
        if ufunc not in _COMPARISONS:
            return result
        return self.graph.one("CastLike", result, self)


# ---- delays ---------------------------------------------------------------------------------------------------------------


def state_shapes(layer: FrozenLayer) -> dict[str, list[Dimension]]:
    """The shape of each tensor of a layer's state by name, without what is under way for no
    step."""
    return {
        name: ["batch", *value.shape[1:]]
        for name, value in layer.initial_state(1).items()
        if value.size
    }


def arrive(
    graph: Graph, layer: FrozenLayer, x: Value, state: list[Value]
) -> tuple[Value, list[Value]]:
    """What arrives of a layer's input at the step in which it is sent, and the new state.

    Args:
        graph: the graph to which nodes are appended.
        layer: the layer.
        x: (batch, inputs), what is sent.
        state: the layer's; its last entry is what is under way, where the input is delayed.
    """
    if "incoming" not in state_shapes(layer):
        return x, state
    *others, incoming = state
    entries = send(graph, incoming, layer.delays["incoming"], x)
    return first_step(graph, entries), [*others, later_steps(graph, entries)]


def send(graph: Graph, pending: Value | None, delays: Array, values: Value) -> Value:
    """What is under way, (batch, steps + 1, N), once more values are sent.

    Args:
        graph: the graph to which nodes are appended.
        pending: what is under way so far, (batch, steps, N); None: nothing.
        delays: (N,) steps by which each value is delayed.
        values: (batch, N), what is sent.
    """
    sent = graph.one("Unsqueeze", values, np.array([1]))
    if pending is None:
        return sent
    entries = graph.one("Pad", pending, np.array([0, 0, 0, 0, 1, 0]))
    return entries + sent * (np.arange(delays.max() + 1)[:, None] == delays).astype(np.float64)


def first_step(graph: Graph, entries: Value) -> Value:
    """What arrives next, (batch, N).

    Args:
        graph: the graph to which nodes are appended.
        entries: (batch, steps, N), what is under way.
    """
    return graph.one("Gather", entries, np.array(0), axis=1)


def later_steps(graph: Graph, entries: Value) -> Value:
    """What arrives after the next step, (batch, steps - 1, N).

    Args:
        graph: the graph to which nodes are appended.
        entries: (batch, steps, N), what is under way.
    """
    return graph.one("Slice", entries, np.array([1]), np.array([2**62]), np.array([1]))
