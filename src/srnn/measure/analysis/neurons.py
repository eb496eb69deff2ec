"""Activity of the hidden neurons on a split: firing rates, dead and saturated neurons, synaptic
operations.

A synaptic operation (SOP) is one spike that arrives at one synapse: a neuron's spike counts once
for each neuron that it reaches over a non-zero weight, in its own layer over recurrent weights (in
the next step) and in the next layer. Non-zero inputs are counted separately, as they need not be
spikes; with substeps they are repeated, and count in each. Operations within a neuron (leak,
threshold, adaptation) are not SOPs. Analog neurons (ReLU) do not spike: their rate is the fraction
of their outputs that are not 0, and such an output is multiplied at each synapse, whereas a spike
is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...nn.emissions import Emission
from ...nn.network import SRNN
from ...nn.neurons import as_neuron
from ...training.recipes import Recipe
from ..energy.activity import ActivityTally
from ..energy.counting import describe_network, fan_out
from ..sections import COUNT, NUMBER, TEXT, Axis, Line, Plot, Section, Table, Values, layer_title
from .measuring import SATURATED, Measurement, Subject

Rates = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LayerActivity:
    """One hidden layer; of a bidirectional one, one direction."""

    name: str
    """"layers.0", or "layers.0.forward_layer"."""
    emission: Emission
    rates: Rates
    """(size,) spikes per (sub)step of each neuron; for analog ones the fraction of (sub)steps with
    an output other than 0."""
    sops: int
    """Synaptic operations of its spikes, over the whole split."""

    def dead(self) -> list[int]:
        """Neurons that never fire, or whose output is always 0."""
        return np.flatnonzero(self.rates == 0).tolist()

    def saturated(self, above: float = SATURATED) -> list[int]:
        """Neurons that fire, or whose output is not 0, in more than the fraction ``above`` of the
        steps."""
        return np.flatnonzero(self.rates > above).tolist()


@dataclass(frozen=True)
class NeuronActivity:
    """The activity of all hidden layers."""

    layers: tuple[LayerActivity, ...]
    sequences: int
    steps: int
    """Number of valid input steps, over all sequences."""
    input_events: int
    """Number of inputs that are not 0."""
    input_sops: int
    """Synaptic operations of these inputs."""
    saturated_above: float = SATURATED

    @classmethod
    def begin(cls, subject: Subject) -> Measurement | None:
        network, above = subject.trained.network, subject.options.saturated_above
        if not isinstance(network, SRNN):
            return None
        tally = ActivityTally(network)
        return Measurement(
            lambda _: neuron_activity(tally, above),
            lambda outcome: tally.add(outcome.batch, outcome.result),
            tally.record,
        )

    @property
    def spiking(self) -> bool:
        """Whether all hidden neurons emit spikes."""
        return all(layer.emission.binary for layer in self.layers)

    @property
    def sops(self) -> int:
        """Synaptic operations of hidden spikes and inputs together."""
        return self.input_sops + sum(layer.sops for layer in self.layers)

    def to_dict(self) -> dict[str, Any]:
        per_sequence, per_step = max(self.sequences, 1), max(self.steps, 1)

        def counts(sops: int) -> dict[str, float]:
            return {"sops_per_sequence": sops / per_sequence, "sops_per_step": sops / per_step}

        return {
            "spiking": self.spiking,
            "sequences": self.sequences,
            "steps": self.steps,
            **counts(self.sops),
            "inputs": {"events_per_step": self.input_events / per_step, **counts(self.input_sops)},
            "saturated_above": self.saturated_above,
            "layers": [
                {
                    "name": layer.name,
                    "emission": layer.emission.name,
                    "rate": float(layer.rates.mean()),
                    "rates": layer.rates.tolist(),
                    "dead": layer.dead(),
                    "saturated": layer.saturated(self.saturated_above),
                    **counts(layer.sops),
                }
                for layer in self.layers
            ],
        }

    def section(self) -> Section:
        above, steps = self.saturated_above, max(self.steps, 1)
        if self.spiking:
            silent, unit = ("dead", "SOPs per step")
        else:
            silent, unit = ("always 0", "operations per step")
        columns = {
            "layer": TEXT,
            "neurons": COUNT,
            "rate": NUMBER,
            "highest": NUMBER,
            silent: COUNT,
            f"over {above:g}": COUNT,
            unit: NUMBER,
        }
        rows = [
            [
                layer_title(layer.name),
                len(layer.rates),
                float(layer.rates.mean()),
                float(layer.rates.max()),
                len(layer.dead()),
                len(layer.saturated(above)),
                layer.sops / steps,
            ]
            for layer in self.layers
        ]
        rate = "fraction of outputs that are not 0"
        if self.spiking:
            rate = "spikes per neuron and step"
        operations = "operations of outputs that are not 0, which multiply,"
        if self.spiking:
            operations = "synaptic operations"
        return Section(
            "Activity",
            f"The hidden neurons on the split; rate: {rate}.",
            (
                Table("By layer", columns, rows),
                Values(
                    {
                        f"{operations} per step": (self.sops / steps, NUMBER),
                        "of which inputs": (self.input_sops / steps, NUMBER),
                        "per sequence": (self.sops / max(self.sequences, 1), NUMBER),
                    }
                ),
                *(self._plot(layer) for layer in self.layers),
            ),
        )

    def _plot(self, layer: LayerActivity) -> Plot:
        rates = np.sort(layer.rates)[::-1].tolist()
        edges = list(range(len(rates) + 1))
        rate = "fraction of steps not 0"
        if self.spiking:
            rate = "spikes per step"
        return Plot(
            layer_title(layer.name),
            Axis("neurons, most active first", low=0, high=len(rates)),
            Axis(rate, low=0),
            [Line("rate", rates, edges, "area")],
        )


def neuron_activity(tally: ActivityTally, saturated_above: float = SATURATED) -> NeuronActivity:
    """The activity of an SRNN's neurons in the batches of a tally.

    Args:
        tally: counts of an SRNN's spikes.
        saturated_above: spikes per step above which a neuron counts as saturated.

    Returns:
        Rates and synaptic operations of every hidden layer.
    """
    network = tally.network
    assert isinstance(network, SRNN)
    shapes = describe_network(network)
    layers = []
    for index, (fired, shape) in enumerate(zip(tally.fired, shapes, strict=False)):
        assert shape.emission is not None, "an SRNN consists of neurons"
        if shape.directions == 1:
            directions = [""]
        else:
            directions = [".forward_layer", ".backward_layer"]
        reached = fan_out(shapes, index)
        halves = zip(
            directions,
            np.split(fired, len(directions)),
            np.split(reached, len(directions)),
            strict=True,
        )
        for direction, spikes, fans in halves:
            rates = spikes / max(tally.steps * network.substeps, 1)
            layers.append(
                LayerActivity(shape.name + direction, shape.emission, rates, int(spikes @ fans))
            )
    return NeuronActivity(
        tuple(layers),
        tally.sequences,
        tally.steps,
        int(tally.events.sum()),
        int(tally.events @ shapes[0].fan_in * shapes[0].updates),
        saturated_above,
    )


def recipe_spikes(recipe: Recipe) -> bool:
    """Whether all hidden neurons of a recipe's network emit spikes. Otherwise a "firing rate" is
    the fraction of their outputs that are not 0."""
    neurons = map(as_neuron, recipe.network.each("neuron"))
    return recipe.network.model == "srnn" and all(neuron.emission.binary for neuron in neurons)
