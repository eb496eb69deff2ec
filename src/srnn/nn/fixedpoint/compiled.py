"""A layer of the integer model in machine code: to the bit what ``FixedArray`` computes, some
hundred times as fast.

The loop knows the operations of a ``Listing`` and no neuron, so it is compiled once for all of
them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numba.extending import register_jitable

from ...compiling import loop
from ..frozen import FrozenLayer
from ..kernels.cpu.memory import flat
from .device import DeviceRun
from .fixed import Array
from .listing import CHOICE, DIFFERENCE, LEFT, PRODUCT, RIGHT, SUM, Listing


def run_layer(
    layer: FrozenLayer,
    listing: Listing,
    lift: int,
    x: Array,
    state: Mapping[str, Array],
) -> DeviceRun:
    """Run a layer over time.

    Args:
        layer: the layer in integers.
        listing: its step.
        lift: by how many bits recurrent sums are finer than those from below.
        x: (B, T, I) integers.
        state: before the first step, as ``FrozenLayer.initial_state`` has it.

    Returns:
        The result, with lists of this layer alone.
    """
    batch, steps = x.shape[:2]
    names = (*layer.neuron.variables(), "s")
    in_flight = {}
    if "incoming" in layer.delays:
        late, now = layer.delays["incoming"], np.arange(steps)[:, None]
        entries = np.concatenate([state["incoming"], np.zeros_like(x)], 1)
        entries[:, now + late, np.arange(len(late))] += x
        x, in_flight["incoming"] = entries[:, :steps], entries[:, steps:].copy()
    delays = layer.delays.get("arriving", np.zeros(layer.size, np.int64))
    itself = np.zeros((batch, steps + 1 + delays.max(), layer.size), np.int32)
    itself[:, : 1 + delays.max()] = state.get("arriving", state["s"][:, None])
    weights = [np.ascontiguousarray(matrix.T, np.int8) for matrix in layer.matrices()]
    if len(weights) == 1:
        weights.append(np.zeros((0, layer.size), np.int8))

    rows = np.array(listing.rows)
    now = np.stack([state[name] for name in names], 1).astype(np.int32)
    emitted = np.empty((batch, steps, layer.size), np.int32)
    membrane = np.empty_like(emitted)
    largest = np.abs(now[:, :-1].astype(np.int64)).max((0, 2), initial=0)
    saturated = loop(_run)(
        np.ascontiguousarray(x, np.int32),
        *weights,
        (max(lift, 0), max(-lift, 0)),
        listing.operations,
        len(listing.of_constants),
        rows,
        now,
        delays,
        itself,
        emitted,
        membrane,
        largest,
        np.empty(layer.size, np.int64),
    )
    if "arriving" in layer.delays:
        in_flight["arriving"] = itself[:, steps:].astype(np.int64)
    after = dict(zip(names, now.swapaxes(0, 1).astype(np.int64), strict=True)) | in_flight
    peaks = dict(zip(layer.neuron.variables(), largest.tolist(), strict=True))
    output = membrane if layer.output == "membrane" else emitted
    return DeviceRun(output, [emitted], [after], [peaks], saturated)


@register_jitable
def _add_rows(values, at, presynaptic, lift, weights, rows, sums, size):
    """Adds to rows[sums : sums + size] the rows of weights, each times 2**lift and its value."""
    for i in range(presynaptic):
        value = values[at + i] << lift
        if value != 0:
            row = i * size
            for h in range(size):
                rows[sums + h] += weights[row + h] * value


@register_jitable
def _operate(operations, n, rows, exact, size):
    """Does operation n; how many of its results had to be held in their bounds."""
    at = 7 * n
    what, shift = operations[at], operations[at + 4]
    low, high = operations[at + 5], operations[at + 6]
    result, a, b = operations[at + 1] * size, operations[at + 2] * size, operations[at + 3] * size
    half = (1 << shift) >> 1
    if what == SUM:
        for h in range(size):
            exact[h] = np.int64(rows[a + h]) + np.int64(rows[b + h])
    elif what == DIFFERENCE:
        for h in range(size):
            exact[h] = np.int64(rows[a + h]) - np.int64(rows[b + h])
    elif what == PRODUCT:
        for h in range(size):
            exact[h] = (np.int64(rows[a + h]) * np.int64(rows[b + h]) + half) >> shift
    elif what == RIGHT:
        for h in range(size):
            exact[h] = (np.int64(rows[a + h]) + half) >> shift
    elif what == LEFT:
        for h in range(size):
            exact[h] = np.int64(rows[a + h]) << shift
    elif what == CHOICE:
        for h in range(size):
            exact[h] = rows[b + h] * (rows[a + h] > 0)
    held = 0
    for h in range(size):
        value = min(max(exact[h], low), high)
        held += value != exact[h]
        rows[result + h] = value
    return held


def _run(
    x: Array,
    weight_in: Array,
    weight_rec: Array,
    lifts: tuple[int, int],
    operations: Array,
    of_constants: int,
    rows: Array,
    state: Array,
    delays: Array,
    itself: Array,
    emitted: Array,
    membrane: Array,
    largest: Array,
    exact: Array,
) -> int:
    """Runs a layer, and returns how many results were held. Arrays are int32 unless named
    otherwise.

    Args:
        x: (B, T, I), as it arrives.
        weight_in: (I, H) int8.
        weight_rec: (H, H) int8; (0, H) for a feed-forward layer.
        lifts: by how many bits the sums of either are coarser than their total.
        operations: as ``Listing.operations``.
        of_constants: how many of them need to be done only once.
        rows: (rows, H), as ``Listing.rows``; is written to.
        state: (B, variables and s, H); is changed.
        delays: (H,) int64, of the layer's recurrent connections.
        itself: (B, T + 1 + the longest delay, H), the layer's emissions by the step of their
            arrival; is added to.
        emitted: (B, T, H); is written.
        membrane: (B, T, H), the first variable; is written.
        largest: (variables,) int64, raised to the largest absolute values.
        exact: (H,) int64, scratch.
    """
    batch, steps, inputs = x.shape
    size, variables, recurrent = rows.shape[1], len(largest), len(weight_rec)
    ahead, count = itself.shape[1] - steps, len(operations)
    # Bare addresses: neither are their indices tested, nor references to them counted.
    x, weight_in, weight_rec = flat(x), flat(weight_in), flat(weight_rec)
    operations = flat(operations)
    rows, state, delays, largest = flat(rows), flat(state), flat(delays), flat(largest)
    itself, emitted, membrane, exact = flat(itself), flat(emitted), flat(membrane), flat(exact)

    s, sums, held = variables * size, (variables + 1) * size, 0
    for n in range(of_constants):
        held += steps * _operate(operations, n, rows, exact, size)
    for b in range(batch):
        for h in range(sums):
            rows[h] = state[b * sums + h]
        for t in range(steps):
            here, arrives = b * steps + t, (b * (steps + ahead) + t) * size
            for h in range(sums, sums + size):
                rows[h] = 0
            _add_rows(x, here * inputs, inputs, lifts[0], weight_in, rows, sums, size)
            _add_rows(itself, arrives, recurrent, lifts[1], weight_rec, rows, sums, size)
            for n in range(of_constants, count):
                held += _operate(operations, n, rows, exact, size)
            for h in range(size):
                emitted[here * size + h] = rows[s + h]
                membrane[here * size + h] = rows[h]
                itself[arrives + (1 + delays[h]) * size + h] += rows[s + h]
            for variable in range(variables):
                most = largest[variable]
                for h in range(variable * size, (variable + 1) * size):
                    most = max(most, abs(np.int64(rows[h])))
                largest[variable] = most
        for h in range(sums):
            state[b * sums + h] = rows[h]
    return held
