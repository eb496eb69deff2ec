"""How often a network's input and its neurons are active, given or measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import SrnnError

if TYPE_CHECKING:
    from torch import Tensor

    from ...data.batches import Batch, Sequences
    from ...data.datasets import SplitName
    from ...data.spikes import Spikes
    from ...model.trained import Trained
    from ...nn.baselines import Network
    from ...nn.network import Result
    from ...training.evaluation import Evaluation

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Activity:
    """What happens in a network in a step. A number stands for all channels or neurons; an array
    has one for each."""

    spikes: bool
    """Whether every value of the input is 0 or 1 (or -1, a spike of the other sign); otherwise the
    input is analog."""
    density: float | Array
    """(inputs,): fraction of the input's values that are not 0; for spikes, how many arrive per
    step."""
    rates: tuple[float | Array, ...] | None = None
    """For each hidden layer (units of all directions,): how often per update a neuron emits
    something other than 0. None: not measured."""
    steps: float | None = None
    """Mean length of a sequence in steps; None: not known."""

    def __post_init__(self) -> None:
        if not _within(self.density):
            message = f"The input's rate must lie between 0 and 1, not {self.density!r}."
            raise SrnnError(message, "value", "density")
        for rate in self.rates or ():
            if not _within(rate):
                raise SrnnError(
                    f"A firing rate must lie between 0 and 1 spike per neuron and step, not {rate!r}.",
                    "value",
                    "rates",
                )

    @property
    def layer_rates(self) -> list[float] | None:
        """The mean rate of each hidden layer."""
        if self.rates is None:
            return None
        return [float(np.mean(rate)) for rate in self.rates]


def _within(rate: float | Array) -> bool:
    return bool(np.all((np.asarray(rate) >= 0) & (np.asarray(rate) <= 1)))


class ActivityTally:
    """Counts what a network reads and what its hidden neurons emit, batch by batch; padding is left
    out."""

    def __init__(self, network: Network | None) -> None:
        from ...nn.network import SRNN

        self.network = network
        if isinstance(network, SRNN) and network.bidirectional:
            self.record = ("s",)
        else:
            self.record = ()
        """What the network has to record: the spikes of two directions do not follow from their
        mean."""
        self.sequences = self.steps = 0
        self.events: Any = 0
        """(inputs,): values that are not 0, after the network's trained encoder if it has one."""
        self.fired: list[Array] = []
        """For each hidden layer (units of all directions,): in how many updates a neuron emitted
        something other than 0."""
        self.spikes = True

    def add(self, batch: Batch, result: Result | None = None) -> None:
        """Count a batch.

        Args:
            batch: its input is counted.
            result: what the network gave for it: its hidden neurons are counted; None: they are
                not. Classical networks have none.
        """
        import torch

        from ...nn.network import SRNN

        net, lengths = self.network, batch.lengths
        self.sequences += batch.x.shape[0]
        self.steps += batch.steps
        with torch.no_grad():
            x = within(batch.x if net is None else net.encode(batch.x), lengths)
        self.spikes = self.spikes and (
            not isinstance(x, torch.Tensor) or bool(((x == 0) | (x.abs() == 1)).all())
        )
        self.events = self.events + active(x)
        if result is None or not isinstance(net, SRNN):
            return
        lengths = net.hidden_lengths(lengths)
        counted = []
        for one in result.layers[:-1]:
            parts = [one.emitted]
            if net.bidirectional:
                parts = [one.traces["forward.s"], one.traces["backward.s"]]
            counted.append(np.concatenate([active(within(part, lengths)) for part in parts]))
        if self.fired:
            self.fired = [a + b for a, b in zip(counted, self.fired, strict=True)]
        else:
            self.fired = counted

    def activity(self) -> Activity:
        """What was counted."""
        steps = max(1, self.steps)
        rates = tuple(fired / (steps * self.network.substeps) for fired in self.fired) or None  # type: ignore[union-attr]
        length = self.steps / max(1, self.sequences)
        return Activity(self.spikes, self.events / steps, rates, length)


def measure_input(sequences: Sequences, batch_size: int = 128) -> Activity:
    """The activity of a split's inputs.

    Args:
        sequences: the split.
        batch_size: sequences that are counted at once.

    Returns:
        The activity, without rates.
    """
    tally = ActivityTally(None)
    for batch in sequences.batches(batch_size):
        tally.add(batch)
    return tally.activity()


def evaluate_activity(
    trained: Trained, sequences: Sequences, split: SplitName
) -> tuple[Evaluation, Activity]:
    """Evaluate a network and measure its activity, in one pass.

    Args:
        trained: the network.
        sequences: the split.
        split: its name.

    Returns:
        The evaluation, and the activity on the split.
    """
    from ...training.evaluation import Tally, run_batches

    scores, activity = Tally(trained), ActivityTally(trained.network)
    batches, record = sequences.batches(128), activity.record
    for batch, result in run_batches(trained.network, batches, seed=trained.seed, record=record):
        scores.add(batch, result)
        activity.add(batch, result)
    return scores.evaluation(split, len(sequences)), activity.activity()


def within(values: Tensor | Spikes, lengths: Tensor | None) -> Tensor | Spikes:
    """Values without padding: nothing reads steps beyond a sequence's length, whatever they hold.

    Args:
        values: (B, T, size).
        lengths: (B,) valid steps; None: all T.

    Returns:
        (B, T, size) with zeros beyond each sequence's length.
    """
    from ...data.spikes import Spikes
    from ...nn.kernels.problem import without_padding

    if isinstance(values, Spikes):
        return Spikes(without_padding(values.words, lengths), values.size)
    return without_padding(values, lengths)


def active(emitted: Tensor | Spikes) -> Array:
    """(B, T, size) -> (size,) int64: in how many steps each channel is something other than 0."""
    from ...data.spikes import Spikes

    if isinstance(emitted, Spikes):
        return emitted.totals().numpy()
    return (emitted != 0).sum((0, 1)).cpu().numpy()
