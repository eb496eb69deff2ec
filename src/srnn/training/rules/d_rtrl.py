"""D-RTRL: real-time recurrent learning with the diagonal of the Jacobian, each neuron's own derivatives.

    eps_t = D_t eps_{t-1} + d_t x_t        D_t: how a neuron's new state depends on its last one; d_t: on its current
    dE/dW = sum_t (dE_t/ds_t) eps_t

Exact for a layer without recurrent weights, or with those of neurons to themselves alone, that is the last or whose upper layers
have no memory. What it is blind to: what a spike does through the other recurrent weights, and through the memory of the layers
above (the leaky readout's too): the error of a step reaches the layers below within that step only.

Source: Wang et al. 2024 (braintrace), diagonal approximation; with time constants of each neuron's own it needs a trace per
synapse. Cost a step: O((I + H) H) operations and numbers a sequence.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .chunks import ChunkLearner
from .learner import OnlineRule, Tracker
from .local import Derivatives, LocalLayer
from .traces import Traces


class LayerTracker(Tracker):
    """Traces of each layer, and errors that go down through the layers within one step."""

    def __init__(
        self, layers: Sequence[LocalLayer], traces: Sequence[Traces], mirrors: Sequence[Tensor] | None = None
    ) -> None:
        self.layers, self.traces, self.mirrors = layers, traces, mirrors
        self.derivatives: Sequence[Derivatives] = ()

    def advance(self, derivatives: Sequence[Derivatives], presynaptic: Sequence[Tensor]) -> None:
        self.derivatives = derivatives
        for traces, of_step, arrived in zip(self.traces, derivatives, presynaptic, strict=True):
            traces.advance(of_step, arrived)

    def learn(self, error: Tensor) -> None:
        for traces, signal in zip(reversed(self.traces), self.signals(error), strict=True):
            traces.learn(signal)

    def signals(self, error: Tensor) -> list[Tensor]:
        """The derivative of the loss by each layer's output (B, H), the readout's first."""
        signals, above = [error], self.layers[1:]
        weights = [layer.weight_in for layer in above] if self.mirrors is None else self.mirrors
        for number in reversed(range(len(above))):
            at_current = signals[-1] * above[number].output_by_current(self.derivatives[number + 1])
            signals.append(self.layers[number].passed(at_current @ weights[number]))
        return signals

    def give(self) -> None:
        for traces in self.traces:
            traces.give()


class DRTRL(OnlineRule):
    """See the file."""

    def track(self, layers: Sequence[LocalLayer], batch: int) -> Tracker:
        return LayerTracker(layers, [Traces(layer, batch) for layer in layers])

    def in_chunks(self, layers: Sequence[LocalLayer], state: Sequence[tuple[Tensor, ...]]) -> ChunkLearner:
        return ChunkLearner(layers, state)
