"""Delays in ONNX: what is under way between layers, as nodes. See ``nn/delays.py``."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...nn.network import FrozenLayer
from .onnx_graph import Graph, Value

Array = np.ndarray[Any, Any]


def under_way(layer: FrozenLayer) -> dict[str, tuple[int, int]]:
    """(steps, presynaptic) of what is under way to a layer, by name; what has no steps is left out."""
    shapes = {name: (int(delays.max()) + (name == "arriving"), len(delays)) for name, delays in layer.delays.items()}
    return {name: shape for name, shape in shapes.items() if shape[0]}


def arrive(graph: Graph, layer: FrozenLayer, x: Value, state: list[Value]) -> tuple[Value, list[Value]]:
    """(what arrives of the input at a step at which x (batch, inputs) is sent, new state)."""
    if "incoming" not in under_way(layer):
        return x, state
    *others, incoming = state
    entries = send(graph, incoming, layer.delays["incoming"], x)
    return first_step(graph, entries), [*others, later_steps(graph, entries)]


def send(graph: Graph, pending: Value | None, delays: Array, values: Value) -> Value:
    """What is under way, (batch, steps, N) or nothing, with one more step, and each of the values (batch, N) at its delay."""
    sent = graph.one("Unsqueeze", values, np.array([1]))
    if pending is None:
        return sent
    entries = graph.one("Pad", pending, np.array([0, 0, 0, 0, 1, 0]))
    return entries + sent * (np.arange(delays.max() + 1)[:, None] == delays).astype(np.float64)


def first_step(graph: Graph, entries: Value) -> Value:
    """What arrives next, (batch, N), of entries (batch, steps, N)."""
    return graph.one("Gather", entries, np.array(0), attributes={"axis": 1})


def later_steps(graph: Graph, entries: Value) -> Value:
    """What arrives after that, (batch, steps - 1, N)."""
    return graph.one("Slice", entries, np.array([1]), np.array([2**62]), np.array([1]))
