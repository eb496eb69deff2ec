"""Learning forwards in time: a network that runs step by step, and gradients that are known after every step.

    learner = Learner(network, DRTRL(), batch=8)
    for t in range(steps):
        y = learner.step(x[:, t])                      # (B, outputs)
        learner.learn(y.softmax(-1) - target)          # the derivative of the loss by y; or nothing, where there is no target
    learner.give()                                     # into the parameters' .grad; then optimizer.step(), learner.refresh()

Nothing is unrolled: memory does not grow with the number of steps.

May import: nn, the other files of this folder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...data.spikes import Spikes
from ...errors import SrnnError
from ...nn.network import SRNN, Result, has_norm
from ...nn.network.layer import Layer
from ...nn.network.srnn import State
from .chunks import ChunkLearner
from .local import Derivatives, LocalLayer


class Tracker(ABC):
    """What a rule remembers of the past of one batch of sequences."""

    @abstractmethod
    def advance(self, derivatives: Sequence[Derivatives], presynaptic: Sequence[Tensor]) -> None:
        """One step on: for each layer, the readout last, its derivatives and what arrived at its synapses."""

    @abstractmethod
    def learn(self, error: Tensor) -> None:
        """Add to the gradients; ``error`` (B, outputs) is the derivative of the loss by the output of the last step."""

    @abstractmethod
    def give(self) -> None:
        """Move the gradients so far into the parameters' ``.grad``."""


class OnlineRule(ABC):
    """A rule that learns forwards in time."""

    @abstractmethod
    def track(self, layers: Sequence[LocalLayer], batch: int) -> Tracker:
        """The memory of the rule for ``batch`` sequences through these layers, the readout last."""

    def in_chunks(self, layers: Sequence[LocalLayer], state: Sequence[tuple[Tensor, ...]]) -> ChunkLearner | None:
        """A learner by this rule that takes many steps at once; None: there is none."""
        return None


def local_layers(network: SRNN) -> list[LocalLayer]:
    """The layers of a network that can learn forwards in time, the readout last. SrnnError for another one."""
    layers = [*network.layers, network.readout]
    reasons = {
        "is bidirectional": any(not isinstance(layer, Layer) for layer in layers),
        "takes substeps": network.substeps > 1,
        "has a trained encoder": network.encoder is not None,
        "has delays": any(isinstance(layer, Layer) and layer.delays.describe() for layer in layers),
        "has batch norm, whose statistics are of whole sequences (network.fold() has none)": has_norm(network),
    }
    for reason, applies in reasons.items():
        if applies:
            raise SrnnError(f"Only bptt can train this network: it {reason}.")
    return [LocalLayer(layer) for layer in layers]


class Learner:
    """A network, run step by step without a graph, and a rule that follows it.

    Args:
        network: an SRNN; its parameters are read, and get gradients.
        rule: the learning rule.
        batch: sequences at a time.
        state: where the network starts; None: its own initial state.

    Raises SrnnError for a network that cannot learn forwards in time: a bidirectional one, substeps, a trained encoder,
    delays, batch norm, rounded weights or states.
    """

    def __init__(
        self, network: SRNN, rule: OnlineRule, batch: int, state: Sequence[tuple[Tensor, ...]] | None = None
    ) -> None:
        self.layers = local_layers(network)
        self.state = [tuple(part) for part in (network.initial_state(batch) if state is None else state)]
        self.tracker = rule.track(self.layers, batch)

    @torch.no_grad()
    def step(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """x (B, inputs) -> the output (B, outputs). ``valid`` (B,) booleans: sequences that are over keep their state."""
        derivatives, presynaptic = [], []
        for number, (layer, state) in enumerate(zip(self.layers, self.state, strict=True)):
            presynaptic.append(layer.presynaptic(x, state))
            new, of_step = layer.step(x, state)
            derivatives.append(of_step)
            if valid is not None:
                new = tuple(
                    torch.where(valid[:, None], after, before) for after, before in zip(new, state, strict=True)
                )
            self.state[number] = new
            x = layer.output(new)
        self.tracker.advance(derivatives, presynaptic)
        return x

    @torch.no_grad()
    def learn(self, error: Tensor) -> None:
        """Learn from the last step; ``error`` (B, outputs) is the derivative of the loss by its output."""
        self.tracker.learn(error)

    def give(self) -> None:
        """Add the gradients since the last call to the parameters' ``.grad``."""
        self.tracker.give()

    def refresh(self) -> None:
        """Take the parameters as they are now, after an optimiser's step."""
        for layer in self.layers:
            layer.refresh()


def learn_sequences(
    network: SRNN, rule: OnlineRule, x: Tensor | Spikes, state: Sequence[tuple[Tensor, ...]], lengths: Tensor | None,
    error: Callable[[Tensor], Tensor],
) -> Tensor:  # fmt: skip
    """The gradients of whole sequences by a rule, added to the parameters' ``.grad``.

    Args:
        x: (B, T, inputs); ``lengths`` (B,) the valid steps.
        state: where the network starts.
        error: gives the derivative of the loss by the outputs from the outputs, both (B, T, outputs) and zero after a
            sequence's end; the loss may depend on them in any way.

    Returns the outputs.
    """
    layers = local_layers(network)
    dense = x.dense(network.readout.weight_in.dtype) if isinstance(x, Spikes) else x
    valid = None if lengths is None else (torch.arange(dense.shape[1]) < lengths[:, None]).to(dense.device)

    def masked(steps: Tensor) -> Tensor:
        return steps if valid is None else steps * valid[:, :, None]

    chunked = rule.in_chunks(layers, state)
    if chunked is not None:
        outputs = chunked.run(dense, lambda output: masked(error(masked(output))), lengths)
        chunked.give()
        return masked(outputs[-1])
    with torch.no_grad():
        output = network.run(dense, tuple(state), lengths=lengths).output
    errors, learner = masked(error(output)), Learner(network, rule, len(dense), state)
    for t in range(dense.shape[1]):
        learner.step(dense[:, t], None if valid is None else valid[:, t])
        learner.learn(errors[:, t])
    learner.give()
    return output


class _Learnt(torch.autograd.Function):
    """The outputs of a network, whose gradient goes to a learning rule and no further."""

    @staticmethod
    def forward(ctx: Any, anchor: Tensor, output: Tensor, learn: Callable[[Tensor], object]) -> Tensor:
        ctx.learn = learn
        return output.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None]:
        ctx.learn(gradients[0])
        return None, None, None


def run_by_rule(network: SRNN, rule: OnlineRule, x: Tensor | Spikes, state: State, lengths: Tensor | None) -> Result:
    """``network.run``, where ``backward`` of a loss of the output gives the parameters the gradients of a learning rule.

    The outputs of hidden layers have no gradient.
    """
    with torch.no_grad():
        result = network.run(x, state, lengths=lengths)

    def learn(error: Tensor) -> None:
        learn_sequences(network, rule, x, state, lengths, lambda _: error)

    output = _Learnt.apply(torch.zeros((), requires_grad=True), result.output, learn)
    return replace(result, output=output)
