"""What runs through a network: how often its input and its neurons are active."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import SrnnError
from .layers import LayerShape, NetworkShape

if TYPE_CHECKING:
    from ...data.batches import Sequences
    from ...nn.baselines import Network


@dataclass(frozen=True)
class InputActivity:
    """What a network reads."""

    spikes: bool
    """Whether every value is 0 or 1 (or -1, a spike of the other sign); otherwise the input is analog."""
    density: float
    """Share of values that are not 0: of spikes, how many come per channel and step."""
    steps: float | None = None
    """Mean length of a sequence in steps; None: not known."""

    def __post_init__(self) -> None:
        if not 0 <= self.density <= 1:
            raise SrnnError(f"The input's rate must lie between 0 and 1, not {self.density!r}.")


@dataclass(frozen=True)
class Activity:
    """What happens in a network at a step."""

    input: InputActivity
    rates: tuple[float, ...] | None = None
    """For each hidden layer how often a neuron emits something else than 0, per update; None: not measured."""

    def __post_init__(self) -> None:
        for rate in self.rates or ():
            if not 0 <= rate <= 1:
                raise SrnnError(f"A firing rate must lie between 0 and 1 spike per neuron and step, not {rate!r}.")


def measure_input(sequences: Sequences, batch_size: int = 128, network: Network | None = None) -> InputActivity:
    """Whether a split's inputs are spikes, how dense they are, and how long its sequences are; padding is left out.

    ``network``: behind its trained encoder, if it has one.
    """
    import numpy as np
    import torch

    from ...nn.kernels import Spikes
    from ...nn.network import SRNN

    nonzero, steps, channels, spikes = 0.0, 0, 1, True
    for start in range(0, len(sequences), batch_size):
        batch = sequences.take(np.arange(start, min(start + batch_size, len(sequences))))
        with torch.no_grad():
            x = network.encode(batch.x) if isinstance(network, SRNN) else batch.x
        lengths, channels = batch.lengths, x.shape[2]
        steps += batch.steps
        if isinstance(x, Spikes):
            nonzero += x.rate(lengths) * batch.steps * channels
            continue
        if lengths is not None:
            valid = torch.arange(x.shape[1], device=x.device)[None, :] < lengths[:, None]
            x = x[valid]
        nonzero += int(x.count_nonzero())
        spikes = spikes and bool(((x == 0) | (x.abs() == 1)).all())
    return InputActivity(spikes, min(1.0, nonzero / max(1, steps * channels)), steps / len(sequences))


def rates_of(shape: NetworkShape, rates: Sequence[float]) -> tuple[float, ...]:
    """One rate for all hidden layers or one for each, as one for each. SrnnError for another number of them."""
    if len(rates) == 1:
        return tuple(rates) * len(shape.hidden)
    if len(rates) != len(shape.hidden):
        raise SrnnError(f"This network has {len(shape.hidden)} hidden layers; give one rate for all or one for each.")
    return tuple(rates)


def mean_rate(shape: NetworkShape, activity: Activity) -> float | None:
    """Mean over all hidden neurons, as the evaluation reports it; None where it was not measured."""
    if activity.rates is None:
        return None
    sizes = [layer.cells for layer in shape.hidden]
    return sum(rate * size for rate, size in zip(activity.rates, sizes, strict=True)) / sum(sizes)


@dataclass(frozen=True)
class Source:
    """What a layer reads in one step of the network's input."""

    spikes: float | None
    """Spikes that arrive, each at all its units; None: graded values, all of which are read at every update."""
    density: float
    """Share of the values that are not 0."""


def sources(shape: NetworkShape, activity: Activity) -> list[Source]:
    """What each layer reads, in order. The rates of layers that do not spike may be missing and count as 1.

    A held input (substeps) arrives at each update. Each spike of a bidirectional layer is delivered on its own, also where the
    directions are averaged (the weight is then halved). SrnnError where the rate of a spiking layer is missing.
    """
    found = []
    previous: LayerShape | None = None
    for index, layer in enumerate(shape.layers):
        if previous is None:
            given = activity.input
            count = layer.inputs * given.density * layer.updates if given.spikes else None
            found.append(Source(count, given.density))
        elif activity.rates is None:
            if previous.spiking:
                raise SrnnError("The firing rates of this network were not measured.")
            found.append(Source(None, 1.0))
        else:
            rate = activity.rates[index - 1]
            count = rate * previous.cells * previous.updates if previous.spiking else None
            found.append(Source(count, rate))
        previous = layer
    return found


def own_spikes(layer: LayerShape, rate: float) -> float:
    """Spikes that a layer emits in one step of the network's input."""
    return rate * layer.cells * layer.updates
