"""The wiring of a NIR graph: a chain of neurons, with all linear nodes between two of them
multiplied together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import SrnnError
from .nir_report import Array

if TYPE_CHECKING:
    from nir import NIRGraph, NIRNode

DELAY = "Delay"
LINEAR, NEURONS, PASSED = (
    ("Affine", "Linear", "Scale"),
    ("LIF", "IF", "LI", "CubaLIF"),
    ("Input", "Output", "Flatten"),
)
"""Nodes that can be read: matrices, neurons, and nodes that only pass on their input."""

Matrix = Array | None
"""A matrix; None: the identity."""


_ENTRIES = 2**27
"""Maximal entries of all matrices that are multiplied out, or stand for nodes that pass on their
input: a gigabyte."""


def kind_of(node: Any) -> str:
    """A node's type by its name in NIR."""
    return type(node).__name__


def size_of(node: Any) -> int:
    """Number of neurons of a node; for an output, of its values."""
    if kind_of(node) == "Output":
        shape = node.output_type["output"]
    else:
        shape = np.shape(node.r)
    return int(np.prod(np.asarray(shape)))


def flatten(
    graph: NIRGraph, source: str, prefix: str = ""
) -> tuple[dict[str, NIRNode], list[tuple[str, str]]]:
    """Nodes and edges without subgraphs.

    Edges to a subgraph lead to its Input, and edges from it come from its Output.

    Args:
        graph: the graph.
        source: what messages call it.
        prefix: of the names of its nodes, for a subgraph its own name and a slash.

    Returns:
        The nodes by name, and (before, after) of each edge.

    Raises:
        SrnnError: a subgraph does not have exactly one input and one output (unsupported).
    """
    import nir

    nodes: dict[str, NIRNode] = {}
    edges: list[tuple[str, str]] = []
    doors: dict[str, tuple[str, str]] = {}
    for name, node in graph.nodes.items():
        full = f"{prefix}{name}"
        if isinstance(node, nir.NIRGraph):
            ways_in, ways_out = (
                [f"{full}/{key}" for key in keys] for keys in (node.inputs, node.outputs)
            )
            if len(ways_in) != 1 or len(ways_out) != 1:
                raise SrnnError(
                    f"{source}: the subgraph '{full}' does not have exactly one input and one "
                    "output.",
                    "unsupported",
                    full,
                )
            inner_nodes, inner_edges = flatten(node, source, f"{full}/")
            nodes, edges = nodes | inner_nodes, edges + inner_edges
            doors[full] = (ways_in[0], ways_out[0])
        else:
            nodes[full] = node
            doors[full] = (full, full)
    edges += [
        (doors[f"{prefix}{before}"][1], doors[f"{prefix}{after}"][0])
        for before, after in graph.edges
    ]
    return nodes, edges


