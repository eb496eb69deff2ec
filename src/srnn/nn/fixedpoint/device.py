"""A trained network as a device runs it: plain float32 arrays, and the order in which every sum is made.

A network on a device is event-driven. The current of a neuron starts at its bias; then every sender that is not zero, in
ascending order, adds its weight times its value: first the layer below (or the input), then the layer itself one step ago. What
is elementwise is the neuron's own ``step``. ``run_float32`` is that order in numpy, operation by operation in float32: the exact
model of the float32 C.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...errors import SrnnError
from ..network.state_format import StateFormat
from ..neurons import Neuron
from ..neurons.base import Init

if TYPE_CHECKING:
    from ...data.signals import CrossingPath
    from ..network import Layer

Array = np.ndarray[Any, Any]
States = Sequence[Mapping[str, Array]]
"""One mapping a layer: the neuron's variables and ``s``, each (B, size)."""


@dataclass(frozen=True)
class DeviceLayer:
    """One layer. All arrays float32 (or, in the integer model, integers)."""

    neuron: Neuron
    weight_in: Array
    """(size, inputs)."""
    weight_rec: Array | None
    """(size, size)."""
    bias: Array
    """(size,)."""
    coefficients: dict[str, Array]
    """The constants of the neuron's step by name, each (size,)."""
    initial: dict[str, Array]
    """State before the first step: variables and ``s``, each (size,)."""
    reads_membrane: bool
    """What the layer above, or the caller, sees: the membrane, or what the neuron emits."""

    @property
    def size(self) -> int:
        return len(self.weight_in)

    @property
    def inputs(self) -> int:
        return self.weight_in.shape[1]

    def matrices(self) -> list[Array]:
        """Weights by their senders: (size, senders) from below, and from the layer itself if it is recurrent."""
        return [self.weight_in] if self.weight_rec is None else [self.weight_in, self.weight_rec]


@dataclass(frozen=True)
class DeviceNetwork:
    """Layers in their order, the readout last."""

    layers: tuple[DeviceLayer, ...]
    encoder: CrossingPath | None = field(default=None, kw_only=True)
    """What turns a signal of half as many channels as there are inputs into the network's input."""
    state_as: StateFormat = field(default_factory=StateFormat, kw_only=True)
    """How int8 keeps states, if the network was trained for that."""

    @property
    def inputs(self) -> int:
        return self.layers[0].inputs

    @property
    def outputs(self) -> int:
        return self.layers[-1].size

    def initial_state(self, batch: int) -> list[dict[str, Array]]:
        """The state before the first step, for ``batch`` sequences."""
        return [{name: np.tile(value, (batch, 1)) for name, value in layer.initial.items()} for layer in self.layers]


def device_network(network: Any, encoder: CrossingPath | None = None) -> DeviceNetwork:
    """A trained SRNN as a device runs it, with what makes its input of a signal.

    Random initial values become their mean; the initial ``s`` of a spiking neuron becomes 0 where it is no spike (0 or 1).
    Raises SrnnError for networks that no device can run step by step, and for weights that are not finite.
    """
    from ..network import SRNN, Layer

    if not isinstance(network, SRNN):
        raise SrnnError(f"Only spiking networks (SRNN) can be exported, not {type(network).__name__}.")
    if network.bidirectional:
        raise SrnnError(
            "A bidirectional network needs the whole sequence; a device needs one that reads forwards only."
        )
    if network.encoder is not None:
        raise SrnnError("A network with a trained encoder has no C form yet; export it as ONNX, or use srnn stream.")
    if network.substeps != 1:
        raise SrnnError(f"A network with substeps cannot be exported yet (this one has {network.substeps}).")
    layers = [layer for layer in [*network.layers, network.readout] if isinstance(layer, Layer)]
    for number, layer in enumerate(layers[:-1]):
        if layer.output != "emission":
            raise SrnnError(f"Hidden layer {number} hands on its membrane; only what neurons emit can be exported.")
    if encoder is not None and network.inputs != encoder.inputs:
        raise SrnnError(
            f"A level-crossing encoder makes 2 inputs of every channel, here {encoder.inputs}; this network has "
            f"{network.inputs}."
        )
    parts = tuple(_device_layer(layer, number) for number, layer in enumerate(layers))
    return DeviceNetwork(
        parts,
        encoder=encoder,
        state_as=StateFormat.of_network(network),
    )


