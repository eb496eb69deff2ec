"""A trained network as a device runs it: plain float32 arrays, and the order of summation.

A network on a device is event-driven. The current of a neuron starts at its bias; then every
presynaptic neuron whose output is not zero adds its weight times its output, in ascending order:
first the layer below (or the input), then the layer itself one step ago. Everything elementwise is
the neuron's own ``step``. ``run_float32`` follows that order in numpy, operation by operation in
float32: the exact model of the float32 C.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import SrnnError
from ..frozen import Array, FrozenNetwork

if TYPE_CHECKING:
    from ...data.signals import SignalPath

States = Sequence[Mapping[str, Array]]
"""One mapping per layer: the neuron's variables and ``s``, each (B, size)."""
Step = Callable[[int, Mapping[str, Array], tuple[Array, Array]], tuple[Sequence[Array], Array]]
"""A layer's step: its number, the state before it, (emissions that arrive from below, and from the
layer itself) -> the variables after it, and the layer's emissions, (B, size) each."""


def device_network(network: Any, encoder: SignalPath | None = None) -> FrozenNetwork:
    """A trained SRNN in float32, as a device runs it.

    Args:
        network: the SRNN.
        encoder: turns a signal into its input; None: the input is that of the network.

    Returns:
        The network as arrays.

    Raises:
        SrnnError: ``unsupported``, for networks that no device can run step by step, and for
            weights that are not finite; ``conflict``, for an encoder of other inputs.
    """
    from ..network.freezing import freeze

    frozen = freeze(network, "C")
    if encoder is not None and frozen.inputs != encoder.inputs:
        made = f"The encoder makes {encoder.inputs} inputs from {encoder.what}"
        raise SrnnError(f"{made}; this network has {frozen.inputs}.", "conflict", "encoder")
    layers = tuple(layer.as_type(np.float32) for layer in frozen.layers)
    return replace(frozen, layers=layers, signal=encoder, dtype="float32")


def sent(in_flight: Array, delays: Array, values: Array) -> Array:
    """Put emissions into a delay buffer.

    Args:
        in_flight: (B, depth, N).
        delays: (N,) steps.
        values: the emissions, (B, N).

    Returns:
        The buffer with one more entry, (B, depth + 1, N), and each value added at its delay.
    """
    entries = np.concatenate([in_flight, np.zeros_like(values)[:, None]], 1)
    entries[:, delays, np.arange(len(delays))] += values
    return entries


@dataclass(frozen=True)
class DeviceRun:
    """What a run of a device's model returns; B sequences of T steps."""

    output: Array
    """(B, T, outputs)."""
    emitted: list[Array]
    """What each layer emitted, (B, T, size), the readout last."""
    state: list[dict[str, Array]]
    """The state after the last step."""
    largest: list[dict[str, float]]
    """The largest absolute value of each layer's variables, before and after all steps."""
    saturated: int = 0
    """In integers, how many results were too large for their width and saturated."""


def run_steps(network: FrozenNetwork, x: Array, state: States | None, step: Step) -> DeviceRun:
    """Run a network step by step and layer by layer.

    Args:
        network: the network.
        x: (B, T, inputs).
        state: before the first step; None: the initial one.
        step: computes a layer's step.

    Returns:
        The result.
    """
    now = [dict(part) for part in state] if state is not None else network.initial_state(len(x))
    shape = x.shape[:2]
    emitted = [np.empty((*shape, layer.size), layer.weight_in.dtype) for layer in network.layers]
    output = np.empty_like(emitted[-1])
    largest = [dict.fromkeys(layer.neuron.variables(), 0.0) for layer in network.layers]
    _raise(largest, now)
    for t in range(x.shape[1]):
        seen, variables = x[:, t], list[Array]()
        for number, layer in enumerate(network.layers):
            part = now[number]
            arrives, in_flight = {"incoming": seen, "arriving": part["s"]}, {}
            if "incoming" in layer.delays:
                in_flight["incoming"] = sent(part["incoming"], layer.delays["incoming"], seen)
            if "arriving" in layer.delays:
                in_flight["arriving"] = part["arriving"]
            for name, entries in in_flight.items():
                arrives[name], in_flight[name] = entries[:, 0], entries[:, 1:]
            variables, seen = step(number, part, (arrives["incoming"], arrives["arriving"]))
            if "arriving" in layer.delays:
                in_flight["arriving"] = sent(in_flight["arriving"], layer.delays["arriving"], seen)
            own = zip(layer.neuron.State._fields, (*variables, seen), strict=True)
            now[number] = dict(own) | in_flight
            emitted[number][:, t] = seen
        output[:, t] = variables[0] if network.layers[-1].output == "membrane" else seen
        _raise(largest, now)
    return DeviceRun(output, emitted, now, largest)


def _raise(largest: list[dict[str, float]], state: States) -> None:
    """Raises each layer's largest absolute values to those of a state."""
    for values, part in zip(largest, state, strict=True):
        for name in values:
            values[name] = max(values[name], np.abs(part[name]).max(initial=0).item())


def run_float32(network: FrozenNetwork, x: Array, state: States | None = None) -> DeviceRun:
    """The float32 C, in numpy and to the bit. Slow: a loop over steps and presynaptic neurons.

    Args:
        network: the network.
        x: (B, T, inputs).
        state: before the first step; None: the initial one.

    Returns:
        The result.
    """
    rows = [
        [np.ascontiguousarray(matrix.T) for matrix in layer.matrices()] for layer in network.layers
    ]

    def step(
        number: int, part: Mapping[str, Array], presynaptic: tuple[Array, Array]
    ) -> tuple[Sequence[Array], Array]:
        layer = network.layers[number]
        current = np.tile(layer.bias, (len(x), 1))
        for values, matrix in zip(presynaptic, rows[number], strict=False):
            for j in np.flatnonzero(values.any(0)):
                current += values[:, j, None] * matrix[j]
        variables = [part[name] for name in layer.neuron.variables()]
        *new, drive = layer.neuron.step(
            *variables, part["s"], current, *layer.coefficients.values()
        )
        return new, layer.neuron.emit(drive)

    return run_steps(network, np.asarray(x, np.float32), state, step)
