"""Energy with its memory: operations, what is read and written for them, and the addresses of it.

After Lemaire et al. 2022 ("An analytical estimation of spiking neural networks energy efficiency", arXiv 2210.13107), for layers
that run in time and recurrently. For one update of a layer of n units with m inputs:

    values multiplied        mn weights read, m values read, mn addresses; sums stay in a register
    s spikes arrive          s events read, sn weights read, sn membranes read and written, sn addresses
    neurons                  each variable read and written, each constant and bias read
    what is emitted          graded: n written; spikes: one event written for each

The recurrent connections are the same with what the layer emitted itself. One memory holds the network's weights, biases and
constants, one its states and what layers emit; an access costs what a memory of that size costs.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from .activity import Activity, own_spikes, sources
from .layers import LayerShape, NetworkShape
from .operations import measured_operations, total
from .technology import Technology


@dataclass(frozen=True)
class Traffic:
    """Words and additions for one step of the network's input."""

    weights: float = 0.0
    """Weights, biases and constants read."""
    states: float = 0.0
    """State variables and membranes read and written."""
    signals: float = 0.0
    """Inputs, events and emitted values read and written."""
    addresses: float = 0.0
    """Additions that find the next address."""
    additions: float = 0.0
    """Additions that the counts of synapses leave out: of biases, and of each spike's reset."""

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(*(getattr(self, part.name) + getattr(other, part.name) for part in fields(self)))


@dataclass(frozen=True)
class MemoryEnergy:
    """pJ for one step of the network's input."""

    operations: float
    weights: float
    states: float
    signals: float
    addressing: float

    @property
    def total(self) -> float:
        return self.operations + self.weights + self.states + self.signals + self.addressing


def layer_traffic(layer: LayerShape, spikes: float | None, rate: float) -> Traffic:
    """What a layer moves in one step of the network's input.

    spikes: how many arrive in that step; None: graded values. rate: its own, spikes per neuron and update.
    """
    updates = layer.updates
    parts = [_neurons(layer, rate)]
    if spikes is None or not layer.event_driven:
        parts.append(_multiplied(layer.weights_in * updates, layer.inputs * layer.directions * updates))
    else:
        parts.append(_events(spikes * layer.directions, layer.units))
    if layer.recurrent:
        if layer.spiking:
            parts.append(_events(own_spikes(layer, rate), layer.units))
        else:
            parts.append(_multiplied(layer.weights_rec * updates, layer.cells * updates))
    return sum(parts, Traffic())


def _multiplied(weights: float, values: float) -> Traffic:
    return Traffic(weights=weights, signals=values, addresses=weights)


def _events(events: float, targets: int) -> Traffic:
    synapses = events * targets
    return Traffic(weights=synapses, states=2 * synapses, signals=events, addresses=synapses)


def _neurons(layer: LayerShape, rate: float) -> Traffic:
    cells = layer.cells * layer.updates
    emitted = own_spikes(layer, rate) if layer.spiking else cells
    return Traffic(
        weights=cells * (layer.constants + layer.biases),
        states=2 * cells * layer.variables,
        signals=emitted,
        additions=cells * layer.biases + (emitted if layer.spiking else 0.0),
    )


def memory_words(shape: NetworkShape) -> tuple[int, int]:
    """(weights, biases and constants; states and emitted values) that the network keeps, in words."""
    fixed = sum(
        layer.weights_in + layer.weights_rec + layer.cells * (layer.biases + layer.constants) for layer in shape.layers
    )
    moving = sum(layer.cells * (layer.variables + 1) for layer in shape.layers) + shape.layers[0].inputs
    return fixed, moving


def memory_energy(shape: NetworkShape, activity: Activity, technology: Technology) -> MemoryEnergy:
    """pJ of one step. SrnnError where a spiking layer's rate was not measured."""
    operations = total(measured_operations(shape, activity))
    rates = (*(activity.rates or [0.0] * len(shape.hidden)), 0.0)  # the readout's spikes go nowhere
    traffic = sum(
        (
            layer_traffic(layer, source.spikes, rate)
            for layer, source, rate in zip(shape.layers, sources(shape, activity), rates, strict=True)
        ),
        Traffic(),
    )
    fixed, moving = memory_words(shape)
    of_weight, of_state = technology.weight_word(fixed), technology.sram_word(moving)
    return MemoryEnergy(
        operations=operations.energy(technology.mac_pj, technology.ac_pj) + traffic.additions * technology.ac_pj,
        weights=traffic.weights * of_weight,
        states=traffic.states * of_state,
        signals=traffic.signals * of_state,
        addressing=traffic.addresses * technology.address_pj,
    )
