"""The one count of operations, for every layer and one step of the network's input. Price lists
(``operation_energy.py``) apply to it.

    layers = describe_network(net)                 sizes, weights that are not 0, multiplications of the neurons' equations
    counts = count(layers, activity)               one ``LayerCounts`` each, for the input and the neurons' emissions

A spike adds its weights where it arrives; any other value is multiplied. A weight that is 0 costs
nothing, except in the paper's count. What a neuron multiplies is read off the record of its own
equations, so that any neuron is counted alike.

The paper's count (m inputs, n units, n² where recurrent; found by fitting its Tables 2 and S2, see
docs/energy.md):

    layer                       MAC                 AC
    dense, linear               mn                  0
    ReLU unit                   mn + n² + 5n        0
    RNN (tanh)                  mn + 2n² + 4n       0
    GRU                         3(mn + n²) + 12n    0
    LSTM                        4(mn + n²) + 17n    0
    spiking neuron, integrator  its equations': 1n (LIF, integrator), 3n (ALIF; 2n if beta = 0); rate (mn + n²)

Memory accesses follow Lemaire et al. 2022 ("An analytical estimation of spiking neural networks
energy efficiency", arXiv 2210.13107), for layers that run in time and recurrently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import SrnnError
from .activity import Activity, Array

if TYPE_CHECKING:
    from ...nn.baselines import Network
    from ...nn.emissions import Emission
    from ...nn.network import FrozenLayer


@dataclass(frozen=True)
class Cell:
    """A unit of a torch cell, whose equations are not a record of ours: its operations by these
    equations, and what the paper's rule counts beyond them."""

    gates: int
    """Weights from each source to each unit."""
    macs: int
    """Multiplications of a unit by itself, those of its sigmoids and tanhs left out."""
    products: int
    """Products of gates and states in a unit, which NeuroBench counts as synaptic operations."""
    biases: int
    """Biases of a unit; torch's two are one where only their sum counts."""
    variables: int
    paper_padding: int = 0
    """Multiplications of a unit that only the paper's rule counts."""
    paper_repeats: int = 1
    """How often the paper's rule counts each recurrent weight."""


CELLS = {
    "rnn": Cell(1, 0, 0, 1, 0, paper_padding=4, paper_repeats=2),
    "gru": Cell(3, 2, 3, 4, 0, paper_padding=10),
    "lstm": Cell(4, 3, 3, 4, 1, paper_padding=14),
}
"""A GRU multiplies by its reset gate, and mixes by z h + (1 - z) n = n + z (h - n)."""
_BITS = 32
"""How many spikes a word keeps until they arrive."""
RELU_IN_PAPER = 5
"""Multiplications of a ReLU unit by the paper's rule, which counts for a spiking neuron only those
in its equations."""


@dataclass(frozen=True)
class LayerShape:
    """What the cost of one layer, or of the readout, depends on. Counts include all directions.

    Unlike a ``FrozenLayer`` it also describes torch's cells and dense layers, so that all kinds are
    counted from it.
    """

    name: str
    """The name in the network: "layers.0", ..., "readout"."""
    kind: str
    """The neuron's name, the cell's ("rnn", "gru", "lstm") or "dense". For people; nothing is
    decided by it."""
    emission: Emission | None
    """What its neurons pass on; None for torch's cells and for dense layers."""
    inputs: int
    units: int
    """Units of one direction."""
    directions: int
    fan_in: Array
    """(inputs,): weights that are not 0 from each input."""
    fan_own: Array
    """(units of all directions,): the same from each unit to its own layer; () if it is not
    recurrent."""
    updates: float
    """Updates for one step of the network's input: more than 1 with substeps."""
    neuron_macs: int
    """Multiplications in an update of all units, without those by weights."""
    variables: int
    """State that a unit keeps from step to step, without what it emits."""
    constants: int
    """Constants of a unit that an update reads (decays, threshold, ...)."""
    cell: Cell
    in_flight_in: int = 0
    """With delays, values of the input that are kept until they arrive, in all directions."""
    in_flight_own: int = 0
    """The same for the layer's own emissions."""

    @property
    def cells(self) -> int:
        """Units of all directions."""
        return self.units * self.directions

    @property
    def spiking(self) -> bool:
        return self.emission is not None and self.emission.binary

    @property
    def graded(self) -> bool:
        """Whether its neurons emit values that may often be 0."""
        return self.emission is not None and self.emission.graded

    @property
    def event_driven(self) -> bool:
        """Whether an input spike adds a weight where it arrives; other layers multiply every input,
        even spikes and zeros."""
        return self.emission is not None and not self.emission.graded

    @property
    def weights_in(self) -> int:
        return self.cell.gates * self.inputs * self.cells

    @property
    def weights_own(self) -> int:
        return self.cell.gates * self.units * len(self.fan_own)


