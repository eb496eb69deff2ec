"""Learning rules step by step, each as its text says: what the same rules chunk by chunk have to
equal.

Traces are one number per sequence, synapse and state variable: (V + 1) B H (I + H) of them.

Errors go down through the layers within one step; or (e-prop, random) by one matrix for each hidden
layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from srnn import SRNN
from srnn.nn.network import Dropout
from srnn.training.rules.e_prop import EProp
from srnn.training.rules.learner import OnlineRule, local_layers
from srnn.training.rules.local import LocalLayer
from support.derivatives import Derivatives

State = tuple[Tensor, ...]


def presynaptic(layer: LocalLayer, x: Tensor, state: State) -> Tensor:
    """What arrives at the synapses: x (B, I), and behind it the layer's own s of the step before:
    (B, I) or (B, I + H)."""
    return x if layer.weight_rec is None else torch.cat([x, state[-1]], 1)


def step(layer: LocalLayer, x: Tensor, state: State) -> tuple[State, Derivatives]:
    """x (B, I) and (*variables, s), each (B, H) -> the new (*variables, s), and the derivatives."""
    current = x @ layer.weight_in.t()
    if layer.bias is not None:
        current = current + layer.bias
    if layer.weight_rec is not None:
        current = current + state[-1] @ layer.weight_rec.t()
    *variables, v = layer.neuron.step(*state, current, *layer.coefficients)
    return (*variables, layer.neuron.emit(v)), Derivatives.of(layer, state, current)


class Traces:
    """The derivative of a neuron's output by its own parameters: exact, but for what comes back
    through other neurons.

    What comes back without them is its own state, its last spike (reset, adaptation) and its
    recurrent weight to itself.

    ``filtered``: whether the output's derivative is kept filtered as well, for a readout with a
    memory (``e_prop``).
    """

    def __init__(self, local: LocalLayer, batch: int, *, filtered: bool = False) -> None:
        size, width = local.weight_in.shape
        self.local, self.width = local, width + (0 if local.weight_rec is None else size)
        rows, zeros = len(local.neuron.State._fields), local.weight_in.new_zeros
        self.own = zeros(rows, batch, size, 1 + len(local.neuron.coefficients))
        """By bias and coefficients, the rows being (*variables, s)."""
        self.synapses = zeros(rows, batch, size, self.width)
        self.filtered = (
            [torch.zeros_like(part[0]) for part in (self.synapses, self.own)] if filtered else None
        )
        self.by_synapse, self.by_own = zeros(size, self.width), zeros(size, self.own.shape[-1])
        """The gradients so far."""

    def advance(
        self, derivatives: Derivatives, presynaptic: Tensor, decay: Tensor | float = 0.0
    ) -> None:
        """One step on. ``presynaptic`` (B, I or I + H) is what arrived in it; ``decay`` that of the
        filter, if there is one."""
        derivatives = derivatives.with_own_weight(self.local.weight_rec)
        self.synapses = derivatives.push(
            self.synapses, derivatives.by_current[:, :, :, None] * presynaptic[:, None, :]
        )
        direct = torch.cat(
            [derivatives.by_current[:, None], derivatives.by_coefficient], 1
        ).movedim(1, -1)
        self.own = derivatives.push(self.own, direct)
        if self.filtered is not None:
            row = self.local.output_row()
            now = (self.synapses[row], self.own[row])
            self.filtered = [
                decay * before + part for before, part in zip(self.filtered, now, strict=True)
            ]

    def learn(self, signal: Tensor) -> None:
        """Add to the gradients: ``signal`` (B, H) is the derivative of the loss by the layer's
        output in the last step."""
        row = self.local.output_row()
        synapses, own = self.filtered or (self.synapses[row], self.own[row])
        self.by_synapse += torch.einsum("bh,bhp->hp", signal, synapses)
        self.by_own += torch.einsum("bh,bhp->hp", signal, own)

    def give(self) -> None:
        """Move the gradients into the parameters' ``.grad``, and begin again from zero. The traces
        stay."""
        self.local.give(self.by_synapse, self.by_own[:, 0], self.by_own[:, 1:].t())
        self.by_synapse, self.by_own = (
            torch.zeros_like(self.by_synapse),
            torch.zeros_like(self.by_own),
        )


def output_by_current(layer: LocalLayer, derivatives: Derivatives) -> Tensor:
    """The derivative of the output by the current of the same step, (B, H)."""
    if layer.layer.output == "membrane":
        return derivatives.by_current[0]
    return derivatives.emission * derivatives.by_current[-1]


class StepByStep:
    """A network, run step by step without a graph, and D-RTRL or e-prop, which follows it: used as
    ``Learner``."""

    def __init__(
        self, network: SRNN, rule: OnlineRule, batch: int, dropout: Dropout | None = None
    ) -> None:
        self.layers = local_layers(network, dropout)
        self.state: list[State] = [tuple(part) for part in network.initial_state(batch)]
        filtered = [isinstance(rule, EProp)] * (len(self.layers) - 1) + [False]
        self.traces = [
            Traces(layer, batch, filtered=own)
            for layer, own in zip(self.layers, filtered, strict=True)
        ]
        self.feedback = rule.weights(self.layers) if isinstance(rule, EProp) else None
        self.derivatives: list[Derivatives] = []

    @torch.no_grad()
    def step(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        arrived, self.derivatives = [], []
        for number, (layer, state) in enumerate(zip(self.layers, self.state, strict=True)):
            arrived.append(presynaptic(layer, x, state))
            new, of_step = step(layer, x, state)
            self.derivatives.append(of_step)
            if valid is not None:
                new = tuple(
                    torch.where(valid[:, None], after, before)
                    for after, before in zip(new, state, strict=True)
                )
            self.state[number] = new
            x = layer.passed(new[layer.output_row()])
        # Of each sequence, the mean over the outputs.
        kept = self.derivatives[-1].by_state[0, 0].mean(1)[:, None, None]
        for traces, of_step, own in zip(self.traces, self.derivatives, arrived, strict=True):
            traces.advance(of_step, own, kept)
        return x

    @torch.no_grad()
    def learn(self, error: Tensor) -> None:
        for traces, signal in zip(reversed(self.traces), self.signals(error), strict=True):
            traces.learn(signal)

    def signals(self, error: Tensor) -> Sequence[Tensor]:
        """The derivative of the loss by each layer's output (B, H), the readout's first."""
        below = self.layers[:-1]
        if self.feedback is not None:
            at_readout = error * output_by_current(self.layers[-1], self.derivatives[-1])
            pairs = reversed(list(zip(below, self.feedback, strict=True)))
            return [error, *(layer.passed(at_readout @ weights) for layer, weights in pairs)]
        signals, above = [error], self.layers[1:]
        for number in reversed(range(len(above))):
            at_current = signals[-1] * output_by_current(
                above[number], self.derivatives[number + 1]
            )
            signals.append(below[number].passed(at_current @ above[number].weight_in))
        return signals

    def give(self) -> None:
        for traces in self.traces:
            traces.give()

    def refresh(self) -> None:
        for layer in self.layers:
            layer.refresh()
