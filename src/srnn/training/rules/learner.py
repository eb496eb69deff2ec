"""Learning forwards in time: a network runs step by step, and gradients are known after every step.

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
from ...errors import SrnnError, require
from ...files.bounds import Between
from ...files.conversion import check
from ...nn.kernels.problem import valid_steps
from ...nn.network import SRNN, Dropout, Result, has_norm
from ...nn.network.inputs import checked, uncompiled
from ...nn.network.layer import Layer
from .chunks import Chunk, ChunkLearner
from .local import LocalLayer


class OnlineRule(ABC):
    """A rule that learns forwards in time."""

    @abstractmethod
    def in_chunks(
        self, layers: Sequence[LocalLayer], state: Sequence[tuple[Tensor, ...]]
    ) -> ChunkLearner:
        """A learner that runs a network's layers from a state, and learns by this rule.

        Args:
            layers: as of ``local_layers``, the readout last.
            state: (*variables, s) of each layer before the first step, (B, H) each.

        Returns:
            The learner.
        """


def local_layers(network: SRNN, dropout: Dropout | None = None) -> list[LocalLayer]:
    """The layers of a network that can learn forwards in time.

    Args:
        network: its parameters are read, and get gradients.
        dropout: which hidden neurons' outputs the layers above receive; None: all.

    Returns:
        The layers, the readout last.

    Raises:
        SrnnError: ``unsupported`` for any other network.
    """
    layers = [*network.layers, network.readout]
    reasons = {
        "is bidirectional": any(not isinstance(layer, Layer) for layer in layers),
        "takes substeps": network.substeps > 1,
        "has a trained encoder": network.encoder is not None,
        "has delays": any(isinstance(layer, Layer) and layer.delays.describe() for layer in layers),
        "has batch norm, whose statistics are those of whole sequences (norm 'none', or "
        "fold())": has_norm(network),
    }
    for reason, applies in reasons.items():
        if applies:
            raise SrnnError(
                f"Online learning rules cannot train this network: it {reason}.",
                "unsupported",
                "network",
            )
    dtype = network.readout.weight_in.dtype
    if dropout is None:
        passes = [None] * len(layers)
    else:
        passes = [*(k.to(dtype) * dropout.gain for k in dropout.keep), None]
    return [LocalLayer(layer, factor) for layer, factor in zip(layers, passes, strict=True)]


class Learner:
    """A network that runs step by step without a graph, and a rule that follows it.

    Args:
        network: an SRNN; its parameters are read, and get gradients.
        batch: how many sequences it follows.
        state: the state from which the network starts, as from ``Learner.state``; None: its own
            initial state.
        dropout: which neurons' outputs the layers above receive; None: all.

    Raises SrnnError for arguments that do not fit, and for a network that cannot learn forwards in
    time: a bidirectional one, or one with substeps, a trained encoder, delays, batch norm, rounded
    weights or states.
    """

    def __init__(
        self,
        network: SRNN,
        rule: OnlineRule,
        batch: int,
        state: Sequence[tuple[Tensor, ...]] | None = None,
        dropout: Dropout | None = None,
    ) -> None:
        network = uncompiled(network)
        require(isinstance(network, SRNN), "network", "an SRNN", network)
        require(isinstance(rule, OnlineRule), "rule", "an object such as EProp()", rule)
        self._network, self._batch = network, check("batch", batch, int, Between(0))
        if state is None:
            start = network.initial_state(batch)
        else:
            start = state
        self._learner, self._chunks = follow(network, rule, start, dropout), list[Chunk]()

    @property
    def state(self) -> list[tuple[Tensor, ...]]:
        """The network's state after the last step."""
        return self._learner.state

    def step(self, x: Tensor, valid: Tensor | None = None) -> Tensor:
        """Run one step.

        Args:
            x: the step, (B, inputs).
            valid: booleans (B,): sequences that are over keep their state; None: none is over.

        Returns:
            The output, (B, outputs).

        Raises:
            SrnnError: ``data`` if x or ``valid`` does not fit; nothing has changed then.
        """
        if x.ndim != 2 or len(x) != self._batch:
            raise SrnnError(
                f"A step must have the shape (batch, inputs), with {self._batch} sequences, "
                f"not {tuple(x.shape)}.",
                "data",
                "x",
            )
        ones = torch.ones(len(x), dtype=torch.int64)
        steps, lengths = checked(
            self._network, x[:, None], None, ones if valid is None else valid.to(torch.int64)
        )
        self._leave_step()
        self._chunks = self._learner.forward(steps, lengths)  # type: ignore[arg-type]
        output = self._chunks[-1].output[:, 0]
        self._error = torch.zeros_like(output)
        return output

    def learn(self, error: Tensor) -> None:
        """Learn from the last step; ``error`` (B, outputs) is the derivative of the loss by its
        output."""
        if not self._chunks:
            raise SrnnError(
                "There is no step to learn from: call step first, and give after learn.",
                "missing",
                "x",
            )
        if error.shape != self._error.shape:
            raise SrnnError(
                f"The error must have the output's shape {tuple(self._error.shape)}, "
                f"not {tuple(error.shape)}.",
                "data",
                "error",
            )
        self._error += error

    def _leave_step(self) -> None:
        """Learn from the last step, if that has not been done, and move the traces past it."""
        if self._chunks:
            self._learner.learn(self._chunks, self._error[:, None], last=False)
            self._chunks = []

    def give(self) -> None:
        """Add the gradients since the last call to the parameters' ``.grad``."""
        self._leave_step()
        self._learner.give()

    def refresh(self) -> None:
        """Take up the parameters as they are now, after a step of the optimiser."""
        self._learner.refresh()


