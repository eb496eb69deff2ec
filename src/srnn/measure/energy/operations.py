"""Numbers of operations, and the rules by which the paper counts them. All counts are for one step of the network's input.

    layer (m -> n)              MAC                 AC
    dense, linear               mn                  0
    ReLU unit                   mn + n² + 5n        0
    RNN (tanh)                  mn + 2n² + 4n       0
    GRU                         3(mn + n²) + 12n    0
    LSTM                        4(mn + n²) + 17n    0
    leaky integrator            n                   rate mn
    LIF                         n                   rate mn + rate n²
    ALIF                        3n, beta = 0: 2n    as LIF

n² only where the layer is recurrent; each direction of a bidirectional layer counts. The paper's own table is a picture that is
lost in the text at hand: these rules were found by fitting every number of its Tables 2 and S2 (docs/energy.md says which fit).
"""

from __future__ import annotations

from dataclasses import dataclass

from .activity import Activity, mean_rate, own_spikes, sources
from .layers import LayerShape, NetworkShape

PAPER_MAC_PJ, PAPER_AC_PJ = 3.1, 0.1
"""int32 multiplication and addition in 45 nm (Horowitz 2014), as the paper takes them for a MAC and an AC."""
FP32_MAC_PJ, FP32_AC_PJ = 4.6, 0.9
"""float32 in 45 nm (Horowitz 2014): multiplication 3.7 + addition 0.9, and addition."""
ANALOG_IN_PAPER = ("smnist", "psmnist")
"""Tasks whose analog input the paper's tables count as MACs; those of its other tasks count as spikes there."""

_CLASSICAL = {  # (n² per gate, n) of a recurrent unit
    "rnn": (2, 4),
    "gru": (3, 12),
    "lstm": (4, 17),
    "relu": (1, 5),
}


@dataclass(frozen=True)
class Operations:
    """Multiply-accumulates and accumulates."""

    mac: float = 0.0
    ac: float = 0.0

    def __add__(self, other: Operations) -> Operations:
        return Operations(self.mac + other.mac, self.ac + other.ac)

    def __mul__(self, factor: float) -> Operations:
        return Operations(self.mac * factor, self.ac * factor)

    def energy(self, mac_pj: float, ac_pj: float) -> float:
        """pJ."""
        return self.mac * mac_pj + self.ac * ac_pj


def unit_operations(layer: LayerShape) -> float:
    """MACs of one update that belong to the units themselves: what is no input synapse, and for cells also the n² terms."""
    if layer.kind in _CLASSICAL:
        square, linear = _CLASSICAL[layer.kind]
        return layer.cells * ((square * layer.units if layer.recurrent else 0) + linear)
    return layer.neuron_macs  # a dense layer has none


def paper_operations(shape: NetworkShape, rate: float, analog_input: bool = False) -> list[Operations]:
    """The paper's counts, layer by layer.

    rate: the one firing rate that stands for every synapse, the input's included.
    analog_input: whether the input into a spiking first layer also counts mn MACs, as the paper does for (P)S-MNIST alone.

    A layer after a bidirectional one reads as many inputs as that has units in one direction, whether or not the directions are
    concatenated.
    """
    counted = []
    before: LayerShape | None = None
    for layer in shape.layers:
        inputs = layer.inputs if before is None else before.units
        synapses = layer.gates * inputs * layer.cells
        if not layer.event_driven:
            found = Operations(mac=synapses + unit_operations(layer))
        else:
            of_input = Operations(ac=rate * synapses)
            if before is None and analog_input:
                of_input += Operations(mac=synapses)
            elif before is not None and not before.spiking:
                of_input = Operations(mac=synapses)
            of_own = Operations(ac=rate * layer.weights_rec) if layer.spiking else Operations(mac=layer.weights_rec)
            found = of_input + of_own + Operations(mac=layer.neuron_macs)
        counted.append(found * layer.updates)
        before = layer
    return counted


def measured_operations(shape: NetworkShape, activity: Activity) -> list[Operations]:
    """The same counts with each layer's measured rate: a spike is an AC at each of its targets, a graded value a MAC.

    Spiking neurons and integrators read spikes; all other units multiply every value at every update, be it 0 or a spike. A
    layer after concatenated directions reads both. SrnnError where a spiking layer's rate was not measured.
    """
    counted = []
    rates = (*(activity.rates or [0.0] * len(shape.hidden)), 0.0)  # the readout is not recurrent
    for layer, source, rate in zip(shape.layers, sources(shape, activity), rates, strict=True):
        if not layer.event_driven:
            counted.append(Operations(mac=layer.weights_in + unit_operations(layer)) * layer.updates)
            continue
        if source.spikes is None:
            of_input = Operations(mac=layer.weights_in * layer.updates)
        else:
            of_input = Operations(ac=source.spikes * layer.cells)
        if layer.spiking and layer.recurrent:
            of_own = Operations(ac=own_spikes(layer, rate) * layer.units)
        else:
            of_own = Operations(mac=layer.weights_rec * layer.updates)
        counted.append(of_input + of_own + Operations(mac=layer.neuron_macs * layer.updates))
    return counted


@dataclass(frozen=True)
class EffectiveOperations:
    """NeuroBench's synaptic operations for one step: those with a weight and an activation that are not 0."""

    mac: float
    """Where the activation is graded."""
    ac: float
    """Where it is a spike (0, 1 or -1)."""
    dense: float
    """All of them, zeros too."""
    activation_sparsity: float | None
    """Share of zeros in what the hidden layers emit; None: not measured."""


_CELL_PRODUCTS = {"lstm": 3, "gru": 3, "rnn": 0}
"""Products of gates and states in a unit, which NeuroBench counts as synaptic operations."""


def effective_operations(shape: NetworkShape, activity: Activity) -> EffectiveOperations:
    """NeuroBench's counts: neurons, biases and normalisation cost nothing, whatever is 0 is skipped.

    Weights that are 0 count as spread evenly. Activations of torch's cells count as never 0; a ReLU layer whose rate was not
    measured too. SrnnError where a spiking layer's rate was not measured.
    """
    total, dense = Operations(), 0.0
    rates = (*(activity.rates or [1.0] * len(shape.hidden)), 1.0)
    for layer, source, rate in zip(shape.layers, sources(shape, activity), rates, strict=True):
        weights = layer.weights_in * layer.density_in
        if source.spikes is not None:
            total += Operations(ac=source.spikes * layer.gates * layer.cells * layer.density_in)
        else:
            total += Operations(mac=source.density * weights * layer.updates)
        own = rate * layer.weights_rec * layer.density_rec * layer.updates
        total += Operations(ac=own) if layer.spiking else Operations(mac=own)
        products = _CELL_PRODUCTS.get(layer.kind, 0) * layer.cells * layer.updates
        total += Operations(mac=products)
        dense += (layer.weights_in + layer.weights_rec) * layer.updates + products
    rate = mean_rate(shape, activity)
    return EffectiveOperations(total.mac, total.ac, dense, None if rate is None else 1.0 - rate)


def total(counted: list[Operations]) -> Operations:
    """The sum over layers."""
    return sum(counted, Operations())