_PLAIN = Cell(gates=1, macs=0, products=0, biases=1, variables=0)


def describe_network(network: Network) -> tuple[LayerShape, ...]:
    """The layers of an ``SRNN`` or ``ClassicalRNN``, the readout last. SrnnError for another
    module."""
    from ...nn.baselines import ClassicalRNN
    from ...nn.network import SRNN

    if isinstance(network, SRNN):
        frozen = network.freeze()
        *hidden, readout = frozen.layers
        return (*(_neurons(layer, frozen.substeps) for layer in hidden), _neurons(readout, 1))
    if isinstance(network, ClassicalRNN):
        shapes = []
        for index, layer in enumerate(network.layers):
            shape = _classical(f"layers.{index}", layer)
            if network.norms:
                # Layer normalisation of its output takes, per unit, a square, a division by the
                # deviation and a gain; the gain and the bias are read.
                macs, constants = shape.neuron_macs + 3 * shape.cells, shape.constants + 2
                shape = replace(shape, neuron_macs=macs, constants=constants)
            shapes.append(shape)
        return (*shapes, _classical("readout", network.readout))
    kind = type(network).__name__
    message = f"The energy of a {kind} cannot be estimated; give an SRNN or a ClassicalRNN."
    raise SrnnError(message, "unsupported", "network")


def _neurons(layer: FrozenLayer, updates: int) -> LayerShape:
    """An SRNN's layer, bidirectional or not."""
    from ...nn.operations import multiplications

    directions = layer.directions.values()
    return LayerShape(
        name=layer.name,
        kind=layer.neuron.name,
        emission=layer.neuron.emission,
        inputs=layer.inputs,
        units=layer.size,
        directions=len(directions),
        fan_in=_fan([one.weight_in for one in directions]),
        fan_own=np.concatenate(
            [_fan([] if one.weight_rec is None else [one.weight_rec]) for one in directions]
        ),
        updates=updates,
        neuron_macs=sum(
            multiplications(one.neuron, one.coefficients.values(), one.size) for one in directions
        ),
        variables=len(layer.neuron.variables()),
        constants=len(layer.neuron.coefficients),
        cell=_PLAIN if layer.has_bias else replace(_PLAIN, biases=0),
        in_flight_in=sum(_in_flight(one, "incoming") for one in directions),
        in_flight_own=sum(_in_flight(one, "arriving") for one in directions),
    )


def _in_flight(layer: FrozenLayer, buffer: str) -> int:
    if buffer not in layer.delays:
        return 0
    return layer.initial_state(1)[buffer].size


def _classical(name: str, layer: Any) -> LayerShape:
    """A ``CellLayer`` or ``DenseLayer``."""
    from ...nn.baselines import CellLayer

    if not isinstance(layer, CellLayer):
        fan_in = _fan([layer.weight_in.detach().cpu().numpy()])
        return LayerShape(
            name, "dense", None, layer.inputs, layer.size, 1, fan_in, _fan([]), 1, 0, 0, 0, _PLAIN
        )
    cell = CELLS[layer.name]
    weights = {key: value.detach().cpu().numpy() for key, value in layer.cell.named_parameters()}
    return LayerShape(
        name=name,
        kind=layer.name,
        emission=None,
        inputs=layer.inputs,
        units=layer.units,
        directions=layer.directions,
        fan_in=_fan([value for key, value in weights.items() if key.startswith("weight_ih")]),
        fan_own=np.concatenate(
            [_fan([value]) for key, value in weights.items() if key.startswith("weight_hh")]
        ),
        updates=1,
        neuron_macs=cell.macs * layer.size,
        variables=cell.variables,
        constants=0,
        cell=cell,
    )


def _fan(weights: Sequence[Array]) -> Array:
    """(presynaptic,): weights (postsynaptic, presynaptic) that are not 0, of all matrices together;
    () without matrices."""
    if weights:
        return np.concatenate(weights).astype(bool).sum(0, dtype=float)
    return np.zeros(0)