class Wiring:
    """A flat graph, checked: one input, one output, and between them only nodes that can be read.

    Raises SrnnError, here and in its methods, for what is not a chain of layers.
    """

    def __init__(
        self, nodes: Mapping[str, NIRNode], edges: list[tuple[str, str]], source: str
    ) -> None:
        self.nodes, self.source, self._made = nodes, source, 0
        self._before: dict[str, list[str]] = {name: [] for name in nodes}
        for start, end in dict.fromkeys(edges):
            self._before[end].append(start)
        for name, node in nodes.items():
            if kind_of(node) not in (DELAY, *LINEAR, *NEURONS, *PASSED):
                raise SrnnError(
                    f"{source}: the node '{name}' is a {kind_of(node)}, for which there is no "
                    "layer here.",
                    "unsupported",
                    name,
                )
            for key, value in vars(node).items():
                if (
                    key not in ("metadata", "input_type", "output_type")
                    and np.asarray(value).dtype.kind not in "iufb"
                ):
                    raise SrnnError(
                        f"{source}: '{key}' of the node '{name}' is not made of real numbers.",
                        "data",
                        name,
                    )
        self._currents: dict[str, tuple[dict[str, Matrix], Array | float]] = {}
        followed = {start for start, _ in edges}
        self.input = self._only("Input", [name for name in nodes if not self._before[name]])
        self.output = self._only("Output", [name for name in nodes if name not in followed])
        shape = np.asarray(nodes[self.input].input_type["input"]).reshape(-1)
        self.channels = {int(np.prod(shape)), *map(int, shape[-1:])}
        """How many channels the input may have: all of its numbers, or (Sinabs counts time steps
        in) its last axis."""

    def diagonal(self, values: Array) -> Array:
        """(N, N) the matrix of a node without weights of its own."""
        self._make(len(values), len(values))
        return np.diag(values)

    def _make(self, rows: int, columns: int) -> None:
        """Count a matrix before it is made. SrnnError if all become too large for a real network,
        as even a small file's can."""
        self._made += rows * columns
        if self._made > _ENTRIES:
            raise SrnnError(
                f"{self.source}: its nodes without weights of their own, and the products of its "
                "weights, need matrices that are "
                f"too large: {_ENTRIES:,} numbers at most.",
                "resource",
                self.source,
            )

    def _only(self, kind: str, names: list[str]) -> str:
        matching = [name for name in names if kind_of(self.nodes[name]) == kind]
        if len(matching) != 1 or len(names) != 1:
            raise SrnnError(
                f"{self.source}: a network needs one {kind} and no other loose ends; there are "
                f"{names}.",
                "unsupported",
                self.source,
            )
        return matching[0]

    def current(
        self, name: str, seen: tuple[str, ...] = ()
    ) -> tuple[dict[str, Matrix], Array | float]:
        """The sum that arrives at a node.

        Args:
            name: the node.
            seen: the nodes through which the sum has been followed so far, none of them a neuron.

        Returns:
            A matrix for each neuron or input, or Delay after one, that contributes; and the bias.

        Raises:
            SrnnError: weights do not fit (data), nodes form a loop without a neuron (unsupported),
                or matrices become too large (resource).
        """
        if name in seen:
            raise SrnnError(
                f"{self.source}: the nodes {', '.join(seen)} form a loop without a neuron.",
                "unsupported",
                name,
            )
        if name in self._currents:
            return self._currents[name]
        total: dict[str, Matrix] = {}
        bias: Array | float = 0.0
        for start in self._before[name]:
            if start == self.input or kind_of(self.nodes[start]) in (DELAY, *NEURONS):
                matrices, offset = {start: None}, 0.0
            else:
                matrices, offset = self._through(start, *self.current(start, (*seen, name)))
            bias = bias + offset
            for key, matrix in matrices.items():
                total[key] = matrix if key not in total else self._sum(total[key], matrix, name)
        self._currents[name] = total, bias
        return total, bias

    def sent(self, key: str) -> tuple[str, Array | None]:
        """(neuron or input, the seconds by which its output is delayed) of a key of ``current``;
        None: not at all.

        SrnnError for a Delay that is not directly after a neuron or the input: our delays apply to
        what these send.
        """
        if kind_of(self.nodes[key]) != DELAY:
            return key, None
        delay: Any = self.nodes[key]
        before = self._before[key]
        if len(before) != 1 or (
            before[0] != self.input and kind_of(self.nodes[before[0]]) not in NEURONS
        ):
            raise SrnnError(
                f"{self.source}: the Delay '{key}' is fed by {before}; it must be fed by one "
                "neuron, or by the input.",
                "unsupported",
                key,
            )
        return before[0], np.asarray(delay.delay, np.float64).reshape(-1)

    def fed_by(self, name: str, source: str) -> str | None:
        """The key of ``current(name)`` through which a source feeds the node; None: it does not.

        Args:
            name: the node.
            source: a neuron, or the input.

        Raises:
            SrnnError: there are several, with different delays (unsupported).
        """
        keys = [key for key in self.current(name)[0] if self.sent(key)[0] == source]
        if len(keys) > 1:
            raise SrnnError(
                f"{self.source}: '{name}' is fed by '{source}' with several delays "
                f"({', '.join(keys)}).",
                "unsupported",
                name,
            )
        if not keys:
            return None
        return keys[0]

    def _through(
        self, name: str, matrices: dict[str, Matrix], offset: Array | float
    ) -> tuple[dict[str, Matrix], Any]:
        """The output of a node other than a neuron, for the sum that arrives at it."""
        node: Any = self.nodes[name]
        if kind_of(node) not in LINEAR:
            return matrices, offset
        scaling = kind_of(node) == "Scale"
        if scaling:
            weight = self.diagonal(np.asarray(node.scale).reshape(-1))
        else:
            weight = np.asarray(node.weight)
        if weight.ndim != 2:
            raise SrnnError(
                f"{self.source}: the weights of '{name}' are {weight.ndim}-dimensional, not a "
                "matrix.",
                "data",
                name,
            )
        for matrix in matrices.values():
            self._make(len(weight), 0 if matrix is None else matrix.shape[1])
        try:
            through: dict[str, Matrix] = {
                key: weight if matrix is None else weight @ matrix
                for key, matrix in matrices.items()
            }
            moved = 0.0
            if isinstance(offset, np.ndarray):
                moved = weight @ offset
        except ValueError as error:
            raise SrnnError(
                f"{self.source}: the weights of '{name}' do not fit what comes before it.",
                "data",
                name,
            ) from error
        return through, moved + (np.asarray(node.bias) if kind_of(node) == "Affine" else 0.0)

    def _sum(self, a: Matrix, b: Matrix, name: str) -> Array:
        size = next((len(matrix) for matrix in (a, b) if matrix is not None), None)
        if size is None:
            raise SrnnError(
                f"{self.source}: '{name}' is fed twice by the same node.", "unsupported", name
            )
        left, right = (
            self.diagonal(np.ones(size)) if matrix is None else matrix for matrix in (a, b)
        )
        self._make(*left.shape)
        if left.shape != right.shape:
            raise SrnnError(
                f"{self.source}: the weights into '{name}' do not fit each other.", "data", name
            )
        return left + right

    def chain(self) -> list[tuple[str, str]]:
        """(what feeds it, neuron) from the input on; the output comes last, unless a feed-forward
        neuron is read as it is."""
        feeds: dict[str, str] = {}
        targets = [
            *(name for name, node in self.nodes.items() if kind_of(node) in NEURONS),
            self.output,
        ]
        for name in targets:
            others = sorted(
                {source for key in self.current(name)[0] if (source := self.sent(key)[0]) != name}
            )
            if len(others) != 1 or others[0] in feeds:
                raise SrnnError(
                    f"{self.source}: '{name}' is fed by {others or 'nothing'}; only chains of "
                    "layers can be read, in which "
                    "each layer is fed by one other and by itself.",
                    "unsupported",
                    name,
                )
            feeds[others[0]] = name
        chain, at = [], self.input
        while at in feeds:
            chain.append((at, feeds[at]))
            at = feeds[at]
        if at != self.output or len(chain) != len(targets):
            raise SrnnError(
                f"{self.source}: not all of its neurons lie on the path from the input to the "
                "output.",
                "unsupported",
                self.source,
            )
        last = chain[-1][0]
        matrices, offset = self.current(self.output)
        as_it_is = (
            last in matrices
            and matrices[last] is None
            and not np.any(offset)
            and last != self.input
        )
        if as_it_is and self.fed_by(last, last) is None:
            return chain[:-1]
        return chain