@torch.no_grad()
def _device_layer(layer: Layer, number: int) -> DeviceLayer:
    def plain(tensor: torch.Tensor) -> Array:
        array = tensor.detach().cpu().float().numpy().copy()
        if not np.isfinite(array).all():
            raise SrnnError(f"Layer {number} has weights or time constants that are not finite; train it again.")
        return array

    neuron = layer.neuron
    coefficients = dict(zip(neuron.coefficients, map(plain, layer.params.coefficients()), strict=True))
    return DeviceLayer(
        neuron=neuron,
        weight_in=plain(layer.weight_in),
        weight_rec=None if layer.weight_rec is None else plain(layer.weight_rec),
        bias=np.zeros(layer.size, np.float32) if layer.bias is None else plain(layer.bias),
        coefficients=coefficients,
        initial=_initial(neuron, layer.size),
        reads_membrane=layer.output == "membrane",
    )


def _initial(neuron: Neuron, size: int) -> dict[str, Array]:
    def mean(how: Init) -> float:
        return (how.a + how.b) / 2 if how.distribution == "uniform" else how.a

    given = dict(neuron.initial)
    values: dict[str, float] = {}
    for name in neuron.State._fields:
        how = given.get(name)
        values[name] = 0.0 if how is None else values["u"] if isinstance(how, str) else mean(how)
    if neuron.emission == "spike" and values["s"] not in (0.0, 1.0):
        values["s"] = 0.0
    return {name: np.full(size, value, np.float32) for name, value in values.items()}


def emit(neuron: Neuron, drive: Array) -> Array:
    """What neurons of that drive emit, in the drive's dtype."""
    if neuron.emission == "spike":
        return (drive > 0).astype(drive.dtype)
    return np.maximum(drive, 0) if neuron.emission == "relu" else drive


@dataclass(frozen=True)
class DeviceRun:
    """What a run of a device's model gives; B sequences of T steps."""

    output: Array
    """(B, T, outputs)."""
    emitted: list[Array]
    """What each layer emitted, (B, T, size), the readout last."""
    state: list[dict[str, Array]]
    """The state after the last step."""


def run_float32(network: DeviceNetwork, x: Array, state: States | None = None) -> DeviceRun:
    """The float32 C, in numpy and to the bit: x (B, T, inputs). Slow: a loop over steps and senders."""
    x = np.asarray(x, np.float32)
    now = [dict(part) for part in state] if state is not None else network.initial_state(len(x))
    rows = [[np.ascontiguousarray(matrix.T) for matrix in layer.matrices()] for layer in network.layers]
    emitted = [np.empty((*x.shape[:2], layer.size), np.float32) for layer in network.layers]
    output = np.empty((*x.shape[:2], network.outputs), np.float32)
    for t in range(x.shape[1]):
        seen = x[:, t]
        for number, layer in enumerate(network.layers):
            part = now[number]
            senders = [seen, part["s"]]
            current = np.tile(layer.bias, (len(x), 1))
            for values, matrix in zip(senders, rows[number], strict=False):
                for j in np.flatnonzero(values.any(0)):
                    current += values[:, j, None] * matrix[j]
            variables = [part[name] for name in layer.neuron.variables()]
            *new, drive = layer.neuron.step(*variables, part["s"], current, *layer.coefficients.values())
            seen = emit(layer.neuron, drive)
            now[number] = dict(zip(layer.neuron.State._fields, (*new, seen), strict=True))
            emitted[number][:, t] = seen
            if number == len(network.layers) - 1:
                output[:, t] = new[0] if layer.reads_membrane else seen
    return DeviceRun(output, emitted, now)