@dataclass(frozen=True)
class LayerCounts:
    """Operations and memory accesses of one layer (or, summed, of a network) in one step of the
    network's input."""

    synaptic_macs: float = 0.0
    """Products of weights and values that are not spikes, including values of zero."""
    synaptic_acs: float = 0.0
    """Weights that spikes add."""
    neuron_macs: float = 0.0
    """Multiplications within the units."""
    effective_macs: float = 0.0
    """NeuroBench's MACs: only of values that are not 0; neurons are free, but products of gates and
    states count."""
    effective_acs: float = 0.0
    dense: float = 0.0
    """NeuroBench's dense operations: of all weights and values."""
    paper_macs: float = 0.0
    """The paper's MACs, at its one average rate."""
    paper_acs: float = 0.0
    additions: float = 0.0
    """Additions of biases, and one for each spike's reset."""
    rescalings: float = 0.0
    """Updates of a neuron: in int8 each takes one multiplication, which turns a sum into a
    current."""
    weight_reads: float = 0.0
    """Words read: weights, biases and constants."""
    state_accesses: float = 0.0
    """Words read or written: state variables, and membranes to which a spike is added."""
    signal_accesses: float = 0.0
    """Words read or written: inputs, events and emitted values."""
    addresses: float = 0.0
    """Additions that find the next address."""
    weight_words: float = 0.0
    """Words that are kept: weights that are not 0, biases and constants."""
    state_words: float = 0.0
    """Words that are kept: states, emitted values, and the network's input."""

    def __add__(self, other: LayerCounts) -> LayerCounts:
        return LayerCounts(
            *(getattr(self, part.name) + getattr(other, part.name) for part in fields(self))
        )


def total(counts: Sequence[LayerCounts]) -> LayerCounts:
    """The sum over layers."""
    return sum(counts, LayerCounts())


def spiking(layers: Sequence[LayerShape]) -> bool:
    """Whether a hidden layer spikes: then everything depends on its rate."""
    return any(layer.spiking for layer in layers[:-1])


def graded(layers: Sequence[LayerShape]) -> bool:
    """Whether a hidden layer emits values that may often be 0, such as max(0, u)."""
    return any(layer.graded for layer in layers[:-1])


def mean_rate(layers: Sequence[LayerShape], activity: Activity) -> float | None:
    """Mean rate over all hidden neurons, as the evaluation reports it.

    Args:
        layers: from ``describe_network``.
        activity: has the rates of the hidden layers.

    Returns:
        The rate; None if it was not measured.
    """
    sizes, rates = [layer.cells for layer in layers[:-1]], activity.layer_rates
    if rates is None:
        return None
    return float(np.dot(rates, sizes)) / sum(sizes)


def rates_of(layers: Sequence[LayerShape], rates: Sequence[float]) -> tuple[float, ...]:
    """One rate for each hidden layer.

    Args:
        layers: from ``describe_network``.
        rates: one for all, or one for each.

    Returns:
        One for each.

    Raises:
        SrnnError: ``value`` for any other number of rates.
    """
    hidden = len(layers) - 1
    if len(rates) not in (1, hidden):
        message = f"This network has {hidden} hidden layers; give one rate for all or one for each."
        raise SrnnError(message, "value", "rates")
    return tuple(rates) * (hidden if len(rates) == 1 else 1)


def count(
    layers: Sequence[LayerShape], activity: Activity, analog_in_paper: bool = False
) -> tuple[LayerCounts, ...]:
    """The operations and memory accesses of each layer of a network, in order.

    Args:
        layers: from ``describe_network``.
        activity: what arrives, and how often each hidden neuron emits something. Rates of layers
            that do not spike may be missing; their outputs then count as never 0. An input that is
            held (substeps) arrives at each update; each spike of a bidirectional layer is delivered
            on its own, even if the directions are averaged.
        analog_in_paper: whether the paper's count also takes the analog input into a spiking first
            layer as MACs.

    Returns:
        The counts of each layer, the readout last.

    Raises:
        SrnnError: ``missing`` if a spiking layer's rate is, ``data`` for more or fewer rates than
            hidden layers.
    """
    if activity.rates is None and spiking(layers):
        message = "The firing rates of this network were not measured."
        raise SrnnError(message, "missing", "rates")
    hidden = activity.rates or [1.0] * len(layers[:-1])
    if len(hidden) != len(layers) - 1:
        needed = f"This network has {len(layers) - 1} hidden layers"
        message = f"{needed}; the activity has {len(hidden)} rates."
        raise SrnnError(message, "data", "rates")
    rates = (*hidden, 0.0)  # the readout is not recurrent, and its spikes go nowhere
    mean = mean_rate(layers, activity) or 0.0
    counts = []
    # Events from spiking layers, else values that are not 0, at each input of the layer.
    events = np.broadcast_to(activity.density, layers[0].inputs) * layers[0].updates
    spikes = activity.spikes
    before: LayerShape | None = None
    for number, layer in enumerate(layers):
        rate = np.broadcast_to(rates[number], layer.cells)
        macs, acs = _in_paper(layer, before, mean, analog_in_paper)
        counts.append(
            _count(layer, events, spikes, rate) + LayerCounts(paper_macs=macs, paper_acs=acs)
        )
        if before is None:
            counts[0] += LayerCounts(state_words=layer.inputs)
        if number + 1 < len(layers):
            following = layers[number + 1]
            if following.inputs == layer.cells:
                events = rate
            else:  # directions that are averaged
                events = rate.reshape(layer.directions, -1).sum(0)
                if not layer.spiking:
                    events = np.minimum(events, 1.0)
            events = events * (layer.updates if layer.spiking else following.updates)
        spikes, before = layer.spiking, layer
    return tuple(counts)