class _Learnt(torch.autograd.Function):
    """The outputs of a network, whose gradient goes to a learning rule and no further."""

    @staticmethod
    def forward(
        ctx: Any, anchor: Tensor, output: Tensor, learn: Callable[[Tensor], object]
    ) -> Tensor:
        ctx.learn = learn
        return output.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, None, None]:
        ctx.learn(gradients[0])
        return None, None, None


def follow(
    network: SRNN,
    rule: OnlineRule,
    state: Sequence[tuple[Tensor, ...]],
    dropout: Dropout | None = None,
) -> ChunkLearner:
    """A learner that follows sequences by a rule.

    Args:
        network: its parameters are read, and get gradients.
        rule: the rule by which it learns.
        state: the network's before the first step, (B, H) tensors of each layer.
        dropout: which hidden neurons' outputs the layers above receive; None: all.

    Returns:
        The learner.

    Raises:
        SrnnError: ``unsupported`` for a network that cannot learn forwards in time, as for
            ``Learner``.
    """
    return rule.in_chunks(local_layers(network, dropout), state)


def run_window(
    learner: ChunkLearner, x: Tensor | Spikes, lengths: Tensor | None = None, last: bool = True
) -> Result:
    """Run the next steps of sequences; ``backward`` on a loss of the output then learns from them,
    which must be before the next window runs. The gradients are those of the learner's rule; the
    outputs of hidden layers have none.

    Args:
        learner: follows the sequences.
        x: the steps, (B, T, inputs).
        lengths: valid steps of each sequence, (B,); None: all are valid.
        last: whether no window follows.

    Returns:
        The result; its output is (B, T, outputs).
    """
    if lengths is None:
        lengths = torch.full((x.shape[0],), x.shape[1])
    else:
        lengths = lengths.to(torch.int64)
    with torch.no_grad():
        result, learn = learner.window(x, lengths, last)
    valid = valid_steps(lengths, x.shape[1], result.output.device)
    output = _Learnt.apply(
        torch.zeros((), requires_grad=True), result.output, lambda error: learn(error * valid)
    )
    return replace(result, output=output)
