"""Sequences cut into windows, each of which is learnt before the next is read; and the network as
it runs over a window.

    bptt         one window, the whole sequence
    tbptt        the gradient goes back to the window's first step; the state is carried on
    online       state and traces are carried on (``rules``)

A window's loss is the loss of the sequence as if it ended with the window, so that scores summed
over time include all steps so far; its gradient goes through the outputs of the window's own steps
(as in the published code of PS-MNIST: bptt in windows of 100 steps, sums of the outputs carried on,
a step of the optimiser after each). If every step has its own loss, the window's loss is that of
its own steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..data.batches import Batch
from ..data.spikes import Spikes
from ..nn.baselines import Network
from ..nn.kernels.problem import LayerResult
from ..nn.losses import Loss, Scored
from ..nn.network import SRNN, Dropout
from ..nn.network.inputs import each_part
from .rules import OnlineRule, follow, run_window


@dataclass(frozen=True)
class Window:
    """Some steps of a batch of sequences."""

    batch: Batch
    """The whole batch, with all steps."""
    begin: int
    end: int

    @classmethod
    def cut(cls, batch: Batch, size: int | None) -> Iterator[Window]:
        """The windows of a batch, in order.

        Args:
            batch: the sequences, with all steps.
            size: steps of each window, of which the last may have fewer; None: a single window.
        """
        steps = batch.x.shape[1]
        for begin in range(0, steps, size or steps):
            yield cls(batch, begin, min(begin + (size or steps), steps))

    @property
    def last(self) -> bool:
        """Whether no window follows."""
        return self.end == self.batch.x.shape[1]

    @property
    def x(self) -> Tensor | Spikes:
        """The window's input, (B, steps, inputs)."""
        if self.begin == 0 and self.last:
            return self.batch.x
        return self.batch.x[:, self.begin : self.end]

    @property
    def lengths(self) -> Tensor | None:
        """Valid steps in the window, (B,), 0 for a sequence that ended before it; None: all are
        valid."""
        lengths = self.batch.lengths
        if lengths is None:
            return None
        return (lengths - self.begin).clamp(0, self.end - self.begin)

    @property
    def steps(self) -> int:
        """Valid steps in the window, of all sequences together."""
        lengths = self.lengths
        if lengths is None:
            return len(self.batch.y) * (self.end - self.begin)
        return int(lengths.sum())

    def score(self, loss: Loss, outputs: Tensor) -> Scored:
        """The window's loss. For a mixed batch, both labels enter it by their shares; only y
        decides what is correct, and what is averaged over.

        Args:
            loss: what is minimised.
            outputs: (B, end, C), all steps so far; or the window's own, if each has a label.

        Returns:
            The loss of the window's own steps if each has a label; otherwise that of the sequence
            as if it ended with the window.
        """
        scored = self._score(loss, outputs, self.batch.y)
        if self.batch.mixed is None:
            return scored
        y, share = self.batch.mixed
        other = self._score(loss, outputs, y)
        part = (
            other.weight / scored.weight if scored.weight else 0.0
        )  # both are sums over what y counts
        return replace(scored, loss=share * scored.loss + (1 - share) * part * other.loss)

    def _score(self, loss: Loss, outputs: Tensor, y: Tensor) -> Scored:
        whole = self.batch.x.shape[1]
        if loss.per_step:
            y, outputs = y[:, self.begin : self.end], outputs[:, self.begin - self.end :]
        lengths = self.batch.lengths
        if lengths is None and self.end - self.begin < whole:
            lengths = torch.full((len(y),), whole, device=y.device)
        return loss(outputs, y, lengths, self.begin)


class Ran:
    """What a window gave besides its output; in a class of its own because Fabric does not copy
    that: spikes stay bits."""

    def __init__(self, layers: Sequence[LayerResult], past: Any) -> None:
        self.layers, self.past = layers, past
        """The results of the hidden layers, and the past from which the next window begins."""


class WrappedNetwork(nn.Module):
    """The network as Fabric wants it: a module that is called for its output.

    Args:
        network: what is trained.
        rule: the rule by which it learns; None: backpropagation through time.
    """

    def __init__(self, network: Network, rule: OnlineRule | None) -> None:
        super().__init__()
        self.network, self.rule = network, rule

    def begin(self, state: tuple[Any, ...], dropout: Dropout | None = None) -> Any:
        """The past of a batch's first window.

        Args:
            state: the network's before the first step, one tuple per layer.
            dropout: which hidden neurons' outputs are passed on; None: all.

        Returns:
            A learner that follows the sequences by the rule; without a rule, or for anything but an
            SRNN, the state itself.
        """
        if self.rule is None or not isinstance(self.network, SRNN):
            return state
        return follow(self.network, self.rule, state, dropout)

    def forward(
        self,
        x: Tensor | Spikes,
        lengths: Tensor | None,
        past: Any,
        dropout: Dropout | None,
        last: bool,
    ) -> tuple[Tensor, Ran]:
        """Run a window; its output is to be differentiated before the next one runs.

        Args:
            x: the window's steps, (B, T, inputs).
            lengths: (B,) valid steps in the window; None: all.
            past: as of ``begin``, or as the window before left it (``Ran.past``).
            dropout: as for ``begin``; a learner already has its own.
            last: whether no window follows.

        Returns:
            The output (B, T, C), and the rest.
        """
        if isinstance(past, tuple):
            result = self.network.run(x, past, lengths=lengths, dropout=dropout)
            if last:
                past = None
            else:
                past = each_part(result.state, Tensor.detach)
        else:
            result = run_window(past, x, lengths, last)
        return result.output, Ran(result.layers[:-1], past)