def fan_out(layers: Sequence[LayerShape], index: int) -> Array:
    """How many synapses, with weights other than 0, an output of a hidden layer reaches.

    Args:
        layers: from ``describe_network``.
        index: the layer's number.

    Returns:
        (units of all directions,)
    """
    layer, following = layers[index], layers[index + 1].fan_in
    own = 0
    if len(layer.fan_own):
        own = layer.fan_own
    return own + (
        following if len(following) == layer.cells else np.tile(following, layer.directions)
    )


def _count(layer: LayerShape, events: Array, spikes: bool, rate: Array) -> LayerCounts:
    """A layer's counts except the paper's. ``events`` (inputs,): spikes, or values that are not 0,
    in the step."""
    updates, cells = layer.updates, layer.cells * layer.updates
    stored_in, stored_own = layer.fan_in.sum(), layer.fan_own.sum()
    active_in = float(events @ layer.fan_in)
    own_events = rate[: len(layer.fan_own)] * updates
    active_own = float(own_events @ layer.fan_own)
    products = layer.cell.products * cells
    if layer.spiking:
        emitted = rate.sum() * updates
    else:
        emitted = cells
    counts = LayerCounts(
        neuron_macs=layer.neuron_macs * updates,
        effective_macs=products,
        dense=(layer.weights_in + layer.weights_own) * updates + products,
        additions=cells * layer.cell.biases + (emitted if layer.spiking else 0.0),
        rescalings=cells,
        weight_reads=cells * (layer.constants + layer.cell.biases),
        state_accesses=2 * cells * layer.variables,
        signal_accesses=emitted,
        weight_words=stored_in + stored_own + layer.cells * (layer.cell.biases + layer.constants),
        state_words=layer.cells * (layer.variables + 1)
        + layer.in_flight_in / (_BITS if spikes else 1)
        + layer.in_flight_own / (_BITS if layer.spiking else 1),
    )
    if spikes:
        counts += LayerCounts(effective_acs=active_in)
    else:
        counts += LayerCounts(effective_macs=active_in)
    if layer.spiking:
        counts += LayerCounts(effective_acs=active_own)
    else:
        counts += LayerCounts(effective_macs=active_own)
    if spikes and layer.event_driven:
        counts += _added(active_in, float(events.sum()) * layer.directions)
    else:
        counts += _multiplied(stored_in * updates, layer.inputs * layer.directions * updates)
    if layer.spiking:
        return counts + _added(active_own, float(own_events.sum()))
    return counts + _multiplied(stored_own * updates, len(layer.fan_own) * updates)


def _added(synapses: float, events: float) -> LayerCounts:
    """Counts of added weights: events are read; at each target a weight is read, and the membrane
    read and written."""
    return LayerCounts(
        synaptic_acs=synapses,
        weight_reads=synapses,
        state_accesses=2 * synapses,
        signal_accesses=events,
        addresses=synapses,
    )


def _multiplied(weights: float, values: float) -> LayerCounts:
    """Counts of multiplied weights: each weight is read, each value once for the layer; sums stay
    in a register."""
    return LayerCounts(
        synaptic_macs=weights, weight_reads=weights, signal_accesses=values, addresses=weights
    )


def _in_paper(
    layer: LayerShape, before: LayerShape | None, rate: float, analog_input: bool
) -> tuple[float, float]:
    """(MACs, ACs) by the paper's rules: one rate stands for every synapse, the input's included.

    A layer after a bidirectional one reads as many inputs as there are units in one direction,
    whether or not the directions are concatenated.
    """
    if before is None:
        inputs = layer.inputs
    else:
        inputs = before.units
    synapses = layer.cell.gates * inputs * layer.cells
    own = layer.weights_own * layer.cell.paper_repeats
    macs = layer.neuron_macs + layer.cell.paper_padding * layer.cells
    if layer.graded:
        macs = RELU_IN_PAPER * layer.cells
    acs = 0.0
    if layer.event_driven and (before is None or before.spiking):
        acs += rate * synapses
    if not layer.event_driven or (analog_input if before is None else not before.spiking):
        macs += synapses
    if layer.spiking:
        acs += rate * own
    else:
        macs += own
    return macs * layer.updates, acs * layer.updates
