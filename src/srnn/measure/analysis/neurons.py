"""What the hidden neurons do on a split: firing rates, dead and saturated neurons, synaptic operations.

A synaptic operation (SOP) is one spike that arrives at one synapse: a spike of a neuron counts once for each neuron that it
reaches, its own layer's over recurrent weights (in the next step) and the next layer's. Inputs that are not 0 count likewise, by
themselves, for they need not be spikes; with substeps they are held, and count in each. Operations within a neuron (leak,
threshold, adaptation) are no SOPs. Analog neurons (ReLU) do not spike: their rate is the share of outputs that are not 0, and
such an output is multiplied at each synapse, where a spike is added.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...data.batches import Batch
from ...nn.baselines import Network
from ...nn.kernels import LayerResult, Spikes
from ...nn.network import SRNN, BidirectionalLayer, Layer, Result
from ...nn.neurons import as_neuron

if TYPE_CHECKING:
    from ...train.recipes import Recipe

Rates = npt.NDArray[np.float64]
SATURATED = 0.9
"""Spikes per step above which a neuron tells next to nothing."""


@dataclass(frozen=True)
class LayerActivity:
    """One hidden layer; of a bidirectional one, one direction."""

    name: str
    """"layers.0", or "layers.0.forward_layer"."""
    emission: str
    """"spike", or what an analog neuron emits: "relu", "identity"."""
    rates: Rates
    """(size,) of each neuron: spikes per (sub)step; of an analog one the share of (sub)steps in which its output is not 0."""
    sops: int
    """Of its spikes, over the whole split."""

    def dead(self) -> list[int]:
        """Neurons that never fire, or whose output is always 0."""
        return np.flatnonzero(self.rates == 0).tolist()

    def saturated(self, above: float = SATURATED) -> list[int]:
        """Neurons that fire, or whose output is not 0, in more than so many of the steps."""
        return np.flatnonzero(self.rates > above).tolist()


@dataclass(frozen=True)
class Activity:
    """All hidden layers."""

    layers: tuple[LayerActivity, ...]
    sequences: int
    steps: int
    """Valid steps of the input, of all sequences."""
    input_events: int
    """Inputs that are not 0."""
    input_sops: int
    """Of these."""
    saturated_above: float = SATURATED

    @property
    def spiking(self) -> bool:
        """All hidden neurons emit spikes."""
        return all(layer.emission == "spike" for layer in self.layers)

    @property
    def sops(self) -> int:
        """Of hidden spikes and inputs together."""
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
                    "name": layer.name, "emission": layer.emission, "rate": float(layer.rates.mean()),
                    "rates": layer.rates.tolist(), "dead": layer.dead(), "saturated": layer.saturated(self.saturated_above),
                    **counts(layer.sops),
                }
                for layer in self.layers
            ],
        }  # fmt: skip


class ActivityCounts:
    """Counts what fires, batch by batch.

    Run the network with ``record=recorded(network)``: the spikes of two directions cannot be told from their mean.
    """

    def __init__(self, network: SRNN, saturated_above: float = SATURATED) -> None:
        self.network, self.saturated_above = network, saturated_above
        self._fired = [np.zeros(layer.size, np.int64) for _, layer in _hidden(network)]
        self._sequences = self._steps = self._inputs = 0

    def add(self, batch: Batch, result: Result) -> None:
        """Count one batch."""
        self._sequences += batch.x.shape[0]
        self._steps += batch.steps
        with torch.no_grad():
            self._inputs += _events(self.network.encode(batch.x), batch.lengths)
        emitted = [item for pair in zip(self.network.layers, result.layers, strict=False) for item in _emitted(*pair)]
        lengths = self.network.hidden_lengths(batch.lengths)
        for fired, spikes in zip(self._fired, emitted, strict=True):
            fired += _active(spikes, lengths)

    def activity(self) -> Activity:
        """What was counted."""
        substeps = self.network.substeps
        layers = []
        for (name, layer), fired in zip(_hidden(self.network), self._fired, strict=True):
            layers.append(
                LayerActivity(
                    name, layer.neuron.emission, fired / max(self._steps * substeps, 1),
                    int(fired.sum()) * _fan_out(self.network, name),
                )
            )  # fmt: skip
        first = _width(self.network, 0)
        return Activity(
            tuple(layers),
            self._sequences,
            self._steps,
            self._inputs,
            self._inputs * substeps * first,
            self.saturated_above,
        )


def spikes(network: Network) -> bool:
    """Whether all hidden neurons emit spikes. Else a "firing rate" is the share of their outputs that are not 0."""
    return isinstance(network, SRNN) and all(layer.neuron.emission == "spike" for _, layer in _hidden(network))


def recipe_spikes(recipe: Recipe) -> bool:
    """The same of the network that a recipe makes, without making it."""
    neurons = recipe.network.neuron if isinstance(recipe.network.neuron, list) else [recipe.network.neuron]
    return recipe.network.model == "srnn" and all(as_neuron(neuron).emission == "spike" for neuron in neurons)


def recorded(network: Network) -> tuple[str, ...]:
    """The traces that ``ActivityCounts`` needs."""
    return ("s",) if isinstance(network, SRNN) and network.bidirectional else ()


def _hidden(network: SRNN) -> Iterator[tuple[str, Layer]]:
    """The hidden layers by name, the two directions of a bidirectional one apart."""
    for name, module in network.named_modules():
        if isinstance(module, Layer) and module is not network.readout:
            yield name, module


def _active(emitted: Tensor | Spikes, lengths: Tensor | None) -> npt.NDArray[np.int64]:
    """(B, T, size) -> (size,): in how many valid steps each neuron emitted something else than 0."""
    if isinstance(emitted, Spikes):  # padding emits nothing; one sequence at a time, for dense they are 32 times larger
        counts = np.zeros(emitted.size, np.int64)
        for row in range(emitted.shape[0]):
            bits = emitted.words[row].cpu().contiguous().numpy().view(np.uint8)
            counts += np.unpackbits(bits, axis=-1, count=emitted.size, bitorder="little").sum(0, dtype=np.int64)
        return counts
    return ((emitted != 0) & _valid(emitted, lengths)).sum((0, 1)).cpu().numpy()


def _emitted(layer: torch.nn.Module, result: LayerResult) -> list[Tensor | Spikes]:
    """What each of the ``_hidden`` layers within ``layer`` emitted, (B, T, size)."""
    if not isinstance(layer, BidirectionalLayer):
        return [result.emitted]
    return [result.traces["forward.s"], result.traces["backward.s"]]


def _valid(emitted: Tensor, lengths: Tensor | None) -> Tensor:
    """(B or 1, T, 1): which steps are no padding."""
    step = torch.arange(emitted.shape[1], device=emitted.device)[None, :, None]
    return step >= 0 if lengths is None else step < lengths.to(emitted.device)[:, None, None]


def _events(x: Tensor | Spikes, lengths: Tensor | None) -> int:
    """Inputs that are not 0, in valid steps."""
    counts = x.counts() if isinstance(x, Spikes) else (x != 0).sum(-1)
    return int((counts * _valid(counts[:, :, None], lengths)[:, :, 0]).sum())


def _width(network: SRNN, number: int) -> int:
    """Neurons that read layer ``number``'s input; the readout comes after the last."""
    if number == len(network.layers):
        return network.outputs
    layer = network.layers[number]
    return layer.forward_layer.size * 2 if isinstance(layer, BidirectionalLayer) else int(layer.size)  # type: ignore[arg-type]


def _fan_out(network: SRNN, name: str) -> int:
    """Synapses that a spike of this layer reaches."""
    layer = network.get_submodule(name)
    assert isinstance(layer, Layer)
    return (layer.size if layer.recurrent else 0) + _width(network, int(name.split(".")[1]) + 1)
