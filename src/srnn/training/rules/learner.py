"""Learning forwards in time: a network that runs step by step, and gradients that are known after every step.

    learner = Learner(network, DRTRL(), batch=8)
    for t in range(steps):
        y = learner.step(x[:, t])                      # (B, outputs)
        learner.learn(y.softmax(-1) - target)          # the derivative of the loss by y; or nothing, where there is no target
    learner.give()                                     # into the parameters' .grad; then optimizer.step(), learner.refresh()

Nothing is unrolled: memory does not grow with the number of steps.
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
from ...nn.kernels.problem import valid_steps
from ...nn.network import SRNN, Dropout, Result, has_norm
from ...nn.network.layer import Layer
from .chunks import CHUNK, ChunkLearner
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


def local_layers(network: SRNN, dropout: Dropout | None = None) -> list[LocalLayer]:
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
    dtype = network.readout.weight_in.dtype
    passes = [None] * len(layers) if dropout is None else [*(k.to(dtype) * dropout.gain for k in dropout.keep), None]
    return [LocalLayer(layer, factor) for layer, factor in zip(layers, passes, strict=True)]


class Learner:
    """A network, run step by step without a graph, and a rule that follows it.

    Args:
        network: an SRNN; its parameters are read, and get gradients.
        state: where the network starts; None: its own initial state.
        dropout: which neurons the layers above do not hear.

    Raises SrnnError for a network that cannot learn forwards in time: a bidirectional one, substeps, a trained encoder,
    delays, batch norm, rounded weights or states.
    """

    def __init__(
        self, network: SRNN, rule: OnlineRule, batch: int, state: Sequence[tuple[Tensor, ...]] | None = None,
        dropout: Dropout | None = None,
    ) -> None:  # fmt: skip
        self.network, self.dropout, self.layers = network, dropout, local_layers(network, dropout)
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
            x = layer.passed(layer.output(new))
        self.tracker.advance(derivatives, presynaptic)
        return x

    @torch.no_grad()
    def learn(self, error: Tensor) -> None:
        """Learn from the last step; ``error`` (B, outputs) is the derivative of the loss by its output."""
        self.tracker.learn(error)

    def window(self, x: Tensor | Spikes, lengths: Tensor, last: bool = True) -> tuple[Result, Callable[[Tensor], None]]:
        """As ``ChunkLearner.window``; it is learnt step by step."""
        self.refresh()
        result = self.network.run(x, tuple(self.state), lengths=lengths, dropout=self.dropout)

        def learn(error: Tensor) -> None:
            for begin in range(0, x.shape[1], CHUNK):
                part = x[:, begin : begin + CHUNK]
                part = part.dense(error.dtype) if isinstance(part, Spikes) else part
                for t in range(begin, begin + part.shape[1]):
                    self.step(part[:, t - begin], (t < lengths).to(part.device))
                    self.learn(error[:, t])
            self.give()

        return result, learn

    def give(self) -> None:
        """Add the gradients since the last call to the parameters' ``.grad``."""
        self.tracker.give()

    def refresh(self) -> None:
        """Take the parameters as they are now, after an optimiser's step."""
        for layer in self.layers:
            layer.refresh()


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


def follow(
    network: SRNN, rule: OnlineRule, state: Sequence[tuple[Tensor, ...]], dropout: Dropout | None = None
) -> Learner | ChunkLearner:
    """A learner by a rule for the sequences of a state, in chunks where the rule can. SrnnError as ``Learner``."""
    chunks = rule.in_chunks(local_layers(network, dropout), state)
    return chunks or Learner(network, rule, len(state[0][0]), state, dropout)


def run_window(
    learner: Learner | ChunkLearner, x: Tensor | Spikes, lengths: Tensor | None = None, last: bool = True
) -> Result:
    """Run the next steps x (B, T, inputs) of sequences, where ``backward`` of a loss of the output learns from them.

    That must be called before the next window runs. ``lengths`` (B,): the valid steps; ``last``: nothing follows. The gradients
    are those of the learner's rule; the outputs of hidden layers have none.
    """
    lengths = torch.full((x.shape[0],), x.shape[1]) if lengths is None else lengths.to(torch.int64)
    with torch.no_grad():
        result, learn = learner.window(x, lengths, last)
    valid = valid_steps(lengths, x.shape[1], result.output.device)
    output = _Learnt.apply(torch.zeros((), requires_grad=True), result.output, lambda error: learn(error * valid))
    return replace(result, output=output)
